package sarif

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// GitHub's limits ("SARIF results exceed limits"); what is beyond them is left out, the
// least severe results first, and named in the run.
const (
	maxResults = 25_000
	maxRules   = 25_000
	maxTags    = 20
	maxRelated = 100
	maxMessage = 4000 // bytes; ours
)

// The parts of SARIF 2.1.0 that are written.
type (
	document struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []run  `json:"runs"`
	}
	run struct {
		Tool              tool         `json:"tool"`
		AutomationDetails *automation  `json:"automationDetails,omitempty"`
		Invocations       []invocation `json:"invocations,omitempty"`
		ColumnKind        string       `json:"columnKind"`
		Results           []result     `json:"results"`
	}
	tool struct {
		Driver driver `json:"driver"`
	}
	driver struct {
		Name            string       `json:"name"`
		SemanticVersion string       `json:"semanticVersion,omitempty"`
		InformationURI  string       `json:"informationUri,omitempty"`
		Rules           []descriptor `json:"rules"`
	}
	descriptor struct {
		ID                   string         `json:"id"`
		Name                 string         `json:"name,omitempty"`
		ShortDescription     text           `json:"shortDescription"`
		FullDescription      text           `json:"fullDescription"`
		DefaultConfiguration configuration  `json:"defaultConfiguration"`
		Help                 text           `json:"help"`
		Properties           ruleProperties `json:"properties"`
	}
	configuration struct {
		Level string `json:"level"`
	}
	ruleProperties struct {
		Tags            []string `json:"tags,omitempty"`
		ProblemSeverity string   `json:"problem.severity"`
		Precision       string   `json:"precision"`
	}
	text struct {
		Text string `json:"text"`
	}
	automation struct {
		ID string `json:"id"`
	}
	invocation struct {
		ExecutionSuccessful        bool           `json:"executionSuccessful"`
		ToolExecutionNotifications []notification `json:"toolExecutionNotifications,omitempty"`
	}
	notification struct {
		Level   string `json:"level"`
		Message text   `json:"message"`
	}
	result struct {
		RuleID              string            `json:"ruleId"`
		RuleIndex           int               `json:"ruleIndex"`
		Level               string            `json:"level"`
		Message             text              `json:"message"`
		Locations           []location        `json:"locations"`
		RelatedLocations    []location        `json:"relatedLocations,omitempty"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
	}
	location struct {
		ID               int       `json:"id,omitempty"`
		PhysicalLocation *physical `json:"physicalLocation,omitempty"`
		LogicalLocations []logical `json:"logicalLocations,omitempty"`
		Message          *text     `json:"message,omitempty"`
	}
	physical struct {
		ArtifactLocation artifact `json:"artifactLocation"`
		Region           *region  `json:"region,omitempty"`
	}
	artifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId"`
	}
	region struct {
		StartLine int `json:"startLine"`
	}
	logical struct {
		Name               string `json:"name"`
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
)

// write is Write.
func (r Report) write(w io.Writer) error {
	rules := slices.Clone(r.Rules)
	slices.SortStableFunc(rules, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
	var notes []string
	if len(rules) > maxRules {
		notes = append(notes, fmt.Sprintf("%d rules were left out; the most is %d.", len(rules)-maxRules, maxRules))
		rules = rules[:maxRules]
	}
	index := map[string]int{}
	out := run{
		Tool:       tool{driver{Name: r.Tool, SemanticVersion: r.Version, InformationURI: r.URL, Rules: []descriptor{}}},
		ColumnKind: "utf16CodeUnits", Results: []result{},
	}
	if r.Category != "" {
		out.AutomationDetails = &automation{r.Category}
	}
	for i, rule := range rules {
		if _, twice := index[rule.ID]; twice {
			return fmt.Errorf("writing SARIF: there are two rules %q", rule.ID)
		}
		index[rule.ID] = i
		out.Tool.Driver.Rules = append(out.Tool.Driver.Rules, rule.descriptor())
	}
	results := slices.Clone(r.Results)
	slices.SortStableFunc(results, compare)
	if len(results) > maxResults {
		slices.SortStableFunc(results, func(a, b Result) int { return cmp.Compare(severity(a.Level), severity(b.Level)) })
		notes = append(notes, fmt.Sprintf("%d results were left out, the least severe ones; the most is %d.", len(results)-maxResults, maxResults))
		results = results[:maxResults]
		slices.SortStableFunc(results, compare)
	}
	prints := printer{source: r.Source, files: map[string][]string{}, seen: map[string]int{}}
	for _, one := range results {
		i, ok := index[one.Rule]
		if !ok {
			return fmt.Errorf("writing SARIF: a result names the rule %q, which is not there", one.Rule)
		}
		out.Results = append(out.Results, one.result(i, prints.fingerprint(one)))
	}
	out.Invocations = []invocation{{ExecutionSuccessful: true}}
	for _, n := range notes {
		out.Invocations[0].ToolExecutionNotifications = append(out.Invocations[0].ToolExecutionNotifications, notification{Warning, text{n}})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(document{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []run{out}})
}

func compare(a, b Result) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Path, b.Path))
}

func severity(level string) int {
	return slices.Index([]string{Error, Warning, Note}, level)
}

func (r Rule) descriptor() descriptor {
	help := r.Help
	if help == "" {
		help = r.Title
	}
	level := cmp.Or(r.Level, Warning)
	problem := level
	if problem == Note {
		problem = "recommendation"
	}
	return descriptor{
		ID: r.ID, Name: r.Name, ShortDescription: text{r.Title}, FullDescription: text{r.Title}, DefaultConfiguration: configuration{level},
		Help: text{help}, Properties: ruleProperties{Tags: r.Tags[:min(len(r.Tags), maxTags)], ProblemSeverity: problem, Precision: "very-high"},
	}
}

func (r Result) result(rule int, fingerprint string) result {
	at := location{PhysicalLocation: where(r.File, r.Line)}
	if r.Object != "" || r.Path != "" {
		name := r.Path
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			name = name[i+1:]
		}
		at.LogicalLocations = []logical{{
			Name: cmp.Or(name, r.Object), FullyQualifiedName: strings.TrimSpace(r.Object + " " + r.Path), Kind: "object",
		}}
	}
	message := r.Message
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	out := result{
		RuleID: r.Rule, RuleIndex: rule, Level: cmp.Or(r.Level, Warning), Message: text{message}, Locations: []location{at},
		PartialFingerprints: map[string]string{"primaryLocationLineHash": fingerprint},
	}
	for i, l := range r.Related[:min(len(r.Related), maxRelated)] {
		related := location{ID: i + 1, PhysicalLocation: where(l.File, l.Line)}
		if l.Text != "" {
			related.Message = &text{l.Text}
		}
		out.RelatedLocations = append(out.RelatedLocations, related)
	}
	return out
}

// where is a place of the repository; nil when there is none.
func where(file string, line int) *physical {
	if file == "" {
		return nil
	}
	p := &physical{ArtifactLocation: artifact{URI: (&url.URL{Path: file}).String(), URIBaseID: "%SRCROOT%"}}
	if line > 0 {
		p.Region = &region{line}
	}
	return p
}

// printer makes fingerprints.
type printer struct {
	source func(file string) ([]byte, bool)
	files  map[string][]string
	seen   map[string]int
}

// fingerprint keeps a result the same while lines move above it: GitHub's hash of its
// line, with the object and the path, because one line of a template makes many objects.
// Without the source it is over what the result says.
func (p *printer) fingerprint(r Result) string {
	line := ""
	if prints := p.of(r.File); r.Line > 0 && r.Line <= len(prints) {
		line = prints[r.Line-1]
		if r.Object == "" && r.Path == "" {
			return line
		}
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{line, r.Rule, r.File, r.Object, r.Path}, "\x00")))
	id := hex.EncodeToString(sum[:8])
	p.seen[id]++
	return fmt.Sprintf("%s:%d", id, p.seen[id])
}

// of are the fingerprints of the lines of a file; none when it is not known.
func (p *printer) of(file string) []string {
	if p.source == nil || file == "" {
		return nil
	}
	prints, ok := p.files[file]
	if !ok {
		if data, known := p.source(file); known {
			prints = fingerprints(data)
		}
		p.files[file] = prints
	}
	return prints
}

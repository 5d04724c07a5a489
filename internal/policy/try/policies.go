package try

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/catalog"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/render"
	"towpath.dev/towpath/internal/policy/rule"
)

// policies are what is judged with.
type policies struct {
	rules      []rule.Rule
	exemptions []rule.Exemption
	warnings   []string
}

// shelf is what the files of policies hold.
type shelf struct {
	library     azure.Library
	own         []string // names of definitions and initiatives that the files hold
	assignments []azure.Assignment
	exemptions  []azure.Exemption
	templates   map[string]rule.Template // by kind
	constraints []constraint
}

// constraint is a constraint of Gatekeeper: a template at work.
type constraint struct {
	Kind     string            `json:"kind"`
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		EnforcementAction string         `json:"enforcementAction"`
		Match             map[string]any `json:"match"`
		Parameters        map[string]any `json:"parameters"`
	} `json:"spec"`
	file string
}

// load resolves what is to be judged with. Every rule holds everywhere: where an assignment
// holds on a server is not asked here.
func (o Options) load() (policies, error) {
	s, err := builtIn()
	if err != nil {
		return policies{}, err
	}
	files, err := o.policyFiles()
	if err != nil {
		return policies{}, err
	}
	for _, f := range files {
		if err := s.add(f); err != nil {
			return policies{}, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	initiatives := o.Initiatives
	if len(initiatives) == 0 && len(o.Policies) == 0 {
		initiatives = []string{"baseline"}
	}
	return s.resolve(initiatives)
}

// builtIn is the catalogue that comes with the platform.
func builtIn() (*shelf, error) {
	c, err := catalog.Open()
	if err != nil {
		return nil, err
	}
	s := &shelf{
		library:   azure.Library{Definitions: map[string]azure.Definition{}, Initiatives: map[string]azure.Initiative{}, Catalogue: c},
		templates: map[string]rule.Template{},
	}
	for _, f := range c.Definitions() {
		d, err := azure.ParseDefinition(f.Raw)
		if err != nil {
			return nil, fmt.Errorf("reading the built-in definition %s: %w", f.Name, err)
		}
		s.library.Definitions[d.Name] = d
	}
	for _, f := range c.Initiatives() {
		i, err := azure.ParseInitiative(f.Raw)
		if err != nil {
			return nil, fmt.Errorf("reading the built-in initiative %s: %w", f.Name, err)
		}
		s.library.Initiatives[i.Name] = i
	}
	return s, nil
}

// policyFiles reads the files of policies.
func (o Options) policyFiles() ([]render.File, error) {
	var out []render.File
	r := reader{limit: maxInput}
	for _, p := range o.Policies {
		files, err := r.walk(p, ".json", ".yaml", ".yml")
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fault.New(fault.NotFound, "There is no policy in %s.", p).WithNext("name a folder of .json and .yaml files")
		}
		out = append(out, files...)
	}
	return out, nil
}

// add reads one file of policies.
func (s *shelf) add(f render.File) error {
	if strings.EqualFold(filepath.Ext(f.Name), ".json") {
		return s.document(f.Name, f.Data)
	}
	for _, doc := range documents(f.Data) {
		if err := s.document(f.Name, doc); err != nil {
			return err
		}
	}
	return nil
}

// document reads one document: a template, a constraint, or one of Azure Policy.
func (s *shelf) document(file string, raw []byte) error {
	var head metav1.TypeMeta
	if err := yaml.Unmarshal(raw, &head); err != nil {
		return fault.Wrap(fault.Invalid, err, "This is no valid YAML or JSON: %v.", err)
	}
	switch {
	case head.Kind == "ConstraintTemplate":
		t, err := engine.ParseTemplate(raw)
		if err != nil {
			return err
		}
		if before, ok := s.templates[t.Kind]; ok && before.Digest != t.Digest {
			return fault.New(fault.Conflict, "There are two templates of kind %s.", t.Kind)
		}
		s.templates[t.Kind] = t
		return nil
	case strings.HasPrefix(head.APIVersion, "constraints.gatekeeper.sh/"):
		c := constraint{file: file}
		if err := yaml.Unmarshal(raw, &c); err != nil {
			return fault.Wrap(fault.Invalid, err, "The constraint cannot be read: %v.", err)
		}
		s.constraints = append(s.constraints, c)
		return nil
	case head.Kind != "":
		return fault.New(fault.Invalid, "A %s is no policy.", head.Kind).WithNext("name objects with --resources")
	}
	return s.azure(raw)
}

// azure reads a document of Azure Policy.
func (s *shelf) azure(raw []byte) error {
	text, err := yaml.YAMLToJSON(raw)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "This is no valid YAML or JSON: %v.", err)
	}
	kind, err := azure.KindOf(text)
	if err != nil {
		return err
	}
	switch kind {
	case azure.KindDefinition:
		d, err := azure.ParseDefinition(text)
		if err != nil {
			return err
		}
		s.library.Definitions[d.Name] = d
		s.own = append(s.own, d.Name)
	case azure.KindInitiative:
		i, err := azure.ParseInitiative(text)
		if err != nil {
			return err
		}
		s.library.Initiatives[i.Name] = i
		s.own = append(s.own, i.Name)
	case azure.KindAssignment:
		a, err := azure.ParseAssignment(text)
		if err != nil {
			return err
		}
		s.assignments = append(s.assignments, a)
	default:
		e, err := azure.ParseExemption(text)
		if err != nil {
			return err
		}
		s.exemptions = append(s.exemptions, e)
	}
	return nil
}

var everywhere = rule.Scope{Kind: rule.Platform}

// resolve makes the rules: of the initiatives that are named, of the assignments in the
// files, and of what the files define and nothing in them uses.
func (s *shelf) resolve(initiatives []string) (policies, error) {
	var out policies
	list := slices.Clone(s.assignments)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(initiatives))) {
		if _, ok := s.library.Initiatives[name]; !ok {
			return out, fault.New(fault.NotFound, "There is no initiative %q.", name).
				WithNext("take one of %s", strings.Join(slices.Sorted(maps.Keys(s.library.Initiatives)), ", "))
		}
		list = append(list, azure.Assignment{Name: name, Target: name, Kind: azure.KindInitiative})
	}
	used := map[string]bool{}
	for _, a := range list {
		used[a.Target] = true
	}
	for _, name := range s.own {
		for _, m := range s.library.Initiatives[name].Members {
			used[m.Definition] = true
		}
	}
	for _, name := range s.own {
		if !used[name] {
			list = append(list, azure.Assignment{Name: name, Target: name})
		}
	}
	for _, a := range list {
		if a.Enforcement == "" {
			a.Enforcement = azure.EnforceDefault
		}
		a.Scope, a.NotScopes = everywhere, nil
		rules, err := s.library.Resolve(a)
		if err != nil {
			return out, err
		}
		out.rules = append(out.rules, rules...)
	}
	for _, e := range s.exemptions {
		out.exemptions = append(out.exemptions, rule.Exemption{
			Name: e.Name, Assignment: e.Assignment, References: e.References, Category: e.Category, Expires: e.Expires,
			Scope: everywhere, Objects: e.Objects, Reason: e.Description,
		})
	}
	err := s.gatekeeper(&out)
	if err == nil && len(out.rules) == 0 {
		err = fault.New(fault.Invalid, "There is nothing to judge with: no rule is in the policies, or all are disabled.")
	}
	return out, err
}

// gatekeeper makes a rule of each constraint.
func (s *shelf) gatekeeper(out *policies) error {
	used := map[string]bool{}
	for _, c := range s.constraints {
		t, ok := s.templates[c.Kind]
		if !ok {
			return fault.New(fault.NotFound, "%s: there is no template of kind %s.", c.file, c.Kind).WithNext("put its ConstraintTemplate beside it")
		}
		used[c.Kind] = true
		r, err := c.rule(t)
		if err != nil {
			return fmt.Errorf("%s: constraint %s: %w", c.file, c.Metadata.Name, err)
		}
		out.rules = append(out.rules, r)
	}
	for _, kind := range slices.Sorted(maps.Keys(s.templates)) {
		if !used[kind] {
			out.warnings = append(out.warnings, "The template "+kind+" has no constraint: nothing is judged with it.")
		}
	}
	return nil
}

// rule is a constraint as a rule.
func (c constraint) rule(t rule.Template) (rule.Rule, error) {
	r := rule.Rule{
		Assignment: c.Metadata.Name, Reference: c.Kind, Definition: c.Kind, Title: c.Kind, Policy: t.Digest, Scope: everywhere, Enforced: true,
		Source: rule.Original, Parameters: c.Spec.Parameters, Template: t,
	}
	switch c.Spec.EnforcementAction {
	case "", "deny":
		r.Effect = rule.Deny
	case "warn":
		r.Effect, r.Warn = rule.Audit, true
	case "dryrun":
		r.Effect = rule.Audit
	default:
		return r, fault.New(fault.Invalid, "The enforcementAction %q is not supported.", c.Spec.EnforcementAction).WithNext("use deny, warn or dryrun")
	}
	for key := range c.Spec.Match {
		switch key {
		case "kinds", "namespaces", "excludedNamespaces", "labelSelector":
		default:
			// Leaving a condition out would judge other objects than the author meant.
			return r, fault.New(fault.Invalid, "spec.match.%s is not supported.", key)
		}
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(c.Spec.Match, &r.Match); err != nil {
		return r, fault.Wrap(fault.Invalid, err, "spec.match cannot be read: %v.", err)
	}
	if len(r.Match.Kinds) == 0 {
		return r, fault.New(fault.Invalid, "spec.match.kinds is missing: which objects it judges must be said.")
	}
	return r, nil
}

// now is the time at which exemptions expire.
func (o Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

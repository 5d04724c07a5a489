package insight

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/work"
)

// The sources of signals, the most telling first: of several that are one cause the first
// one opens the item, when they wait together.
const (
	SourceCanary        = "canary"        // a canary was rejected by the analysis
	SourceRegression    = "regression"    // a release does worse than the one before
	SourceCrash         = "crash"         // crash loop, out of memory, image cannot be pulled
	SourceError         = "error"         // a new group of errors
	SourceAlert         = "alert"         // a rule fires
	SourcePolicy        = "policy"        // refused at admission, or not compliant
	SourceAdmission     = "admission"     // admission failed open: what a rule refuses was let in
	SourceVulnerability = "vulnerability" // of an image
	SourceDependency    = "dependency"    // vulnerability of a package that the code asks for
	SourceSecret        = "secret"        // a secret was let into a repository
	SourcePipeline      = "pipeline"      // fails, or is flaky, on the default branch
	SourceStorm         = "storm"         // the umbrella over many of one source
)

// rank orders sources: the smaller, the more telling.
func rank(source string) int {
	for i, s := range []string{
		SourceCanary, SourceRegression, SourceCrash, SourceError, SourceAlert, SourceSecret, SourceAdmission, SourcePolicy, SourceVulnerability, SourceDependency, SourcePipeline,
	} {
		if s == source {
			return i
		}
	}
	return 100
}

// The states of a signal.
const (
	Candidate = "candidate" // seen; it waits, or what it needs is gathered
	Open      = "open"      // an item stands for it
	Resolved  = "resolved"
	Dismissed = "dismissed" // somebody said that it will not be fixed until a day
)

// Signal is everything that was seen under one key.
type Signal struct {
	Project     string    `json:"project"`
	Key         string    `json:"key"` // work.Signal.Key: 32 hex digits
	Source      string    `json:"source"`
	Rule        string    `json:"rule"`
	Resource    string    `json:"resource"`
	Environment string    `json:"environment,omitempty"`
	Release     string    `json:"release,omitempty"` // of the last observation
	Severity    string    `json:"severity"`          // critical, high, medium, low
	State       string    `json:"state"`             // candidate, open, resolved, dismissed
	Item        int64     `json:"item,omitempty"`    // that stands for it, or stood
	Count       int64     `json:"count"`
	First       time.Time `json:"first_seen"`
	Last        time.Time `json:"last_seen"`
	Healthy     time.Time `json:"healthy,omitzero"` // since when it is well; zero while it is not
	Resolved    time.Time `json:"resolved,omitzero"`
	Record
}

// Record is what a signal remembers beside its columns.
type Record struct {
	Title      string            `json:"title"`
	Type       string            `json:"type,omitempty"`       // of the item
	Stable     string            `json:"stable,omitempty"`     // release that served before, or beside
	Workloads  []string          `json:"workloads,omitempty"`  // roles and workloads that it concerns; none speaks of the whole release
	Operations []event.Operation `json:"operations,omitempty"` // as they did when it was seen last
	Evidence   []Evidence        `json:"evidence,omitempty"`   // the newest first, at most 12
	Group      string            `json:"group,omitempty"`      // as work.Signal.Group
	Exposure   int               `json:"exposure,omitempty"`   // 1 to 10
	Firing     []string          `json:"firing,omitempty"`     // alerts or pods behind it that hold now, at most 200
	Repo       string            `json:"repo,omitempty"`       // "project/repo", when it is known without a release
	Commit     string            `json:"commit,omitempty"`     // at which it was seen, likewise
	Before     string            `json:"before,omitempty"`     // the last commit that was well, likewise
	Path       string            `json:"path,omitempty"`       // of the file that it concerns
	Results    string            `json:"results,omitempty"`    // of a job's last runs, oldest first: "." well, "x" failed; at most 20
	Fixed      string            `json:"fixed,omitempty"`      // version of a package that mends it
	Cure       string            `json:"cure,omitempty"`       // release that is well
	Why        string            `json:"why,omitempty"`        // it is well, or resolved
}

// Evidence is one thing that shows a signal.
type Evidence struct {
	Subject event.Subject `json:"subject,omitempty"` // of the logbook, "release:shop/production/48"
	Text    string        `json:"text"`
	Query   string        `json:"query,omitempty"` // KQL or PromQL that shows it
	Trace   string        `json:"trace,omitempty"` // trace id, 32 hex digits
	At      time.Time     `json:"at"`
}

// Impact is what a cause costs.
type Impact struct {
	Requests     int64     `json:"requests"`
	FailureShare float64   `json:"failure_share"` // 0 to 1
	P95          float64   `json:"p95_ms"`
	Since        time.Time `json:"since,omitzero"`
}

// Cause is what is known behind an item.
type Cause struct {
	Item     int64      `json:"item"`
	Project  string     `json:"project"`
	Source   string     `json:"source,omitempty"` // of the signal that it was gathered for
	Release  string     `json:"release,omitempty"`
	Stable   string     `json:"stable,omitempty"` // release that served before
	Repo     string     `json:"repo,omitempty"`   // "project/repo" of the suspects
	From     string     `json:"from,omitempty"`   // commit of the stable release
	To       string     `json:"to,omitempty"`     // commit of the release
	Suspects []Commit   `json:"suspects"`         // reachable from To and not from From, newest first
	Owner    string     `json:"owner,omitempty"`  // user
	OwnerBy  string     `json:"owner_by,omitempty" doc:"CODEOWNERS, or last change"`
	Impact   Impact     `json:"impact"`
	Evidence []Evidence `json:"evidence"`
	Signals  []Signal   `json:"signals"` // the most telling first
}

// Filter selects signals; zero fields select everything.
type Filter struct {
	State       string
	Source      string
	Environment string
	Item        int64
	Limit       int // at most 1000; 0 is 200
}

// key is the stable key of a source's rule at a resource.
func key(source, rule, resource string) string {
	return work.Signal{Source: source, Rule: bounded(rule), Resource: bounded(resource)}.Key()
}

// bounded keeps a name as it is, or shortens it to one that is as good as unique.
func bounded(name string) string {
	name = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(name, "?"), unicode.IsControl), " ")
	if len(name) <= maxName {
		return cmp.Or(name, "-")
	}
	sum := sha256.Sum256([]byte(name))
	return strings.ToValidUTF8(name[:maxName-20], "") + "#" + hex.EncodeToString(sum[:8])
}

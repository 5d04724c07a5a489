package insight

import "time"

// The sources of signals, the most telling first: of several that are one cause the first
// one names the item.
const (
	SourceCanary     = "canary"     // a canary was rejected by the analysis
	SourceRegression = "regression" // a release does worse than the one before
	SourceWorkload   = "workload"   // crash loop, out of memory, image cannot be pulled
	SourceError      = "error"      // a new group of errors
	SourceAlert      = "alert"
	SourcePolicy     = "policy"     // refused at admission, or not compliant any more
	SourceImage      = "image"      // vulnerability of an image
	SourceDependency = "dependency" // vulnerability of a package that the code asks for
	SourceSecret     = "secret"
	SourcePipeline   = "pipeline" // fails or is flaky on the default branch
	SourceWebhook    = "webhook"  // admission went on unjudged
	SourceStorm      = "storm"    // the umbrella over many of one source
)

// The states of a signal.
const (
	Candidate = "candidate" // seen; the debounce is not over
	Open      = "open"      // an item stands for it
	Resolved  = "resolved"
	Dismissed = "dismissed" // will not be fixed until a day
)

// Signal is everything that was seen under one key.
type Signal struct {
	Project     string     `json:"project"`
	Key         string     `json:"key"` // 32 hex digits
	Source      string     `json:"source"`
	Rule        string     `json:"rule"`
	Resource    string     `json:"resource"`
	Environment string     `json:"environment,omitempty"`
	Release     string     `json:"release,omitempty"` // of the last observation
	Severity    string     `json:"severity"`          // critical, high, medium, low
	Title       string     `json:"title"`
	State       string     `json:"state"`
	Item        int64      `json:"item,omitempty"` // that stands for it, or stood
	Count       int64      `json:"count"`
	First       time.Time  `json:"first_seen"`
	Last        time.Time  `json:"last_seen"`
	Healthy     time.Time  `json:"healthy,omitzero"` // since when it is well; zero while it is not
	Resolved    time.Time  `json:"resolved,omitzero"`
	Until       time.Time  `json:"until,omitzero"` // of a dismissal
	Reason      string     `json:"reason,omitempty"`
	Workloads   []string   `json:"workloads"` // roles and workloads that it concerns
	Evidence    []Evidence `json:"evidence"`  // the newest first
	Parts       []Part     `json:"parts"`     // of a signal with a checklist
}

// Evidence is one thing that shows a signal.
type Evidence struct {
	Kind    string    `json:"kind"`              // release, canary, alert, error, pod, run, image, decision, query, trace
	Subject string    `json:"subject,omitempty"` // of the logbook, "release:shop/production/48"
	Text    string    `json:"text"`
	Query   string    `json:"query,omitempty"` // KQL or PromQL that shows it
	At      time.Time `json:"at"`
}

// Part is one line of a signal's checklist: an image of one vulnerability.
type Part struct {
	Name string    `json:"name"`
	Note string    `json:"note,omitempty"`
	Done time.Time `json:"done,omitzero"`
}

// Impact is what a cause costs.
type Impact struct {
	Requests     int64     `json:"requests"`
	FailureShare float64   `json:"failure_share"` // 0 to 1
	Since        time.Time `json:"since,omitzero"`
}

// Insight is an item's cause: its signals, and what is known about them.
type Insight struct {
	Item     int64    `json:"item"`
	Signals  []Signal `json:"signals"` // the one that names the item first
	Release  string   `json:"release,omitempty"`
	Stable   string   `json:"stable,omitempty"` // that served before
	Repo     string   `json:"repo,omitempty"`
	Suspects []Commit `json:"suspects"`
	Owner    string   `json:"owner,omitempty"`    // user
	OwnerBy  string   `json:"owner_by,omitempty"` // CODEOWNERS, last change
	Impact   Impact   `json:"impact"`
	Parent   int64    `json:"parent,omitempty"` // umbrella
}

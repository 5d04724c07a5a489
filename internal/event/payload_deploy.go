package event

// The payloads of events about releases, environments and what lives there.

import "time"

// Release is the payload of TypeReleaseStarted and TypeReleaseFinished; the
// subject is the release. Links: released-by run, deploys image (each).
type Release struct {
	V           int      `json:"v"`
	Release     string   `json:"release"` // "shop/production/48"
	Environment string   `json:"environment"`
	Namespace   string   `json:"namespace"`
	Name        string   `json:"name"`  // Helm release name
	Chart       string   `json:"chart"` // name-version, empty for plain manifests
	Revision    int      `json:"revision"`
	Run         int64    `json:"run,omitempty"`
	Commit      string   `json:"commit,omitempty"`
	Images      []string `json:"images"`           // "host/repository@sha256:…"
	Result      string   `json:"result,omitempty"` // deployed, failed, rolled-back
	Why         string   `json:"why,omitempty"`
	Seconds     float64  `json:"seconds,omitempty"`
	Pods        []Pod    `json:"pods,omitempty"`
	Hosts       []string `json:"hosts,omitempty"` // URLs that serve it
}

// Pod is one pod of a release.
type Pod struct {
	UID    string   `json:"uid"`
	Name   string   `json:"name"`
	Images []string `json:"images"` // digests that run
	Ready  bool     `json:"ready"`
}

// PodChanged is the payload of TypePodChanged: a pod of a release became ready or
// stopped being so, or is gone. The subject is the pod. Links: part-of release,
// runs image.
type PodChanged struct {
	V         int    `json:"v"`
	Release   string `json:"release"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Ready     bool   `json:"ready"`
	Gone      bool   `json:"gone,omitempty"`
	Restarts  int    `json:"restarts,omitempty"`
	Why       string `json:"why,omitempty"`
}

// ClusterChanged is the payload of TypeClusterChanged; the subject is project:"".
type ClusterChanged struct {
	V       int    `json:"v"`
	Kind    string `json:"kind"` // embedded, adopted
	State   string `json:"state"`
	Version string `json:"version,omitempty"`
	Why     string `json:"why,omitempty"`
}

// ReleaseObserved is the payload of TypeReleaseObserved: the first telemetry of a release
// arrived. The subject is the release.
type ReleaseObserved struct {
	V           int      `json:"v"`
	Release     string   `json:"release"`
	Environment string   `json:"environment"`
	Signal      string   `json:"signal"`          // logs, traces
	Seconds     float64  `json:"seconds"`         // since the release started
	Roles       []string `json:"roles,omitempty"` // services or pods that sent it
}

// ReleaseCompared is the payload of TypeReleaseCompared: what a release does was compared
// with what the one before it did. The subject is the release.
type ReleaseCompared struct {
	V           int         `json:"v"`
	Release     string      `json:"release"`
	Environment string      `json:"environment"`
	Baseline    string      `json:"baseline"` // the release before
	Verdict     string      `json:"verdict"`  // better, same, worse, unclear
	Why         string      `json:"why,omitempty"`
	Operations  []Operation `json:"operations,omitempty"` // those that changed, worst first
}

// Operation is one operation of a service, before and after.
type Operation struct {
	Role           string  `json:"role"`
	Name           string  `json:"name"`
	Requests       int64   `json:"requests"`
	RequestsBefore int64   `json:"requests_before"`
	FailureShare   float64 `json:"failure_share"` // 0 to 1
	FailureBefore  float64 `json:"failure_before"`
	P95            float64 `json:"p95_ms"`
	P95Before      float64 `json:"p95_before_ms"`
	P              float64 `json:"p"` // of the test that decided
	Verdict        string  `json:"verdict"`
}

// EnvironmentChanged is the payload of TypeEnvironmentChanged; the subject is the project.
type EnvironmentChanged struct {
	V           int    `json:"v"`
	Environment string `json:"environment"`
	Field       string `json:"field"` // routing, sessions, strategy, drift, review_apps, target
	Value       string `json:"value"`
}

// EnvironmentEnded is the payload of TypeEnvironmentEnded: a review app was taken away with its
// namespace. The subject is the pull request that it showed.
type EnvironmentEnded struct {
	V           int    `json:"v"`
	Environment string `json:"environment"` // "review.web-pr-7"
	Namespace   string `json:"namespace"`
	Repo        string `json:"repo"`
	Pull        int64  `json:"pull"`
	Why         string `json:"why"`
}

// Canary is the payload of TypeCanaryStepped (a step began, or it waits) and
// TypeCanaryFinished; the subject is the release that is tried.
type Canary struct {
	V           int            `json:"v"`
	Release     string         `json:"release"` // that is tried
	Environment string         `json:"environment"`
	Stable      string         `json:"stable"` // release that serves meanwhile
	Step        int            `json:"step"`   // from 1
	Steps       int            `json:"steps"`
	Weight      int            `json:"weight"` // percent of the traffic that the canary has
	State       string         `json:"state"`  // progressing, paused, inconclusive, promoting, promoted, rejecting, rejected
	Why         string         `json:"why,omitempty"`
	By          string         `json:"by,omitempty"`      // who promoted or rejected; "" for the analysis
	Metrics     []CanaryMetric `json:"metrics,omitempty"` // as they stood
	Operations  []Operation    `json:"operations,omitempty"`
}

// CanaryMetric is one metric of the analysis: the canary beside a baseline of its size.
type CanaryMetric struct {
	Service  string  `json:"service"`
	Name     string  `json:"name"` // error-rate, latency-p95, restarts, oom
	Canary   float64 `json:"canary"`
	Baseline float64 `json:"baseline"`
	Samples  int64   `json:"samples"` // requests of the canary
	P        float64 `json:"p,omitempty"`
	Verdict  string  `json:"verdict"` // success, failure, inconclusive
	Why      string  `json:"why,omitempty"`
}

// DriftFound is the payload of TypeDriftFound: an object of a release is not as it was
// deployed. The subject is the release.
type DriftFound struct {
	V           int      `json:"v"`
	Release     string   `json:"release"`
	Environment string   `json:"environment"`
	Object      string   `json:"object"` // "Deployment shop/cart"
	Fields      []string `json:"fields"` // at most 20, without values
	Manager     string   `json:"manager,omitempty"`
	Mended      bool     `json:"mended"` // drift is enforced: it was put back
}

// DriftUndone is the payload of TypeDriftUndone: an object that had drifted is as it was
// deployed again, or no release has it any more, and it was not the platform that did it. The
// subject is the release.
type DriftUndone struct {
	V           int    `json:"v"`
	Release     string `json:"release"`
	Environment string `json:"environment"`
	Object      string `json:"object"` // "Deployment shop/cart"
}

// ReleaseRemoved is the payload of TypeReleaseRemoved: a job took a Helm release away with its
// objects. The subject is the newest release that it had.
type ReleaseRemoved struct {
	V           int    `json:"v"`
	Release     string `json:"release"`
	Environment string `json:"environment"`
	Name        string `json:"name"` // of the Helm release
	Run         int64  `json:"run"`
}

// ObjectsChanged is the payload of TypeObjectsChanged: a job changed single objects of an
// environment beside its releases. The subject is the run.
type ObjectsChanged struct {
	V           int      `json:"v"`
	Environment string   `json:"environment"`
	Namespace   string   `json:"namespace"`
	Run         int64    `json:"run"`
	Command     string   `json:"command"` // "kubectl set image", without its words
	Objects     []string `json:"objects"` // "deployment/web", at most 50
}

// Session is the payload of TypeSessionStarted, TypeSessionShared and TypeSessionEnded; the
// subject is the session. It never holds the key.
type Session struct {
	V           int       `json:"v"`
	Session     string    `json:"session"`
	User        string    `json:"user"`
	Environment string    `json:"environment"`
	Namespace   string    `json:"namespace"`
	Service     string    `json:"service"`
	Mode        string    `json:"mode"`              // run, sync, attach
	Secrets     []string  `json:"secrets,omitempty"` // names of environment values that came from Secrets
	Expires     time.Time `json:"expires"`
	Why         string    `json:"why,omitempty"` // of the end: stopped, expired, replaced
}

package depend

import (
	"context"
)

// Ecosystems, in the words of OSV.
const (
	Go  = "Go"
	NPM = "npm"
)

// Severities, least first but for Unknown: any other word counts as it too.
const (
	Unknown  = "unknown"
	Low      = "low"
	Medium   = "medium"
	High     = "high"
	Critical = "critical"
)

// Requirement is a package at a version, as a manifest names it.
type Requirement struct {
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
	Version   string `json:"version"` // Go: without the leading v
	Line      int    `json:"line"`    // 1-based, in the manifest
	Direct    bool   `json:"direct"`  // named by the repository itself
}

// Advisory is what is known against one version of a package.
type Advisory struct {
	ID       string   `json:"id"`
	Aliases  []string `json:"aliases,omitempty"`
	Severity string   `json:"severity,omitempty"` // one of the severities above
	Summary  string   `json:"summary"`
	Fixed    string   `json:"fixed,omitempty"` // lowest fixed version above; "" when there is none
}

// Advisories knows what versions are vulnerable.
type Advisories interface {
	// Affecting returns the advisories that affect the version, none when there are
	// none. ecosystem is a word of OSV ("Go", "npm"); a Go version has no leading v. An
	// error means that it could not be told, and fails the review.
	Affecting(ctx context.Context, ecosystem, name, version string) ([]Advisory, error)
}

// File is a manifest before and after the change. A nil side means that it does not exist
// there.
type File struct {
	Path string // within the repository
	Base []byte
	Head []byte
}

// Change is a requirement that the change brings.
type Change struct {
	File string `json:"file"`
	Requirement
	// Before are the versions of the package in the base, "" for a new package.
	Before     string     `json:"before,omitempty"`
	Advisories []Advisory `json:"advisories,omitempty"`
}

// Annotation is one advisory against one changed requirement, at its line.
type Annotation struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Package string `json:"package"`
	Version string `json:"version"`
	Advisory
	Fails   bool   `json:"fails"`   // it makes the conclusion a failure
	Message string `json:"message"` // what is wrong and what to do, one or two sentences
}

// Conclusions of a review.
const (
	Success = "success"
	Failure = "failure"
)

// Report is the outcome of a review.
type Report struct {
	Conclusion  string       `json:"conclusion"`
	Title       string       `json:"title"` // one line: "2 vulnerable packages added"
	Changes     []Change     `json:"changes"`
	Annotations []Annotation `json:"annotations"`
}

package identity

import (
	"slices"
	"strings"
)

// Role is what a user may do in a project. Each role includes the ones before it.
type Role int

// The roles, weakest first.
const (
	None     Role = iota
	Read          // see everything of the project, clone, pull images
	Write         // push code and images, start and cancel runs
	Maintain      // manage environments, branches, deploy by hand
	Admin         // manage members and the project itself
)

// String returns the role's word: none, read, write, maintain, admin.
func (r Role) String() string {
	if r < None || r > Admin {
		return "none"
	}
	return [...]string{"none", "read", "write", "maintain", "admin"}[r]
}

// ParseRole is the inverse of String; ok is false for any other word.
func ParseRole(s string) (r Role, ok bool) {
	for r := None; r <= Admin; r++ {
		if r.String() == s {
			return r, true
		}
	}
	return None, false
}

// Kinds of actors.
const (
	KindUser   = "user"   // a person or a robot with an account
	KindRun    = "run"    // a job of a run, by its job token
	KindKey    = "key"    // a deploy key: Git on its one repository, and nothing else
	KindNode   = "node"   // the embedded cluster's node: may pull every image
	KindPull   = "pull"   // a node of a cluster that is not ours: may pull the one repository that it is called after
	KindSystem = "system" // Towpath itself
	KindNobody = "nobody" // no credentials
)

// Actor is who asks. It is made by Service.Authenticate (or SystemActor) and passed
// explicitly to every domain method. The zero Actor is nobody.
type Actor struct {
	Kind  string // one of the kinds above; "" means nobody
	Name  string // user name, run number, id of the key, component
	Admin bool   // administrator of the installation

	// Cap limits what a personal token may do, whatever the user's role: it is the
	// role that its scope allows. Sessions and job tokens have Admin here.
	Cap Role
	// Claims of a job token; the zero value for anyone else.
	Job JobClaims
	// Key says what a deploy key opens; the zero value for anyone else. Only the Git
	// transport of package source looks at it: Service.Require gives such an actor nothing.
	Key KeyClaims
	// TokenID names the token, session or key used, for the audit log.
	TokenID string
}

// KeyClaims says what a deploy key opens.
type KeyClaims struct {
	Repo  string `json:"repo"`  // "project/repo"
	Write bool   `json:"write"` // may push
}

// JobClaims says which job of which run acts.
type JobClaims struct {
	Project     string `json:"project"`
	Repo        string `json:"repo"` // "project/repo"
	Run         int64  `json:"run"`
	Stage       string `json:"stage"`
	Job         string `json:"job"`         // job name within the stage
	Commit      string `json:"commit"`      // full hash
	Ref         string `json:"ref"`         // "refs/heads/main"
	Environment string `json:"environment"` // of a deployment job, else ""; of a pull request's run a review app
	// Pull is the number of the pull request that the run is of, 0 for another run.
	Pull      int64  `json:"pull,omitempty"`
	Requester string `json:"requester"` // user who pushed or pressed the button
	// Clones are repositories of other projects ("project/repo", separated by a space) that
	// the job may clone, and do nothing else with. Only the Git transport looks at it.
	Clones string `json:"clones,omitempty"`
}

// MayClone reports whether a job may clone a repository of another project.
func (c JobClaims) MayClone(repo string) bool {
	for one := range strings.FieldsSeq(c.Clones) {
		if one == repo {
			return true
		}
	}
	return false
}

// String returns "kind:name", the form in which an actor stands in the logbook.
func (a Actor) String() string {
	if a.Kind == "" {
		return KindNobody
	}
	return a.Kind + ":" + a.Name
}

// Known reports whether the actor authenticated.
func (a Actor) Known() bool { return a.Kind != "" && a.Kind != KindNobody }

// SystemActor returns the actor for a part of Towpath that acts by itself.
func SystemActor(component string) Actor {
	return Actor{Kind: KindSystem, Name: component, Admin: true, Cap: Admin}
}

// scopeCaps lists the scopes of personal tokens with the role each allows.
var scopeCaps = map[string]Role{"read": Read, "write": Write, "maintain": Maintain, "admin": Admin}

// Scopes returns the words that a personal token's scope may be, weakest first.
func Scopes() []string {
	out := make([]string, 0, len(scopeCaps))
	for s := range scopeCaps {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b string) int { return int(scopeCaps[a]) - int(scopeCaps[b]) })
	return out
}

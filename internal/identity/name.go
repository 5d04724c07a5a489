package identity

import (
	"encoding/base32"
	"regexp"
	"slices"

	"towpath.dev/towpath/internal/fault"
)

var base32lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

var (
	projectName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	userName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)
)

// reserved lists the names that no project may have, because they are the first segment
// of a URL of the product, or would be taken for one.
var reserved = []string{
	"admin", "agent", "agents", "api", "assets", "auth", "debug", "docs", "events", "favicon", "health", "healthz", "help", "inbox", "installation",
	"livez", "login", "logout", "metrics", "new", "path", "projects", "readyz", "search", "settings", "signup", "static", "status", "system", "towpath",
	"trace", "users", "v1", "v2", "well-known",
}

// reservedUsers lists the user names that mean something else in Basic credentials or in
// the logbook.
var reservedUsers = []string{KindRun, KindKey, KindNode, KindPull, KindSystem, KindNobody, "token", "towpath"}

// CheckProjectName returns fault.Invalid when name cannot be a project's: the rule stands
// in ARCHITECTURE.md (a DNS label in lower case, because namespaces and host names are
// made of it), and some names are reserved for the product's own URLs.
func CheckProjectName(name string) error {
	switch {
	case !projectName.MatchString(name):
		return fault.New(fault.Invalid, "%q cannot be the name of a project: it must be 1 to 63 of a-z, 0-9 and -, and begin and end with a letter or digit.", clip(name))
	case slices.Contains(reserved, name):
		return fault.New(fault.Invalid, "%q cannot be the name of a project: Towpath uses it in its own addresses.", name).WithNext("choose another name")
	}
	return nil
}

// CheckUserName returns fault.Invalid when name cannot be a user's.
func CheckUserName(name string) error {
	switch {
	case !userName.MatchString(name):
		return fault.New(fault.Invalid, "%q cannot be a user name: it must be 1 to 63 of a-z, 0-9, '.', '_' and -, and begin and end with a letter or digit.", clip(name))
	case slices.Contains(reservedUsers, name):
		return fault.New(fault.Invalid, "%q cannot be a user name: Towpath uses it itself.", name).WithNext("choose another name")
	}
	return nil
}

// clip shortens foreign text for a message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

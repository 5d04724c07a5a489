package source

import (
	"net/http"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// maxName is the longest name of a repository within its project, in bytes.
const maxName = 63

// SplitName checks a full repository name and cuts it into project and repository:
// "shop/web" → "shop", "web". Any other form is fault.Invalid.
func SplitName(full string) (project, repo string, err error) {
	project, repo, _ = strings.Cut(full, "/")
	if !validProject(project) || !validRepo(repo) {
		return "", "", fault.New(fault.Invalid, "%q is not the name of a repository.", clip(full)).
			WithNext("use project/repo: lower-case letters, digits and -, in the repository also . and _")
	}
	return project, repo, nil
}

func validProject(s string) bool { return identity.CheckProjectName(s) == nil }

// validRepo keeps names apart from what the URL adds to them (.git) and from what git
// or a filesystem could read into them (.., .lock).
func validRepo(s string) bool {
	if s == "" || len(s) > maxName || strings.Contains(s, "..") || strings.HasSuffix(s, ".git") || strings.HasSuffix(s, ".lock") {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'; {
		case alnum:
		case i == 0 || i == len(s)-1 || c != '-' && c != '.' && c != '_':
			return false
		}
	}
	return true
}

// clip shortens foreign text for a message.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }

// Services of the smart HTTP protocol.
const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"
)

// Address is what the URL of a Git request names.
type Address struct {
	Project string
	Repo    string
	// Action is "info/refs", "git-upload-pack" or "git-receive-pack".
	Action string
}

// ParsePath reads the path of a URL as a Git client asks for it:
// /{project}/{repo}.git/{action}, or the same without ".git". ok is false for any
// other path, also for one whose names are no valid names.
func ParsePath(path string) (a Address, ok bool) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return Address{}, false
	}
	for _, action := range []string{"info/refs", uploadPack, receivePack} {
		name, ok := strings.CutSuffix(rest, "/"+action)
		if !ok {
			continue
		}
		project, repo, _ := strings.Cut(name, "/")
		repo = strings.TrimSuffix(repo, ".git")
		if !validProject(project) || !validRepo(repo) {
			return Address{}, false
		}
		return Address{Project: project, Repo: repo, Action: action}, true
	}
	return Address{}, false
}

// others are first path segments of the listener below which no Git address lies, however
// it ends.
var others = map[string]bool{"projects": true, "api": true, "agent": true, "assets": true, "v2": true}

// Handles reports whether a request is one for Handler: a Git client's request, also
// a malformed one that Handler refuses in words. The listener asks it before its own
// routes, because patterns for Git would overlap with those of pages.
func Handles(r *http.Request) bool {
	p := r.URL.Path
	for _, action := range []string{"/info/refs", "/" + uploadPack, "/" + receivePack} {
		if strings.HasSuffix(p, action) {
			first, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
			return !others[first]
		}
	}
	return false
}

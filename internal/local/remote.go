package local

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Repository is where a folder's repository is at home.
type Repository struct {
	// URL is the address of the remote, without user and password.
	URL string
	// Name is what Build.Repository.Name is: "owner/name", or "project/name" of a server.
	Name string
	// Provider is GitHub, Bitbucket or TfsGit (P002).
	Provider string
}

// Remote finds the repository that a folder is cloned from: the remote that its branch
// follows, else origin, else its only one. ok is false when it has none.
func Remote(ctx context.Context, root string) (_ Repository, ok bool) {
	if _, err := os.Lstat(filepath.Join(root, ".git")); err != nil {
		return Repository{}, false
	}
	g := gitter{dir: root}
	list, err := g.own(ctx, "remote")
	if err != nil || list == "" {
		return Repository{}, false
	}
	names := strings.Split(list, "\n")
	name := names[0]
	if slices.Contains(names, "origin") {
		name = "origin"
	}
	if branch, err := g.own(ctx, "symbolic-ref", "--quiet", "--short", "HEAD"); err == nil {
		if followed, err := g.own(ctx, "config", "--get", "branch."+branch+".remote"); err == nil && slices.Contains(names, followed) {
			name = followed
		}
	}
	at, err := g.own(ctx, "remote", "get-url", name)
	if err != nil {
		return Repository{}, false
	}
	return repositoryAt(at)
}

// repositoryAt reads an address of a remote: a URL, or HOST:PATH of ssh.
func repositoryAt(at string) (Repository, bool) {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" {
		host, path, ok := strings.Cut(at, ":")
		if !ok || strings.Contains(host, "/") || filepath.IsAbs(at) {
			return Repository{}, false // A folder: nothing of it is a name elsewhere.
		}
		if _, after, named := strings.Cut(host, "@"); named {
			host = after
		}
		u = &url.URL{Scheme: "ssh", Host: host, Path: "/" + strings.TrimPrefix(path, "/")}
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	r := Repository{URL: u.String(), Name: strings.Trim(strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), ".git"), "/"), Provider: "TfsGit"}
	switch host := strings.ToLower(u.Hostname()); {
	case host == "github.com":
		r.Provider = "GitHub"
	case host == "bitbucket.org":
		r.Provider = "Bitbucket"
	default:
		// The service's own addresses end in project/_git/name; there the name stands alone.
		if _, name, ok := strings.Cut(r.Name, "_git/"); ok {
			r.Name = name
		}
	}
	return r, r.Name != ""
}

// Variables are the predefined variables of the repository (P002).
func (r Repository) Variables() map[string]string {
	return map[string]string{
		"Build.Repository.Name": r.Name, "Build.Repository.ID": r.Name, "Build.Repository.Provider": r.Provider, "Build.Repository.Uri": r.URL,
	}
}

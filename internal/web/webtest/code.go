package webtest

import (
	"context"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
)

// The commits of the fixture, newest first.
const (
	Newest = "e81f0c7a2b94d35c6f10e7a8b9c0d1e2f3a4b5c6"
	Second = "9f2c41e07d3b8a6c5e4f1029384756aabbccdde0"
	Third  = "41ab07d19e8c7b6a5f4e3d2c1b0a998877665544"
	Fourth = "7d90b12f6e5d4c3b2a1908f7e6d5c4b3a2918070"
)

// Source is the fixture's Git.
type Source struct{ f *Fixture }

func (s Source) may(ctx context.Context, a identity.Actor, full string) error {
	project, _, _ := strings.Cut(full, "/")
	return s.f.Require(ctx, a, project, identity.Read)
}

// Repos lists shop and an empty one.
func (s Source) Repos(ctx context.Context, a identity.Actor, project string) ([]source.Repo, error) {
	if s.f.Empty {
		return nil, s.may(ctx, a, project)
	}
	return []source.Repo{
		{Project: "shop", Name: "shop", DefaultBranch: "main", Created: Now.Add(-80 * 24 * time.Hour)},
		{Project: "shop", Name: "fresh", DefaultBranch: "main", Created: Now.Add(-time.Hour)},
	}, s.may(ctx, a, project)
}

// Repo returns one of them.
func (s Source) Repo(ctx context.Context, a identity.Actor, full string) (source.Repo, error) {
	if err := s.may(ctx, a, full); err != nil {
		return source.Repo{}, err
	}
	_, name, _ := strings.Cut(full, "/")
	if name != "shop" && name != "fresh" {
		return source.Repo{}, fault.New(fault.NotFound, "There is no repository %s.", full).WithNext("git push to it, and it is made")
	}
	return source.Repo{Project: "shop", Name: name, DefaultBranch: "main", Created: Now.Add(-80 * 24 * time.Hour)}, nil
}

// files are those of the newest commit.
var files = map[string]string{
	"README.md":           "# shop\n\nFour small services.\n\n    towpath up\n",
	"azure-pipelines.yml": "trigger:\n- main\n\nstages:\n- stage: Build\n  jobs:\n  - job: test\n    steps:\n    - script: go test ./...\n      displayName: Unit tests\n",
	"cart/rounding.go":    "// Package cart keeps carts.\npackage cart\n\nimport \"math\"\n\n// Round rounds a price to the currency's minor unit.\nfunc Round(price float64, minor int) float64 {\n\tscale := math.Pow10(minor)\n\treturn math.Round(price*scale) / scale // half away from zero\n}\n",
	"evil.html":           "<script>alert(1)</script>\n",
}

// Tree lists the root or the folder cart.
func (s Source) Tree(ctx context.Context, a identity.Actor, full, _, path string) ([]git.Entry, error) {
	if path == "cart" {
		return []git.Entry{{Mode: "100644", Type: "blob", Hash: Fourth, Size: 294, Path: "cart/rounding.go"}}, s.may(ctx, a, full)
	}
	return []git.Entry{
		{Mode: "040000", Type: "tree", Hash: Newest, Path: "cart"}, {Mode: "040000", Type: "tree", Hash: Newest, Path: "chart"},
		{Mode: "040000", Type: "tree", Hash: Newest, Path: "web"}, {Mode: "100644", Type: "blob", Hash: Second, Size: 42, Path: "README.md"},
		{Mode: "100644", Type: "blob", Hash: Third, Size: 1840, Path: "azure-pipelines.yml"}, {Mode: "100644", Type: "blob", Hash: Third, Size: 26, Path: "evil.html"},
	}, s.may(ctx, a, full)
}

// Blob returns a file.
func (s Source) Blob(ctx context.Context, a identity.Actor, full, rev, path string) (source.Blob, error) {
	b, err := s.File(ctx, a, full, rev, path)
	return source.Blob{Entry: git.Entry{Mode: "100644", Type: "blob", Hash: Fourth, Size: int64(len(b)), Path: path}, Commit: Newest, Content: b}, err
}

// File returns a file's bytes.
func (s Source) File(ctx context.Context, a identity.Actor, full, _, path string) ([]byte, error) {
	if err := s.may(ctx, a, full); err != nil {
		return nil, err
	}
	text, ok := files[path]
	if !ok {
		return nil, fault.New(fault.NotFound, "There is no file %q at %s in %s.", path, Newest[:10], full)
	}
	return []byte(text), nil
}

func commits() []git.Commit {
	who := func(name string, ago time.Duration) git.Person {
		return git.Person{Name: name, Email: name + "@example.org", When: Now.Add(-ago)}
	}
	return []git.Commit{
		{Hash: Newest, Parents: []string{Second}, Author: who("cart-dev", 6*time.Minute), Title: "Price rounding for multi-currency carts", Body: "The yen has no minor unit: round to whole ones.\n\nHalf away from zero, as the tax office wants it."},
		{Hash: Second, Parents: []string{Third}, Author: who("web-dev", 52*time.Minute), Title: "Checkout: retry on 503 from pricing"},
		{Hash: Third, Parents: []string{Fourth}, Author: who("catalog-dev", 2*time.Hour), Title: "Catalog search by tag"},
		{Hash: Fourth, Author: who("cart-dev", 5*time.Hour), Title: "Faster cold start for web <script>alert(1)</script>"},
	}
}

// Commits lists all.
func (s Source) Commits(ctx context.Context, a identity.Actor, full, rev, _ string, _, size int) ([]git.Commit, bool, error) {
	list := commits()
	if rev == "feature/tags" { // Two more than main has.
		more := git.Commit{Hash: "c41ab07d19e8c7b6a5f4e3d2c1b0a99887766554", Parents: []string{Third}, Author: git.Person{Name: "catalog-dev", When: Now.Add(-time.Hour)}, Title: "Search: rank exact tags first"}
		list = append([]git.Commit{more, {Hash: "d41ab07d19e8c7b6a5f4e3d2c1b0a99887766554", Author: more.Author, Title: "Search: an index of tags"}}, list[2:]...)
	}
	return list[:min(size, len(list))], false, s.may(ctx, a, full)
}

// Commit returns one by its hash, or the newest.
func (s Source) Commit(ctx context.Context, a identity.Actor, full, rev string) (git.Commit, error) {
	if err := s.may(ctx, a, full); err != nil {
		return git.Commit{}, err
	}
	if strings.HasSuffix(full, "/fresh") {
		return git.Commit{}, fault.New(fault.NotFound, "The repository %s has no commits yet.", full)
	}
	for _, c := range commits() {
		if rev == "" || rev == "main" || c.Hash == rev {
			return c, nil
		}
	}
	return git.Commit{}, fault.New(fault.NotFound, "There is no commit, branch or tag %q in %s.", rev, full)
}

// Diff returns a small one.
func (s Source) Diff(ctx context.Context, a identity.Actor, full, _, _ string) (git.Diff, error) {
	return git.Diff{Additions: 3, Deletions: 1, Files: []git.FileDiff{
		{Kind: git.Modified, Old: "cart/rounding.go", New: "cart/rounding.go", OldMode: "100644", NewMode: "100644", Additions: 2, Deletions: 1, Hunks: []git.Hunk{{
			OldStart: 6, OldLines: 4, NewStart: 6, NewLines: 5, Section: "func Round(price float64, minor int) float64 {",
			Lines: []git.Line{
				{Kind: git.Context, Old: 6, New: 6, Text: "// Round rounds a price to the currency's minor unit."},
				{Kind: git.Minus, Old: 7, Text: "func Round(price float64) float64 {"},
				{Kind: git.Plus, New: 7, Text: "func Round(price float64, minor int) float64 {"},
				{Kind: git.Plus, New: 8, Text: "\tscale := math.Pow10(minor)"},
				{Kind: git.Context, Old: 8, New: 9, Text: "}"},
			},
		}}},
		{Kind: git.Added, Old: "cart/testdata/<b>.txt", New: "cart/testdata/<b>.txt", Additions: 1, Hunks: []git.Hunk{{NewStart: 1, NewLines: 1, Lines: []git.Line{{Kind: git.Plus, New: 1, Text: "<img src=x onerror=alert(1)>"}}}}},
	}}, s.may(ctx, a, full)
}

// Branches lists two; the repository fresh has none.
func (s Source) Branches(ctx context.Context, a identity.Actor, full string) ([]git.Ref, error) {
	if strings.HasSuffix(full, "/fresh") {
		return nil, s.may(ctx, a, full)
	}
	return []git.Ref{
		{Name: "main", Commit: Newest, Title: "Price rounding for multi-currency carts", When: Now.Add(-6 * time.Minute)},
		{Name: "feature/tags", Commit: Third, Title: "Catalog search by tag", When: Now.Add(-2 * time.Hour)},
	}, s.may(ctx, a, full)
}

// Tags lists one.
func (s Source) Tags(ctx context.Context, a identity.Actor, full string) ([]git.Ref, error) {
	return []git.Ref{{Name: "v1.0", Commit: Fourth, Title: "First", When: Now.Add(-5 * time.Hour)}}, s.may(ctx, a, full)
}

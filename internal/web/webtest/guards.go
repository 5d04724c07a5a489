package webtest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/protect"
	"towpath.dev/towpath/internal/source/ruleset"
)

// Rulesets are the fixture's: one that holds, one that only says so.
type Rulesets struct{ f *Fixture }

func (r Rulesets) list() []ruleset.Ruleset {
	return append([]ruleset.Ruleset{
		{ID: "1", Repo: "shop/shop", Name: "main is reviewed", Enforcement: ruleset.Active, Refs: []string{"~default", "release/*"}, Bypass: []string{"role:admin"}, Changed: Now.Add(-72 * time.Hour), Rules: ruleset.Rules{
			RestrictDeletion: true, BlockForcePush: true, PullRequest: &ruleset.PullRequest{Approvals: 2, CodeOwners: true, DropStale: true, ResolvedThreads: true, Methods: []string{"squash", "merge"}},
			RequiredChecks: []ruleset.Check{{Name: "policy", Source: "system:policy"}, {Name: "azure-pipelines.yml", Source: "system:pipeline"}},
		}},
		{ID: "2", Repo: "shop/shop", Name: "tags stay", Enforcement: ruleset.Evaluate, Refs: []string{"refs/tags/v*"}, Rules: ruleset.Rules{RestrictDeletion: true, BlockForcePush: true}},
	}, r.f.Rulesets...)
}

func (r Rulesets) may(ctx context.Context, a identity.Actor, repo string, role identity.Role) error {
	project, _, _ := strings.Cut(repo, "/")
	return r.f.Require(ctx, a, project, role)
}

// List lists them; the repository fresh has none.
func (r Rulesets) List(ctx context.Context, a identity.Actor, repo string) ([]ruleset.Ruleset, error) {
	if err := r.may(ctx, a, repo, identity.Read); err != nil || repo != "shop/shop" {
		return nil, err
	}
	return r.list(), nil
}

// Get finds one by its name.
func (r Rulesets) Get(ctx context.Context, a identity.Actor, repo, name string) (ruleset.Ruleset, error) {
	if err := r.may(ctx, a, repo, identity.Read); err != nil {
		return ruleset.Ruleset{}, err
	}
	for _, s := range r.list() {
		if s.Name == name {
			return s, nil
		}
	}
	return ruleset.Ruleset{}, fault.New(fault.NotFound, "There is no ruleset %q in %s.", name, repo)
}

// Put notes one.
func (r Rulesets) Put(ctx context.Context, a identity.Actor, s ruleset.Ruleset) (ruleset.Ruleset, error) {
	if err := r.may(ctx, a, s.Repo, identity.Maintain); err != nil {
		return s, err
	}
	r.f.Lock()
	defer r.f.Unlock()
	r.f.Rulesets = append(r.f.Rulesets, s)
	return s, nil
}

// Delete notes it.
func (r Rulesets) Delete(ctx context.Context, a identity.Actor, repo, name string) error {
	if err := r.may(ctx, a, repo, identity.Maintain); err != nil {
		return err
	}
	Pulls(r).said("delete ruleset %s", name)
	return nil
}

// Requirements holds main by one ruleset.
func (r Rulesets) Requirements(ctx context.Context, a identity.Actor, repo, branch string) (ruleset.Requirements, error) {
	if branch != "main" {
		return ruleset.Requirements{}, r.may(ctx, a, repo, identity.Read)
	}
	return ruleset.Requirements{Rulesets: []string{"main is reviewed"}, Pull: true, Approvals: 2}, r.may(ctx, a, repo, identity.Read)
}

// Protection has stopped two secrets.
type Protection struct{ f *Fixture }

func findings() []protect.Finding {
	granted := grants()[0]
	return []protect.Finding{
		{ID: "01F1", Repo: "shop/shop", Rule: "private-key", Title: "A private key", Fingerprint: strings.Repeat("4f2a", 8), Redacted: "-----BEGIN RSA PRIVATE KEY-----…", Ref: "refs/heads/cart-debug", Commit: Third, Path: "cart/testdata/key.pem", Line: 1, Actor: "user:bob", First: Now.Add(-26 * time.Hour), Last: Now.Add(-9 * time.Minute), Times: 3},
		{ID: "01F2", Repo: "shop/shop", Rule: "generic-api-key", Title: "Something that looks like an API key", Fingerprint: strings.Repeat("91bc", 8), Redacted: "sk_t… (32 characters)", Ref: "refs/heads/main", Commit: Second, Path: "web/config/a path with spaces/local.yaml", Line: 14, Actor: "user:ada", First: Now.Add(-50 * time.Hour), Last: Now.Add(-49 * time.Hour), Times: 1, Bypass: &granted},
	}
}

func grants() []protect.Granted {
	return []protect.Granted{
		{ID: "01B1", Finding: "01F2", Repo: "shop/shop", Rule: "generic-api-key", Fingerprint: strings.Repeat("91bc", 8), Redacted: "sk_t…", Reason: protect.TestValue, Comment: "The key of the sandbox, printed in its documentation.", Actor: "user:ada", Made: Now.Add(-49 * time.Hour), Expires: Now.Add(5 * 24 * time.Hour)},
		{ID: "01B0", Finding: "01F2", Repo: "shop/shop", Rule: "generic-api-key", Redacted: "sk_t…", Reason: protect.FixLater, Actor: "user:bob", Made: Now.Add(-90 * time.Hour), Expires: Now.Add(-87 * time.Hour)},
	}
}

// Blocked lists them; the repository fresh has none.
func (p Protection) Blocked(ctx context.Context, a identity.Actor, repo string) ([]protect.Finding, error) {
	if err := Rulesets(p).may(ctx, a, repo, identity.Read); err != nil || repo != "shop/shop" {
		return nil, err
	}
	return findings(), nil
}

// Show finds one by its id.
func (p Protection) Show(ctx context.Context, a identity.Actor, id string) (protect.Finding, error) {
	if err := p.f.Require(ctx, a, "shop", identity.Read); err != nil {
		return protect.Finding{}, err
	}
	for _, f := range findings() {
		if f.ID == id {
			return f, nil
		}
	}
	return protect.Finding{}, fault.New(fault.NotFound, "There is no blocked secret %q.", id)
}

// Bypass notes it.
func (p Protection) Bypass(ctx context.Context, a identity.Actor, id string, b protect.Bypass) (protect.Granted, error) {
	if err := p.f.Require(ctx, a, "shop", identity.Write); err != nil {
		return protect.Granted{}, err
	}
	Pulls(p).said("bypass %s %s %s %q", id, b.Reason, b.For, b.Comment)
	return protect.Granted{ID: "01B9", Expires: Now.Add(b.For)}, nil
}

// Bypasses lists two.
func (p Protection) Bypasses(ctx context.Context, a identity.Actor, repo string) ([]protect.Granted, error) {
	if err := Rulesets(p).may(ctx, a, repo, identity.Read); err != nil || repo != "shop/shop" {
		return nil, err
	}
	return grants(), nil
}

// Revoke notes it.
func (p Protection) Revoke(ctx context.Context, a identity.Actor, id string) error {
	if err := p.f.Require(ctx, a, "shop", identity.Write); err != nil {
		return err
	}
	Pulls(p).said("revoke %s", id)
	return nil
}

// Edit notes it; who may only read may not.
func (s Source) Edit(ctx context.Context, a identity.Actor, e source.Edit) (string, error) {
	if err := Rulesets(s).may(ctx, a, e.Repo, identity.Write); err != nil {
		return "", err
	}
	Pulls(s).said("edit %s %s %s %q expect=%s", e.Branch, e.Path, e.Message, e.Content, e.Expect[:7])
	return Newest, nil
}

// Keys lists one's own.
func (f *Fixture) Keys(_ context.Context, a identity.Actor) ([]identity.Key, error) {
	return []identity.Key{{ID: "01K1", Title: "laptop", Type: "ssh-ed25519", Fingerprint: "SHA256:9mC4bVQk3nXr8sT2uW5yZ7aB1cD3eF5gH7jK9mN1pQs", User: a.Name, Created: Now.Add(-400 * time.Hour)}}, nil
}

// AddKey takes what begins as a key does.
func (f *Fixture) AddKey(_ context.Context, a identity.Actor, title, publicKey string) (identity.Key, error) {
	if !strings.HasPrefix(publicKey, "ssh-") {
		return identity.Key{}, fault.New(fault.Invalid, "This is not an SSH public key.").WithNext("paste the one line of a file like ~/.ssh/id_ed25519.pub")
	}
	Pulls{f}.said("key %s %s", a.Name, title)
	return identity.Key{ID: "01K9", Title: title, User: a.Name}, nil
}

// DeployKeys lists one; it needs the role maintain.
func (f *Fixture) DeployKeys(ctx context.Context, a identity.Actor, repo string) ([]identity.Key, error) {
	if err := f.Require(ctx, a, "shop", identity.Maintain); err != nil || repo != "shop/shop" {
		return nil, err
	}
	return []identity.Key{{ID: "01K2", Title: "build server", Type: "ssh-rsa", Fingerprint: "SHA256:1pQs9mC4bVQk3nXr8sT2uW5yZ7aB1cD3eF5gH7jK9mN", Repo: repo, Write: true, Created: Now.Add(-90 * time.Hour)}}, nil
}

// AddDeployKey notes it.
func (f *Fixture) AddDeployKey(ctx context.Context, a identity.Actor, repo, title, _ string, write bool) (identity.Key, error) {
	if err := f.Require(ctx, a, "shop", identity.Maintain); err != nil {
		return identity.Key{}, err
	}
	Pulls{f}.said("deploy key %s %s %t", repo, title, write)
	return identity.Key{ID: "01K8", Title: title, Repo: repo}, nil
}

// RemoveKey notes it.
func (f *Fixture) RemoveKey(_ context.Context, a identity.Actor, id string) error {
	Pulls{f}.said("remove key %s", fmt.Sprint(a.Name, " ", id))
	return nil
}

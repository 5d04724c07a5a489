package provenance_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry/supply/provenance"
	"towpath.dev/towpath/internal/registry/supply/sign"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/vault"
)

var facts = provenance.Facts{
	Run: 2040, Project: "shop", Repo: "shop/web", Ref: "refs/heads/main", Commit: strings.Repeat("5f", 20), Pipeline: "azure-pipelines.yml",
	Started: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), Source: "http://localhost:7080/shop/web.git", Builder: "http://localhost:7080",
	Bases: []string{"base/debian@sha256:" + strings.Repeat("cd", 32)},
}

var image = "sha256:" + strings.Repeat("ab", 32)

func authority(t *testing.T) *sign.Authority {
	t.Helper()
	v, err := vault.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a, err := sign.Open(t.Context(), storetest.SQLite(t), v, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sealed(t *testing.T, a *sign.Authority, project string) (envelope, chain []byte) {
	t.Helper()
	leaf, err := a.Issue(sign.Identity{Run: 2040, Project: project, Repo: project + "/web", Pipeline: "azure-pipelines.yml"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := provenance.New("shop/web", image, facts)
	if err != nil {
		t.Fatal(err)
	}
	if envelope, err = provenance.Seal(t.Context(), s, leaf); err != nil {
		t.Fatal(err)
	}
	return envelope, leaf.Chain()
}

const statement = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"shop/web","digest":{"sha256":"abababababababababababababababababababababababababababababababab"}}],` +
	`"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"https://towpath.dev/buildtypes/azure-pipelines/v1",` +
	`"externalParameters":{"pipeline":"azure-pipelines.yml","ref":"refs/heads/main","repository":"shop/web"},"internalParameters":{"project":"shop","run":2040},` +
	`"resolvedDependencies":[{"uri":"git+http://localhost:7080/shop/web.git@refs/heads/main","digest":{"gitCommit":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}},` +
	`{"uri":"oci://base/debian","digest":{"sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"}}]},` +
	`"runDetails":{"builder":{"id":"http://localhost:7080"},"metadata":{"invocationId":"run/2040","startedOn":"2026-11-20T09:00:00Z"}}}}`

func TestStatement(t *testing.T) {
	s, err := provenance.New("shop/web", image, facts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(statement, string(b)); diff != "" {
		t.Error(diff)
	}
	incomplete := facts
	incomplete.Commit = ""
	if _, err := provenance.New("shop/web", image, incomplete); err == nil {
		t.Error("a statement without commit")
	}
}

func TestVerify(t *testing.T) {
	a := authority(t)
	env, chain := sealed(t, a, "shop")
	s, err := provenance.Verify(t.Context(), a, "shop/web", image, env, chain, time.Now())
	if err != nil || s.Predicate.RunDetails.Metadata.InvocationID != "run/2040" {
		t.Errorf("%+v, %v", s, err)
	}
	foreign, foreignChain := sealed(t, authority(t), "shop")
	otherEnv, otherChain := sealed(t, a, "other")
	_, secondChain := sealed(t, a, "shop")
	old := base64.StdEncoding.EncodeToString([]byte(statement))
	forged := base64.StdEncoding.EncodeToString([]byte(strings.Replace(statement, "5f5f", "6666", 1)))
	for name, c := range map[string]struct {
		repository, image string
		envelope, chain   []byte
		at                time.Time
	}{
		"unrelated authority":   {"shop/web", image, foreign, foreignChain, time.Now()},
		"another leaf":          {"shop/web", image, env, secondChain, time.Now()},
		"another image":         {"shop/web", "sha256:" + strings.Repeat("ac", 32), env, chain, time.Now()},
		"another repository":    {"shop/api", image, env, chain, time.Now()},
		"another project's run": {"shop/web", image, otherEnv, otherChain, time.Now()},
		"expired":               {"shop/web", image, env, chain, time.Now().Add(time.Hour)},
		"changed commit":        {"shop/web", image, bytes.Replace(env, []byte(old), []byte(forged), 1), chain, time.Now()},
		"changed type":          {"shop/web", image, bytes.Replace(env, []byte("in-toto"), []byte("in-tato"), 1), chain, time.Now()},
		"no signature":          {"shop/web", image, []byte(`{"payloadType":"application/vnd.in-toto+json","payload":"` + old + `","signatures":[]}`), chain, time.Now()},
		"no JSON":               {"shop/web", image, []byte("x"), chain, time.Now()},
	} {
		if bytes.Equal(c.envelope, env) && name == "changed commit" {
			t.Fatal("nothing was changed")
		}
		if s, err := provenance.Verify(t.Context(), a, c.repository, c.image, c.envelope, c.chain, c.at); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

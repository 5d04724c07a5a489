package bundle_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence/bundle"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) (crypto.Signer, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	print, err := bundle.Fingerprint(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, print
}

var (
	sbom     = []byte(`{"spdxVersion":"SPDX-2.3"}`)
	manifest = []byte(`{"layers":[{"mediaType":"text/spdx+json","digest":"` + bundle.Digest(sbom) + `","size":26}]}`)
)

// content is a chain in a real logbook, in which an event of another project stands, too.
func content(t testing.TB) (bundle.Content, []bundle.Document) {
	t.Helper()
	db := storetest.SQLite(t)
	log := event.New(db, clock.Fixed(now, time.Second))
	image := event.Of(event.KindImage, "sha256:"+strings.Repeat("b", 64))
	commit := event.Of(event.KindCommit, strings.Repeat("a", 40))
	say := func(project, kind string, s event.Subject, payload any, links ...event.Link) event.Fact {
		return event.Fact{Type: kind, Subject: s, Project: project, Actor: "user:ada", Payload: payload, Links: links}
	}
	facts := []event.Fact{
		say("shop", event.TypeCommitPushed, commit, event.CommitPushed{V: 1, Title: "less <b> & more"}),
		say("shop", event.TypeRunQueued, "run:1", event.Run{V: 1}, event.Link{Rel: event.RelBuiltFrom, To: commit}),
		say("blog", event.TypeRunQueued, "run:2", event.Run{V: 1, Title: "secret"}),
		say("shop", event.TypeImagePushed, image, event.ImagePushed{V: 1}, event.Link{Rel: event.RelProducedBy, To: "run:1"}),
		say("shop", event.TypeSBOMCreated, event.Of(event.KindSBOM, bundle.Digest(manifest)), event.SBOMCreated{V: 1, Digest: bundle.Digest(manifest)},
			event.Link{Rel: event.RelDescribes, To: image}),
	}
	ctx := t.Context()
	if err := db.Tx(ctx, func(tx *store.Tx) error { return log.Append(ctx, tx, facts...) }); err != nil {
		t.Fatal(err)
	}
	events, err := log.Read(ctx, event.Query{Project: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	c := bundle.Content{Subject: image, Project: "shop", Created: now, By: "user:ada", Events: events}
	if c.Head.Seq, c.Head.Hash, err = log.Head(ctx); err != nil {
		t.Fatal(err)
	}
	docs := []bundle.Document{{Digest: bundle.Digest(manifest), MediaType: "m", Data: manifest}, {Digest: bundle.Digest(sbom), MediaType: "s", Data: sbom}}
	slices.SortFunc(docs, func(a, b bundle.Document) int { return strings.Compare(a.Digest, b.Digest) })
	return c, docs
}

func seal(t testing.TB, c bundle.Content, docs []bundle.Document, key crypto.Signer) []byte {
	t.Helper()
	raw, err := bundle.Seal(context.Background(), c, docs, key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestABundleHolds(t *testing.T) {
	c, docs := content(t)
	key, print := newKey(t)
	_, other := newKey(t)
	raw := seal(t, c, docs, key)
	got, err := bundle.Verify(t.Context(), raw, other, print)
	if err != nil {
		t.Fatal(err)
	}
	if got.Events != 4 || got.Segments != 2 || got.Subjects != 4 || got.Documents != 2 || got.Key != print || got.Subject != c.Subject || got.Head != c.Head {
		t.Errorf("%+v", got)
	}
	if bytes.Contains(raw, []byte("secret")) {
		t.Error("another project's event is in the bundle")
	}
}

func TestAKeyThatNobodyTrustsIsRefused(t *testing.T) {
	c, docs := content(t)
	key, print := newKey(t)
	_, other := newKey(t)
	raw := seal(t, c, docs, key)
	for _, trusted := range [][]string{nil, {other}, {strings.ToUpper(print)}, {""}} {
		_, err := bundle.Verify(t.Context(), raw, trusted...)
		if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "nothing here trusts: "+print) {
			t.Errorf("%v: %v", trusted, err)
		}
	}
}

// One byte changed anywhere is refused: every byte once, and some in several ways.
func TestOneByteChangedAnywhereIsRefused(t *testing.T) {
	c, docs := content(t)
	key, print := newKey(t)
	raw := seal(t, c, docs, key)
	for i := range raw {
		for n, to := range []byte{raw[i] ^ 1, raw[i] ^ 0x20, ' ', 'A'} {
			if raw[i] == to || n > 0 && i%29 != 0 {
				continue
			}
			bad := bytes.Clone(raw)
			bad[i] = to
			if _, err := bundle.Verify(t.Context(), bad, print); !fault.Is(err, fault.Denied) {
				t.Fatalf("byte %d of %d: %q for %q is taken: %v", i, len(raw), to, raw[i], err)
			}
		}
	}
	for n := 0; n < len(raw); n += 97 {
		if _, err := bundle.Verify(t.Context(), raw[:n], print); !fault.Is(err, fault.Denied) {
			t.Fatalf("%d of %d bytes are taken: %v", n, len(raw), err)
		}
	}
}

// Whoever holds the key can still not say what does not fit together; each kind of
// tampering has words of its own.
func TestEveryKindOfTamperingIsNamed(t *testing.T) {
	key, print := newKey(t)
	for _, tt := range []struct {
		name, want string
		change     func(c *bundle.Content, docs *[]bundle.Document)
	}{
		{"payload", "its content does not match its hash", func(c *bundle.Content, _ *[]bundle.Document) { c.Events[0].Payload = json.RawMessage(`{"v":2}`) }},
		{"actor", "its content does not match its hash", func(c *bundle.Content, _ *[]bundle.Document) { c.Events[1].Actor = "user:bob" }},
		{"link", "its content does not match its hash", func(c *bundle.Content, _ *[]bundle.Document) { c.Events[1].Links[0].To = "commit:b" }},
		{"order", "stands after event", func(c *bundle.Content, _ *[]bundle.Document) { c.Events[0], c.Events[1] = c.Events[1], c.Events[0] }},
		{"twice", "stands after event", func(c *bundle.Content, _ *[]bundle.Document) { c.Events[1] = c.Events[0] }},
		{"another project", "belongs to the project", func(c *bundle.Content, _ *[]bundle.Document) { c.Project = "blog" }},
		{"head before the events", "is not in the logbook whose head", func(c *bundle.Content, _ *[]bundle.Document) { c.Head.Seq = 2 }},
		{"head of another log", "is not in the logbook whose head", func(c *bundle.Content, _ *[]bundle.Document) { c.Head.Hash = c.Events[0].Hash }},
		{"a broken link in the middle", "to which no link leads", func(c *bundle.Content, _ *[]bundle.Document) { c.Events = slices.Delete(c.Events, 1, 2) }},
		{"subject", "has no event about it", func(c *bundle.Content, _ *[]bundle.Document) { c.Subject = "run:7" }},
		{"no events", "there must be some", func(c *bundle.Content, _ *[]bundle.Document) { c.Events = nil }},
		{"document's bytes", "its bytes have another digest", func(_ *bundle.Content, docs *[]bundle.Document) { (*docs)[0].Data = []byte("{}") }},
		{"document of nobody", "No event names the document", func(_ *bundle.Content, docs *[]bundle.Document) {
			*docs = []bundle.Document{{Digest: bundle.Digest([]byte("x")), MediaType: "t", Data: []byte("x")}}
		}},
		{"documents' order", "not in order", func(_ *bundle.Content, docs *[]bundle.Document) { slices.Reverse(*docs) }},
	} {
		c, docs := content(t)
		tt.change(&c, &docs)
		if _, err := bundle.Verify(t.Context(), seal(t, c, docs, key), print); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// What the key did not sign is refused, however well it fits together.
func TestWhatTheKeyDidNotSignIsRefused(t *testing.T) {
	c, docs := content(t)
	key, print := newKey(t)
	thief, _ := newKey(t)
	good, bad := parse(t, seal(t, c, docs, key)), parse(t, seal(t, c, docs, thief))
	for _, tt := range []struct {
		name, want string
		change     func(f map[string]any)
	}{
		{"another's certificate", "The envelope names the key", func(f map[string]any) { f["certificate"] = bad["certificate"] }},
		{"another's envelope", "The envelope names the key", func(f map[string]any) { f["envelope"] = bad["envelope"] }},
		{"another's signature under the key's name", "The signature does not fit", func(f map[string]any) {
			sig := bad["envelope"].(map[string]any)["signatures"].([]any)[0].(map[string]any)["sig"]
			f["envelope"].(map[string]any)["signatures"].([]any)[0].(map[string]any)["sig"] = sig
		}},
		{"two signatures", "one signature", func(f map[string]any) {
			e := f["envelope"].(map[string]any)
			e["signatures"] = append(e["signatures"].([]any), e["signatures"].([]any)[0])
		}},
		{"payload", "The signature does not fit", func(f map[string]any) {
			f["envelope"].(map[string]any)["payload"] = base64.StdEncoding.EncodeToString([]byte("{}"))
		}},
		{"a document taken away", "are not those that were signed", func(f map[string]any) { f["documents"] = f["documents"].([]any)[:0] }},
		{"format", "no evidence bundle of a version", func(f map[string]any) { f["format"] = "v2" }},
		{"an unknown key", "was changed at byte", func(f map[string]any) { f["zzz"] = 1 }},
	} {
		f := parse(t, seal(t, c, docs, key))
		tt.change(f)
		if _, err := bundle.Verify(t.Context(), print1(t, f), print); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := bundle.Verify(t.Context(), print1(t, good), print); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func parse(t testing.TB, raw []byte) map[string]any {
	t.Helper()
	var f map[string]any
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// print1 writes a bundle as it is written, whatever is in it.
func print1(t testing.TB, f map[string]any) []byte {
	t.Helper()
	obj := func(m map[string]any, keys ...string) string {
		var parts []string
		for _, k := range keys {
			if v, ok := m[k]; ok {
				b, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				parts = append(parts, `"`+k+`":`+string(b))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	list := func(items []any, keys ...string) string {
		var parts []string
		for _, i := range items {
			parts = append(parts, obj(i.(map[string]any), keys...))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	e := f["envelope"].(map[string]any)
	extra := ""
	if _, ok := f["zzz"]; ok {
		extra = `,"zzz":1`
	}
	flat := `{` + strings.Trim(obj(f, "format", "certificate"), "{}") + `,"envelope":{` + strings.Trim(obj(e, "payloadType", "payload"), "{}") +
		`,"signatures":` + list(e["signatures"].([]any), "keyid", "sig") + `},"documents":` + list(f["documents"].([]any), "digest", "media_type", "data") + extra + `}`
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(flat), "", " "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

func TestKeysThatPeopleName(t *testing.T) {
	key, print := newKey(t)
	c, docs := content(t)
	cert := parse(t, seal(t, c, docs, key))["certificate"].(string)
	for _, text := range []string{print, " " + strings.ToUpper(print[:7]) + print[7:] + "\n", cert} {
		if got, err := bundle.ParseKey(text); err != nil || got != print {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
	for _, text := range []string{"", "sha256:12", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----"} {
		if got, err := bundle.ParseKey(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
}

// FuzzVerify: no bytes make the reader fail in another way than by a fault, and nothing is
// taken that was not signed.
func FuzzVerify(f *testing.F) {
	c, docs := content(f)
	key, print := newKey(f)
	raw := seal(f, c, docs, key)
	f.Add(raw)
	f.Add([]byte(`{"format":"` + bundle.Format + `"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := bundle.Verify(t.Context(), data, print)
		if err == nil && !bytes.Equal(data, raw) {
			t.Error("bytes that nobody signed are taken")
		}
		if err != nil && !fault.Is(err, fault.Denied) {
			t.Errorf("an error that is no refusal: %v", err)
		}
	})
}

package evidence_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// names lists the stations of a chain as "kind:letter", the letters of the story.
func names(c evidence.Chain) string {
	var out []string
	for _, s := range c.Stations {
		id := strings.TrimPrefix(s.Subject.ID(), "sha256:")
		switch s.Kind {
		case event.KindCommit, event.KindImage:
			id = id[:1]
		case event.KindSBOM, event.KindSignature, event.KindProvenance:
			id = id[1:2]
		case event.KindDecision:
			id = strings.ToLower(id[25:])
		case event.KindPull:
			id = id[len("shop/web/"):]
		case "review", "merge":
			id = s.Digest[:1]
		}
		out = append(out, s.Kind+":"+id)
	}
	return strings.Join(out, " ")
}

func TestTraceGoesOneWayWithoutSiblings(t *testing.T) {
	const (
		a    = "commit:a run:1 tests:1 image:b sbom:b scan:s1 signature:b provenance:b release:shop/production/1 pod:u1"
		runE = "commit:e run:2 image:f image:c scan:s2 scan:s3 release:shop/production/2 release:shop/production/3 pod:u2 pod:u3"
	)
	tests := []struct{ ref, want, missing string }{
		{"commit/" + sha("a"), a, ""},
		{"commit/" + sha("a")[:7], a, ""},
		{"commit/AAAAAAA", a, ""},
		{"run/1", a, ""},
		{"image/" + digest("b"), a, ""},
		{"image/" + digest("b")[:20], a, ""},
		{"image/bbbbbbbb", a, ""},
		{"image/shop/web@" + digest("b"), a, ""},
		{"image/shop/web:1", a, ""},
		{"image/localhost:7080/shop/web:1", a, ""},
		{"image/localhost:7080/shop/web@" + digest("b"), a, ""},
		{"release/shop/production/1", a, ""},
		{"pod/u1", a, ""},
		{"pod/web-u1", a, ""},
		{"pod/shop-production/web-u1", a, ""},
		{"commit/" + sha("e"), runE, "tests sbom signature provenance"},
		{"run/2", runE, "tests sbom signature provenance"},
		// An image or pod knows nothing of the other image of its commit.
		{"image/shop/web:2", "commit:e run:2 image:f scan:s2 release:shop/production/2 release:shop/production/3 pod:u2", "tests sbom signature provenance"},
		{"pod/u2", "commit:e run:2 image:f scan:s2 release:shop/production/3 pod:u2", "tests sbom signature provenance"},
		{"pod/u3", "commit:e run:2 image:c scan:s3 release:shop/production/3 pod:u3", "tests sbom signature provenance"},
		{"release/shop/production/3", "commit:e run:2 image:f image:c scan:s2 scan:s3 release:shop/production/3 pod:u2 pod:u3", "tests sbom signature provenance"},
		{"release/shop/production/2", "commit:e run:2 image:f scan:s2 release:shop/production/2", "tests sbom signature provenance"},
		{"commit/dddd", "commit:d run:3", ""},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(db)
		story(t, w)
		for _, tt := range tests {
			c, err := w.Trace(t.Context(), user("ada"), tt.ref)
			if err != nil {
				t.Errorf("%s: %v", tt.ref, err)
				continue
			}
			if diff := cmp.Diff(tt.want, names(c)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.ref, diff)
			}
			if got := strings.Join(c.Missing, " "); got != tt.missing || c.Truncated || c.Project != "shop" {
				t.Errorf("%s: missing %q, truncated %t, project %q", tt.ref, got, c.Truncated, c.Project)
			}
		}
	})
}

func TestStationsSayWhatTheLogSays(t *testing.T) {
	w := build(storetest.SQLite(t))
	story(t, w)
	c, err := w.Trace(t.Context(), user("ada"), "pod/u1")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range c.Stations {
		line := s.Kind + " | " + s.Title
		for _, f := range s.Facts {
			line += " | " + f.Name + ": " + f.Value
		}
		got = append(got, line)
		events, err := w.log.Read(t.Context(), event.Query{After: s.Seq - 1, Limit: 1})
		if err != nil || len(events) != 1 || events[0].Hash != s.Hash || !events[0].Time.Equal(s.Time) || s.Actor != "user:ada" {
			t.Errorf("%s names the event %d, %s, which is not what the log says", s.Kind, s.Seq, s.Hash)
		}
	}
	want := []string{
		"commit | Change a | repository: shop/web | branch: main | author: Ada",
		"run | run 1 of azure-pipelines.yml | reason: IndividualCI | took: 1 min 12 s | result: succeeded",
		"tests | unit | passed: 12 of 12",
		"image | shop/web:1 | size: 8.1 MB",
		"sbom | SPDX of shop/web | packages: 41",
		"scan | findings | image: shop/web | findings: 0 critical, 2 high, 0 medium, 0 low, 0 unknown | packages: 41 | advisories of: 2026-03-01",
		"signature | signed by towpath | image: shop/web",
		"provenance | built by towpath | image: shop/web | run: 1",
		"release | shop/production/1 | result: deployed | namespace: shop-production | images: 1",
		"pod | web-u1 | state: gone",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stations (-want +got):\n%s", diff)
	}
}

// judgement is a pull request whose first head was refused, by the pull request and by
// the API server when somebody tried it by hand, and whose second head was merged.
func judgement(t testing.TB, w *world) {
	t.Helper()
	deny := []event.Verdict{verdict("denied")}
	w.say(t, push("a", "fix"), opened("a"), decided("a", "pull", "production", "12 objects", deny, pull7, commitOf("a")))
	w.say(t, by("user:bob", decided("b", "admission", "production", "Deployment shop-production/web", deny)))
	w.say(t, push("c", "fix"), updated("c", 0), decided("c", "pull", "production", "12 objects", nil, pull7, commitOf("c")), reviewed("ada", "approved", "c"))
	w.say(t, push("e", "main"), merged("c", "e"), queued(2, "e", "main"), image(2, "b", "shop/web", "2"), decided("d", "deploy", "production", "9 objects", nil, event.OfRun(2), commitOf("e")))
	w.say(t, released("production", 1, 2, "deployed", "b"), pod("u1", "shop/production/1", "b", true, ""))
	// What nobody of this project's pull requests was refused for.
	other := verdict("denied")
	other.Object = "Deployment shop-production/other"
	w.say(t, decided("e", "admission", "production", "Deployment shop-production/other", []event.Verdict{other}))
}

func TestTraceShowsReviewsAndDecisionsSideBySide(t *testing.T) {
	const whole = "commit:c commit:e pull:7 review:c merge:e run:2 image:b decision:a decision:b decision:c decision:d release:shop/production/1 pod:u1"
	const mergedOnly = "commit:e pull:7 review:c merge:e run:2 image:b decision:c decision:d release:shop/production/1 pod:u1"
	tests := map[string]string{
		"pull/shop/web/7":                        whole,
		"commit/" + sha("a"):                     "commit:a pull:7 review:c merge:e decision:a decision:b",
		"commit/" + sha("c"):                     "commit:c pull:7 review:c merge:e decision:c",
		"commit/" + sha("e"):                     mergedOnly,
		"pod/u1":                                 mergedOnly,
		"release/shop/production/1":              mergedOnly,
		"run/2":                                  mergedOnly,
		"decision/" + ulid("a"):                  "commit:a pull:7 review:c merge:e decision:a decision:b",
		"decision/" + ulid("b"):                  "decision:a decision:b",
		"decision/" + strings.ToLower(ulid("d")): "commit:e pull:7 review:c merge:e run:2 decision:c decision:d",
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(db)
		judgement(t, w)
		for ref, want := range tests {
			c, err := w.Trace(t.Context(), user("bob"), ref)
			if err != nil {
				t.Errorf("%s: %v", ref, err)
				continue
			}
			if diff := cmp.Diff(want, names(c)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", ref, diff)
			}
		}
		for _, ref := range []string{"pull/shop/web/7", "decision/" + ulid("a")} {
			if _, err := w.Trace(t.Context(), user("eve"), ref); !fault.Is(err, fault.NotFound) {
				t.Errorf("eve traces %s: %v", ref, err)
			}
		}
	})
}

func TestStationsOfReviewAndDecision(t *testing.T) {
	w := build(storetest.SQLite(t))
	judgement(t, w)
	c, err := w.Trace(t.Context(), user("ada"), "pull/shop/web/7")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range c.Stations {
		if s.Kind != event.KindPull && s.Kind != "review" && s.Kind != "merge" && s.Kind != event.KindDecision {
			continue
		}
		line := s.Kind + " | " + s.Title + " | " + s.Actor
		for _, f := range s.Facts {
			line += " | " + f.Name + ": " + f.Value
		}
		got = append(got, line)
		events, err := w.log.Read(t.Context(), event.Query{After: s.Seq - 1, Limit: 1})
		if err != nil || len(events) != 1 || events[0].Hash != s.Hash || !events[0].Time.Equal(s.Time) {
			t.Errorf("%s names the event %d, %s, which is not what the log says", s.Kind, s.Seq, s.Hash)
		}
	}
	refusal := " | verdict: refused | assignment: baseline | rule: privileged | policy: " + digest("6") +
		" | on: Deployment shop-production/web spec.template.spec.containers[name=web].securityContext.privileged" +
		" | message: A container is privileged. | at: chart/templates/web.yaml:21 | set: " + digest("5") + " | input: " + digest("4")
	want := []string{
		"pull | #7 Fix the cart | user:bob | state: merged | repository: shop/web | branches: fix → main | head: " + sha("c"),
		"review | approved by ada | user:ada | verdict: approved",
		"merge | merged by ada | user:ada | method: merge | into: main",
		"decision | refused at pull | system:policy | point: pull | environment: production | object: 12 objects" + refusal,
		"decision | refused at admission | user:bob | point: admission | environment: production | object: Deployment shop-production/web" + refusal,
		"decision | allowed at pull | system:policy | point: pull | environment: production | object: 12 objects | verdict: allowed | set: " + digest("5") + " | input: " + digest("4"),
		"decision | allowed at deploy | system:policy | point: deploy | environment: production | object: 9 objects | verdict: allowed | set: " + digest("5") + " | input: " + digest("4"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stations (-want +got):\n%s", diff)
	}
}

func TestTraceRefuses(t *testing.T) {
	w := build(storetest.SQLite(t))
	story(t, w)
	w.say(t, push("a1", "main"), push("a2", "main"))
	tests := []struct {
		ref  string
		want fault.Kind
	}{
		{"", fault.Invalid}, {"commit", fault.Invalid}, {"commit/", fault.Invalid}, {"commit/xyz", fault.Invalid}, {"commit/abc", fault.Invalid},
		{"commit/%", fault.Invalid}, {"pod/\x00", fault.Invalid}, {"image/\xff:1", fault.Invalid}, {"run/x", fault.Invalid}, {"run/0", fault.Invalid}, {"run/-1", fault.Invalid}, {"release/shop", fault.Invalid},
		{"release/shop/production/x", fault.Invalid}, {"pull/shop/7", fault.Invalid}, {"pull/shop/web/x", fault.Invalid}, {"decision/x", fault.Invalid}, {"pull/shop/web/99", fault.NotFound}, {"decision/" + ulid("z"), fault.NotFound}, {"planet/mars", fault.Invalid}, {strings.Repeat("x", 10000), fault.Invalid},
		{"commit/ffff", fault.NotFound}, {"run/99", fault.NotFound}, {"image/" + digest("9"), fault.NotFound}, {"image/shop/web:none", fault.NotFound},
		{"image/nothing", fault.NotFound}, {"release/shop/production/99", fault.NotFound}, {"pod/x", fault.NotFound},
	}
	for _, tt := range tests {
		if _, err := w.Trace(t.Context(), user("ada"), tt.ref); fault.KindOf(err) != tt.want {
			t.Errorf("Trace(%.40q) = %v, want %q", tt.ref, err, tt.want)
		}
	}
}

// FuzzTraceRef feeds references: what is wrong with one is the person's fault, never ours.
func FuzzTraceRef(f *testing.F) {
	for _, s := range []string{
		"", "/", "commit/" + sha("a"), "commit/aaaa", "image/shop/web:1", "image/localhost:7080/shop/web@" + digest("b"), "image/@", "image/:", "image/localhost/",
		"run/1", "run/#1", "run/99999999999999999999", "release/shop/production/1", "release/a/b/c/d", "pull/shop/web/7", "decision/" + ulid("a"), "pull/a", "pod/web-u1", "pod/ns/", "pod/\x00", "pod/\xff", "image/\x00:1",
	} {
		f.Add(s)
	}
	w := build(storetest.SQLite(f))
	story(f, w)
	f.Fuzz(func(t *testing.T, ref string) {
		c, err := w.Trace(t.Context(), user("ada"), ref)
		if fault.Is(err, fault.Internal) || (err == nil && len(c.Stations) == 0) {
			t.Errorf("Trace(%q) = %+v, %v", ref, c, err)
		}
	})
}

func TestTraceOfAnAmbiguousBeginning(t *testing.T) {
	w := build(storetest.SQLite(t))
	one, two := sha("abcd1"), sha("abcd2")
	for _, c := range []string{one, two} {
		f := push("a", "main")
		f.Subject = event.Of(event.KindCommit, c)
		w.say(t, f)
	}
	_, err := w.Trace(t.Context(), user("ada"), "commit/abcd")
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), one) || !strings.Contains(err.Error(), two) {
		t.Errorf("Trace() = %v, want both named", err)
	}
	if c, err := w.Trace(t.Context(), user("ada"), "commit/"+one[:5]); err != nil || c.Subject.ID() != one {
		t.Errorf("Trace() = %s, %v", c.Subject, err)
	}
}

func TestTraceShowsOnlyWhatTheActorMayRead(t *testing.T) {
	w := build(storetest.SQLite(t))
	story(t, w)
	// blog has the same bytes, with a run, a scan and a tag of its own.
	w.say(t, in("blog", push("a", "main")), in("blog", queued(7, "a", "main")), in("blog", image(7, "b", "blog/web", "1")), in("blog", scan("s7", "b", 5, 5)))
	refs := []string{"commit/" + sha("a"), "image/" + digest("b"), "run/1", "pod/u1", "release/shop/production/1", "image/shop/web:1"}
	for _, ref := range refs {
		if _, err := w.Trace(t.Context(), user("eve"), ref); !fault.Is(err, fault.NotFound) {
			t.Errorf("eve traces %s: %v", ref, err)
		}
		if _, err := w.Trace(t.Context(), identity.Actor{}, ref); !fault.Is(err, fault.Unauthentic) {
			t.Errorf("nobody traces %s: %v", ref, err)
		}
		c, err := w.Trace(t.Context(), user("bob"), ref)
		if err != nil {
			t.Errorf("bob traces %s: %v", ref, err)
		}
		for _, s := range c.Stations {
			if id := s.Subject.ID(); id == "7" || id == "s7" {
				t.Errorf("bob's trace of %s shows %s of another project", ref, s.Subject)
			}
		}
	}
	if _, err := w.Trace(t.Context(), user("bob"), "run/7"); !fault.Is(err, fault.NotFound) {
		t.Errorf("bob traces the run of another project: %v", err)
	}
	c, err := w.Trace(t.Context(), user("ada"), "run/7")
	if want := "commit:a run:7 image:b scan:s7"; err != nil || names(c) != want || c.Project != "blog" {
		t.Errorf("ada traces run 7: %q of %s, %v; want %q", names(c), c.Project, err, want)
	}
	if _, err := w.Trace(t.Context(), identity.Actor{}, "run/99"); !fault.Is(err, fault.Unauthentic) {
		t.Errorf("nobody traces what does not exist: %v", err)
	}
}

func TestARebuiltImageBelongsToTheRunOfItsRelease(t *testing.T) {
	w := build(storetest.SQLite(t))
	w.say(t, push("a", "main"), queued(1, "a", "main"), image(1, "b", "shop/web", "1"), released("production", 1, 1, "deployed", "b"), pod("u1", "shop/production/1", "b", true, ""))
	w.say(t, push("e", "main"), queued(2, "e", "main"), image(2, "b", "shop/web", "2"))
	for ref, want := range map[string]string{
		"pod/u1":                    "commit:a run:1 image:b release:shop/production/1 pod:u1",
		"release/shop/production/1": "commit:a run:1 image:b release:shop/production/1 pod:u1",
		"image/shop/web:2":          "commit:e run:2 image:b release:shop/production/1 pod:u1",
	} {
		if c, err := w.Trace(t.Context(), user("ada"), ref); err != nil || names(c) != want {
			t.Errorf("%s: %q, %v; want %q", ref, names(c), err, want)
		}
	}
}

func TestTagsFollowPushesAndDeletions(t *testing.T) {
	w := build(storetest.SQLite(t))
	deleted := func(d, tag string) event.Fact {
		return fact(event.TypeImageDeleted, event.Of(event.KindImage, digest("f")), event.ImageDeleted{V: 1, Repository: "shop/web", Digest: d, Tag: tag})
	}
	want := func(ref, c string) {
		t.Helper()
		chain, err := w.Trace(t.Context(), user("ada"), ref)
		if got := strings.TrimPrefix(string(chain.Subject), "image:sha256:"); (c == "") != fault.Is(err, fault.NotFound) || (c != "" && got[:1] != c) {
			t.Errorf("%s is %q, %v; want %q", ref, got, err, c)
		}
	}
	w.say(t, push("a", "main"), queued(1, "a", "main"), image(1, "b", "shop/web", "latest"), image(1, "b", "shop/web", "1"))
	want("image/shop/web", "b")
	w.say(t, image(1, "f", "shop/web", "latest"))
	want("image/shop/web:latest", "f")
	want("image/shop/web:1", "b")
	w.say(t, deleted("", "latest"))
	want("image/shop/web:latest", "")
	w.say(t, deleted(digest("b"), ""))
	want("image/shop/web:1", "")
}

func TestALargeChainIsCutAndSaysSo(t *testing.T) {
	w := build(storetest.SQLite(t))
	facts := []event.Fact{push("a", "main")}
	for n := range int64(60) {
		facts = append(facts, queued(n+1, "a", "main"))
	}
	w.say(t, facts...)
	c, err := w.Trace(t.Context(), user("ada"), "commit/aaaa")
	if err != nil || !c.Truncated || len(c.Stations) != 51 || c.Stations[50].Subject != "run:60" {
		t.Errorf("%d stations, truncated %t, %v", len(c.Stations), c.Truncated, err)
	}
}

var events = flag.Int("events", 20000, "how many events the log of BenchmarkTrace holds")

// BenchmarkTrace traces a pod and a commit in a long log:
//
//	go test ./internal/evidence -run '^$' -bench Trace -events 1000000
func BenchmarkTrace(b *testing.B) {
	w := build(storetest.SQLite(b))
	ctx := b.Context()
	fed := 0
	for n := int64(1); fed < *events; {
		err := w.db.Tx(ctx, func(tx *store.Tx) error {
			for range 200 {
				facts := change(n)
				if err := w.log.Append(ctx, tx, facts...); err != nil {
					return err
				}
				fed += len(facts)
				n++
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, ref := range []string{"pod/u77", "commit/" + fmt.Sprintf("%08x", 77), "release/shop/production/77", "run/77", "pull/shop/web/77"} {
		b.Run(strings.SplitN(ref, "/", 2)[0], func(b *testing.B) {
			for b.Loop() {
				c, err := w.Trace(ctx, user("ada"), ref)
				if err != nil || len(c.Stations) < 10 {
					b.Fatalf("%d stations, %v", len(c.Stations), err)
				}
			}
		})
	}
}

// BenchmarkPath reads the first page of a long Path.
func BenchmarkPath(b *testing.B) {
	w := build(storetest.SQLite(b))
	for n := int64(1); n < int64(*events/20); n += 50 {
		var facts []event.Fact
		for i := range int64(50) {
			facts = append(facts, change(n+i)...)
		}
		w.say(b, facts...)
	}
	for b.Loop() {
		p, err := w.Path(b.Context(), user("ada"), "shop", evidence.Filter{})
		if err != nil || len(p.Rows) != 50 || p.Summary.InProduction == nil {
			b.Fatalf("%d rows, %v", len(p.Rows), err)
		}
	}
}

// change is the whole story of the n-th change.
func change(n int64) []event.Fact {
	c := fmt.Sprintf("%08x", n)
	release := fmt.Sprintf("shop/production/%d", n)
	uid := fmt.Sprintf("u%d", n)
	facts := []event.Fact{
		push(c, "main"), queued(n, c, "main"), tests(n, "unit", 12, 0, 0), image(n, c, "shop/web", c), sbom(c), scan("s"+c, c, 0, 0), signed(c), provenance(c, n),
		released("production", n, n, "", c), pod(uid, release, c, false, ""), pod(uid, release, c, true, ""), released("production", n, n, "deployed", c),
		finished(n, "succeeded", ""),
	}
	facts = append(facts, reviewedChange(n, c)...)
	for i := range 7 {
		facts = append(facts, fact(event.TypeJobFinished, event.Of(event.KindJob, fmt.Sprintf("%d/Build.Job%d", n, i)), event.Job{V: 1, Run: n, Job: fmt.Sprint(i)},
			event.Link{Rel: event.RelPartOf, To: event.OfRun(n)}))
	}
	return facts
}

// reviewedChange is the pull request of the n-th change, with a decision at each point.
func reviewedChange(n int64, c string) []event.Fact {
	pull := event.Of(event.KindPull, fmt.Sprintf("shop/web/%d", n))
	commit := event.Of(event.KindCommit, sha(c))
	p := pullBody(c)
	p.Number, p.Merged = n, sha(c)
	proposes := event.Link{Rel: event.RelProposes, To: commit}
	review := event.PullReviewed{V: 1, Repo: "shop/web", Number: n, Reviewer: "ada", Verdict: "approved", Commit: sha(c)}
	decision := func(point string, to event.Subject, v ...event.Verdict) event.Fact {
		f := decided("a", point, "production", "Deployment shop-production/web", v, to)
		f.Subject = event.Of(event.KindDecision, fmt.Sprintf("01J%022d%s", n, strings.ToUpper(point[:1])))
		return f
	}
	return []event.Fact{
		fact(event.TypePullOpened, pull, p, proposes), fact(event.TypePullReviewed, pull, review), decision("pull", commit, verdict("denied")), decision("admission", event.OfRun(n)),
		decision("deploy", event.OfRun(n)), fact(event.TypePullMerged, pull, p, proposes, event.Link{Rel: event.RelBrought, To: commit}),
	}
}

// TestAlertsEndTheChain follows an alert back to its commit through its own pod, and finds
// it from everything that stands before it.
func TestAlertsEndTheChain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(db)
		story(t, w)
		id := ulid("z")
		w.say(t, observed("shop/production/3", "logs"), compared("shop/production/3", "same"), alerted(id, "critical", "shop/production/3", "u2"), resolved(id, "shop/production/3", "u2"))
		const tail = " telemetry:shop/production/3 comparison:shop/production/3 alert:"
		for ref, want := range map[string]string{
			"alert/" + id:               "commit:e run:2 image:f scan:s2 release:shop/production/3 pod:u2" + tail + id,
			"pod/u2":                    "commit:e run:2 image:f scan:s2 release:shop/production/3 pod:u2" + tail + id,
			"release/shop/production/3": "commit:e run:2 image:f image:c scan:s2 scan:s3 release:shop/production/3 pod:u2 pod:u3" + tail + id,
			"pod/u3":                    "commit:e run:2 image:c scan:s3 release:shop/production/3 pod:u3" + strings.TrimSuffix(tail, " alert:"),
		} {
			c, err := w.Trace(t.Context(), user("ada"), ref)
			if err != nil {
				t.Errorf("%s: %v", ref, err)
				continue
			}
			if diff := cmp.Diff(want, names(c)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", ref, diff)
			}
		}
		if _, err := w.Trace(t.Context(), user("eve"), "alert/"+id); !fault.Is(err, fault.NotFound) {
			t.Errorf("a stranger was answered with %v", err)
		}
	})
}

package evidence_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/evidence/bundle"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func itemFact(kind string, n int64, category, severity string, links ...event.Link) event.Fact {
	return by("system:insight", fact(kind, event.Of(event.KindItem, fmt.Sprint(n)), event.Item{
		V: 1, Item: n, Type: "bug", Title: "GET /cart fails", State: category, Category: category, Severity: severity, Source: "canary", Signal: "canary:shop/cart",
	}, links...))
}

func link(rel string, to event.Subject) event.Link { return event.Link{Rel: rel, To: to} }

func release(n int) event.Subject {
	return event.Of(event.KindRelease, fmt.Sprintf("shop/production/%d", n))
}

func canary(n, step, weight int, state string) event.Fact {
	kind := event.TypeCanaryStepped
	if state == "rejected" || state == "promoted" {
		kind = event.TypeCanaryFinished
	}
	return by("system:deploy", fact(kind, release(n), event.Canary{
		V: 1, Release: release(n).ID(), Environment: "production", Stable: "shop/production/1", Step: step, Steps: 4, Weight: weight, State: state, Why: "GET /cart fails",
		Metrics: []event.CanaryMetric{{Service: "cart", Name: "error-rate", Canary: 0.05, Baseline: 0, Samples: 900, Verdict: "failure"}},
	}))
}

// regression tells of commit a that serves, commit e whose canary is rejected and becomes
// item 12, and commit f that mends it, in other projects the like.
func regression(t testing.TB, w *world) {
	t.Helper()
	rolledBack := released("production", 2, 2, "rolled-back", "c")
	w.say(t,
		push("a", "main"), queued(1, "a", "main"), image(1, "b", "shop/cart", "1"), released("production", 1, 1, ""), released("production", 1, 1, "deployed", "b"),
		pod("u1", "shop/production/1", "b", true, ""),
		push("e", "main"), queued(2, "e", "main"), image(2, "c", "shop/cart", "2"), sbom("c"), released("production", 2, 2, "", "c"),
		canary(2, 1, 10, "progressing"), pod("u2", "shop/production/2", "c", true, ""), canary(2, 2, 25, "progressing"),
		canary(2, 2, 25, "rejected"), rolledBack,
		alerted("01J0000000000000000000000A", "critical", "shop/production/2", "u2"),
		itemFact(event.TypeItemCreated, 12, "proposed", "high", link(event.RelConcerns, release(2)), link(event.RelSuspects, commitOf("e")),
			link(event.RelConcerns, "alert:01J0000000000000000000000A")),
		push("f", "main"), queued(3, "f", "main"), image(3, "d", "shop/cart", "3"), released("production", 3, 3, ""), released("production", 3, 3, "deployed", "d"),
		pod("u3", "shop/production/3", "d", true, ""),
		itemFact(event.TypeItemChanged, 12, "resolved", "high", link(event.RelFixedBy, commitOf("f"))),
		in("blog", itemFact(event.TypeItemCreated, 13, "proposed", "high", link(event.RelSuspects, commitOf("e")))),
	)
}

func TestTraceOfItems(t *testing.T) {
	const (
		bad = "commit:e run:2 image:c sbom:c release:shop/production/2 canary:shop/production/2 canary:shop/production/2 canary:shop/production/2 pod:u2"
		fix = "run:3 image:d release:shop/production/3 pod:u3"
	)
	tests := map[string]string{
		"item/12":                   "commit:e commit:f run:2 run:3 image:c image:d sbom:c release:shop/production/2 release:shop/production/3 canary:shop/production/2 canary:shop/production/2 canary:shop/production/2 pod:u2 pod:u3 alert:01J0000000000000000000000A item:12",
		"item/#12":                  "",
		"pod/u2":                    strings.Replace(bad, "commit:e", "commit:e commit:f", 1) + " alert:01J0000000000000000000000A item:12",
		"release/shop/production/2": strings.Replace(bad, "commit:e", "commit:e commit:f", 1) + " alert:01J0000000000000000000000A item:12",
		"commit/" + sha("f"):        "commit:f " + fix + " item:12",
		"pod/u3":                    "commit:f " + fix,
		"sbom/" + digest("1c"):      "commit:e run:2 image:c sbom:c",
	}
	tests["item/#12"] = tests["item/12"]
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(db)
		regression(t, w)
		for ref, want := range tests {
			c, err := w.Trace(t.Context(), user("ada"), ref)
			if err != nil {
				t.Errorf("%s: %v", ref, err)
				continue
			}
			if diff := cmp.Diff(strings.Fields(want), strings.Fields(names(c))); diff != "" {
				t.Errorf("%s: %s", ref, diff)
			}
		}
		c, err := w.Trace(t.Context(), user("ada"), "item/12")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, s := range c.Stations {
			for _, f := range s.Facts {
				if f.Name == "is" || s.Kind == event.KindItem && f.Name == "category" || f.Name == "error-rate of cart" && s.Title == "rejected" {
					got[string(s.Subject)+" "+f.Name] = f.Value
				}
			}
		}
		if diff := cmp.Diff(map[string]string{
			string(commitOf("e")) + " is": "suspect of item 12", string(commitOf("f")) + " is": "fix of item 12", "item:12 category": "resolved",
			"release:shop/production/2 error-rate of cart": "0.05 beside 0, failure",
		}, got); diff != "" {
			t.Error(diff)
		}
		for _, ref := range []string{"item/13", "item/14", "user/ada", "session/" + ulid("z"), "project/blog2"} {
			if _, err := w.Trace(t.Context(), user("bob"), ref); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", ref, err)
			}
		}
	})
}

// Every kind of subject of the logbook can be named and traced.
func TestEverySubjectCanBeTraced(t *testing.T) {
	w := build(storetest.SQLite(t))
	regression(t, w)
	session := event.Of(event.KindSession, ulid("s"))
	w.say(t, fact(event.TypeSessionStarted, session, event.Session{V: 1, Session: ulid("s"), User: "ada", Environment: "dev", Service: "cart", Mode: "run", Expires: start}),
		fact(event.TypeJobFinished, "job:2/Build.Test", event.Job{V: 1, Run: 2, Stage: "Build", Job: "Test", Result: "succeeded"}, link(event.RelPartOf, "run:2")),
		fact(event.TypeRepoCreated, "repo:shop/web", event.Created{V: 1}), fact(event.TypeProjectCreated, "project:shop", event.Created{V: 1}),
		in("", fact(event.TypeUserCreated, "user:ada", event.UserCreated{V: 1, Name: "ada"})),
		opened("f"), scan(ulid("d"), "c", 0, 0), signed("c"), provenance("c", 2), decided("e", "deploy", "production", "12 objects", nil, "run:2"))
	admin := user("root")
	admin.Admin = true
	for kind, id := range map[string]string{
		event.KindProject: "shop", event.KindRepo: "shop/web", event.KindCommit: sha("e"), event.KindPull: "shop/web/7", event.KindRun: "2", event.KindJob: "2/Build.Test",
		event.KindImage: digest("c"), event.KindSBOM: digest("1c"), event.KindScan: ulid("d"), event.KindSignature: digest("2c"), event.KindProvenance: digest("3c"),
		event.KindDecision: ulid("e"), event.KindRelease: "shop/production/2", event.KindPod: "u2", event.KindAlert: "01J0000000000000000000000A", event.KindItem: "12",
		event.KindSession: ulid("s"), event.KindUser: "ada",
	} {
		c, err := w.Trace(t.Context(), user("ada"), kind+"/"+id)
		if err != nil || string(c.Subject) != kind+":"+id || len(c.Stations) == 0 {
			t.Errorf("%s/%s: %v %s", kind, id, err, names(c))
			continue
		}
		if kind == event.KindSession && !strings.HasPrefix(names(c), "session:") || kind == event.KindJob && !strings.Contains(names(c), "commit:e run:2 job:") {
			t.Errorf("%s: %s", kind, names(c))
		}
	}
	if _, err := w.Trace(t.Context(), admin, "user/ada"); err != nil {
		t.Errorf("an administrator: %v", err)
	}
}

func TestCanaryAndBacklogCells(t *testing.T) {
	cell := func(t *testing.T, w *world, lock string) string {
		t.Helper()
		for _, r := range board(t, w, evidence.Filter{}).Rows {
			for _, c := range r.Cells {
				if r.Commit == sha("e") && c.Lock == lock {
					return fmt.Sprintf("%s: %s | %s | %s", c.State, c.Fact, c.Detail, c.Link)
				}
			}
		}
		return ""
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(db)
		created := func(n int64, severity string, links ...event.Link) event.Fact {
			return itemFact(event.TypeItemCreated, n, "proposed", severity, links...)
		}
		for _, step := range []struct {
			name, lock, want string
			events           []event.Fact
		}{
			{"nothing", "backlog", "none:  |  | ", []event.Fact{push("e", "main"), queued(2, "e", "main"), released("production", 2, 2, "", "c")}},
			{"a step", "deploy", "passing: 25 % canary | production, step 2 of 4 | release:shop/production/2", []event.Fact{canary(2, 2, 25, "progressing")}},
			{"it waits for a person", "deploy", "held: 25 % canary | production, step 2 of 4: GET /cart fails | release:shop/production/2", []event.Fact{canary(2, 2, 25, "inconclusive")}},
			{"rejected", "deploy", "shut: release 2 | rejected: GET /cart fails | release:shop/production/2", []event.Fact{canary(2, 2, 25, "rejected")}},
			{"an item", "backlog", "held: 1 item | #12 GET /cart fails | item:12", []event.Fact{created(12, "high", link(event.RelConcerns, release(2)))}},
			{"two", "backlog", "held: 2 items | #14 GET /cart fails | item:14", []event.Fact{created(14, "low", link(event.RelSuspects, commitOf("e")))}},
			{"a critical one", "backlog", "shut: 3 items | #15 GET /cart fails | item:15", []event.Fact{created(15, "critical", link(event.RelConcerns, "run:2"))}},
			{"work that it is for", "backlog", "shut: 3 items | #15 GET /cart fails | item:15", []event.Fact{created(16, "", link(event.RelMentioned, commitOf("e")))}},
			{"closed without its links", "backlog", "passing: 1 item | #16 GET /cart fails | item:16", []event.Fact{
				itemFact(event.TypeItemChanged, 12, "resolved", "high"), itemFact(event.TypeItemChanged, 14, "removed", "low"), itemFact(event.TypeItemChanged, 15, "completed", "critical"),
			}},
			{"all done", "backlog", "open: 4 items | closed | item:16", []event.Fact{itemFact(event.TypeItemChanged, 16, "completed", "")}},
			{"it comes back", "backlog", "held: 1 item | #12 GET /cart fails | item:12", []event.Fact{itemFact(event.TypeItemChanged, 12, "proposed", "high")}},
		} {
			w.say(t, step.events...)
			if got := cell(t, w, step.lock); got != step.want {
				t.Errorf("%s: %s, want %s", step.name, got, step.want)
			}
		}
		// All of them, also the one that hangs on a release or a run and those that are done.
		if got, err := w.Items(t.Context(), user("ada"), "shop", sha("e")); err != nil || !slices.Equal(got, []int64{12, 14, 15, 16}) {
			t.Errorf("items of the commit: %v %v", got, err)
		}
		if got, err := w.Items(t.Context(), user("ada"), "blog", sha("e")); err != nil || len(got) != 0 {
			t.Errorf("items of the commit in another project: %v %v", got, err)
		}
		if _, err := w.Items(t.Context(), user("eve"), "shop", sha("e")); !fault.Is(err, fault.NotFound) {
			t.Errorf("a stranger asked for items: %v", err)
		}
	})
}

// shelf gives documents of the story; it knows who asks.
type shelf map[string][]byte

func (s shelf) Document(_ context.Context, a identity.Actor, repository, digest string, limit int64) ([]byte, string, error) {
	b, ok := s[digest]
	if !ok || a.Name != "ada" || repository != "shop/web" {
		return nil, "", fault.New(fault.NotFound, "no such document")
	}
	return b, "application/json", nil
}

func TestBundleOfAnItem(t *testing.T) {
	w := build(storetest.SQLite(t))
	regression(t, w)
	layer := []byte(`{"spdxVersion":"SPDX-2.3"}`)
	manifest := []byte(`{"layers":[{"digest":"` + bundle.Digest(layer) + `","mediaType":"text/spdx+json"},{"digest":"` + digest("9") + `"}]}`)
	w.say(t, fact(event.TypeSBOMCreated, event.Of(event.KindSBOM, bundle.Digest(manifest)), event.SBOMCreated{V: 1, Repository: "shop/web", Digest: bundle.Digest(manifest)}, describes("c")),
		in("blog", fact(event.TypeScanFinished, "scan:theirs", event.ScanFinished{V: 1, Status: "theirs"}, describes("c"))))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := evidence.NewExporter(w.Service, key, shelf{bundle.Digest(manifest): manifest, bundle.Digest(layer): layer}, clock.Fixed(start, time.Second))
	k, err := x.Key(t.Context(), user("ada"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x.Bundle(t.Context(), user("ada"), "item/12")
	if err != nil {
		t.Fatal(err)
	}
	got, err := bundle.Verify(t.Context(), raw, k.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject != "item:12" || got.Project != "shop" || got.By != "user:ada" || got.Documents != 2 || len(got.Absent) != 1 || got.Absent[0].Digest != digest("9") {
		t.Errorf("%+v", got)
	}
	if again, err := bundle.ParseKey(k.PEM); err != nil || again != k.Fingerprint {
		t.Errorf("the key's PEM is of %s: %v", again, err)
	}
	if _, err := x.Bundle(t.Context(), user("eve"), "item/12"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger: %v", err)
	}
	// In blog the same commit is suspected, too: only blog's words are handed out.
	if _, err := x.Bundle(t.Context(), user("bob"), "item/13"); !fault.Is(err, fault.NotFound) {
		t.Errorf("another project's item: %v", err)
	}
	if _, err := x.Key(t.Context(), identity.Actor{}); !fault.Is(err, fault.Unauthentic) {
		t.Errorf("nobody: %v", err)
	}
	for _, secret := range []string{"blog", "theirs"} {
		if strings.Contains(string(decodePayload(t, raw)), secret) {
			t.Errorf("%q of another project is in the bundle", secret)
		}
	}
}

// decodePayload is what a bundle signs, as text.
func decodePayload(t *testing.T, raw []byte) []byte {
	t.Helper()
	var f struct {
		Envelope struct {
			Payload []byte `json:"payload"`
		} `json:"envelope"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	return f.Envelope.Payload
}

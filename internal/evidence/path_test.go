package evidence_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func board(t *testing.T, w *world, f evidence.Filter) evidence.Board {
	t.Helper()
	b, err := w.Path(t.Context(), user("ada"), "shop", f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// show writes the cells of a row that are not empty, one a line.
func show(r evidence.Row) string {
	var b strings.Builder
	for _, c := range r.Cells {
		if c.State == evidence.None && c.Fact == "" && c.Detail == "" && c.Link == "" {
			continue
		}
		fmt.Fprintf(&b, "%s %s: %s | %s | %s\n", c.Lock, c.State, c.Fact, c.Detail, c.Link)
	}
	return b.String()
}

func TestRulesOfTheCells(t *testing.T) {
	p := push("a", "main")
	q := queued(1, "a", "main")
	img := image(1, "b", "shop/web", "1")
	ok := finished(1, "succeeded", "")
	imageB := "image:" + digest("b")
	type example struct {
		name   string
		events []event.Fact
		want   string
	}
	examples := []example{
		{"pushed only", []event.Fact{p}, ""},
		{"pipeline file does not compile", []event.Fact{p, fact(event.TypeRunRefused, event.Of(event.KindCommit, sha("a")),
			event.RunRefused{V: 1, Repo: "shop/web", File: "azure-pipelines.yml", Errors: []string{"azure-pipelines.yml (Line: 3, Col: 1): Unexpected value 'stepz'"}})},
			"build shut: no run | azure-pipelines.yml (Line: 3, Col: 1): Unexpected value 'stepz' | \n"},
		{"run queued", []event.Fact{p, q}, "build passing: run 1 |  | run:1\n"},
		{"run succeeded", []event.Fact{p, q, ok}, "build open: run 1 | 1 min 12 s | run:1\n"},
		{"run with issues", []event.Fact{p, q, finished(1, "succeededWithIssues", "")}, "build open: run 1 | 1 min 12 s | run:1\n"},
		{"run failed", []event.Fact{p, q, finished(1, "failed", "make: Error 2")}, "build shut: run 1 | make: Error 2 | run:1\n"},
		{"run canceled", []event.Fact{p, q, finished(1, "canceled", "")}, "build held: run 1 | canceled | run:1\n"},
		{"second run of the pipeline begins", []event.Fact{p, q, tests(1, "unit", 0, 3, 0), finished(1, "failed", "x"), queued(2, "a", "main")}, "build passing: run 2 |  | run:2\n"},
		{"the first run ends after the second began", []event.Fact{p, q, queued(2, "a", "main"), finished(1, "failed", "x")}, "build passing: run 2 |  | run:2\n"},
		{"tests passed", []event.Fact{p, q, tests(1, "unit", 12, 0, 0), ok}, "build open: run 1 | 1 min 12 s | run:1\ntest open: 12 of 12 |  | run:1\n"},
		{"tests skipped", []event.Fact{p, q, tests(1, "unit", 10, 0, 2), ok}, "build open: run 1 | 1 min 12 s | run:1\ntest open: 10 of 12 | 2 skipped | run:1\n"},
		{"two test runs add up, the failed one wins", []event.Fact{p, q, tests(1, "unit", 12, 0, 0), tests(1, "web", 3, 1, 0)},
			"build passing: run 1 |  | run:1\ntest shut: 15 of 16 | 1 failed | run:1\n"},
		{"a run that failed by its tests has built", []event.Fact{p, q, tests(1, "unit", 11, 1, 0), finished(1, "failed", "tests failed")},
			"build open: run 1 | 1 min 12 s | run:1\ntest shut: 11 of 12 | 1 failed | run:1\n"},
		{"image pushed", []event.Fact{p, q, img},
			"build passing: 1 image | run 1 | run:1\nscan passing: 0 of 1 scanned | 1 image | " + imageB + "\nsign passing: 0 of 1 signed | 1 image | " + imageB + "\n"},
		{"image scanned, signed, proven", []event.Fact{p, q, img, ok, sbom("b"), scan("s1", "b", 0, 0), signed("b"), provenance("b", 1)},
			"build open: 1 image | run 1, 1 min 12 s | run:1\nscan open: 0 high | 1 image, SBOM 41 | " + imageB + "\nsign open: signed | 1 image, SLSA provenance | " + imageB + "\n"},
		{"high findings hold and shut nothing", []event.Fact{p, q, img, ok, scan("s1", "b", 0, 2), signed("b")},
			"build open: 1 image | run 1, 1 min 12 s | run:1\nscan held: 2 high | 1 image, SBOM 41 | " + imageB + "\nsign open: signed | 1 image | " + imageB + "\n"},
		{"a critical finding shuts", []event.Fact{p, q, img, ok, scan("s1", "b", 1, 2), signed("b")},
			"build open: 1 image | run 1, 1 min 12 s | run:1\nscan shut: 1 critical | 1 image | " + imageB + "\nsign open: signed | 1 image | " + imageB + "\n"},
		{"a later scan replaces the earlier", []event.Fact{p, q, img, ok, scan("s1", "b", 1, 2), scan("s2", "b", 0, 0), signed("b")},
			"build open: 1 image | run 1, 1 min 12 s | run:1\nscan open: 0 high | 1 image, SBOM 41 | " + imageB + "\nsign open: signed | 1 image | " + imageB + "\n"},
		{"without advisory data nothing is open", []event.Fact{p, q, img, ok, unscanned("s1", "b"), signed("b")},
			"build open: 1 image | run 1, 1 min 12 s | run:1\nscan none: no advisory data | 1 image | " + imageB + "\nsign open: signed | 1 image | " + imageB + "\n"},
		{"several images: the worst wins, numbers add up",
			[]event.Fact{p, q, img, image(1, "c", "shop/cart", "1"), image(1, "d", "shop/sre", "1"), ok, scan("s1", "b", 0, 1), scan("s2", "c", 2, 1), signed("b"), signed("d")},
			"build open: 3 images | run 1, 1 min 12 s | run:1\nscan shut: 2 critical | 3 images | image:" + digest("c") + "\nsign held: 2 of 3 signed | 3 images | image:" + digest("c") + "\n"},
		{"a second tag changes nothing", []event.Fact{p, q, img, ok, scan("s1", "b", 0, 0), signed("b"), image(1, "b", "shop/web", "latest")},
			"build open: 1 image | run 1, 1 min 12 s | run:1\nscan open: 0 high | 1 image, SBOM 41 | " + imageB + "\nsign open: signed | 1 image | " + imageB + "\n"},
		{"the images of an earlier run are history", []event.Fact{p, q, img, ok, scan("s1", "b", 1, 0), queued(2, "a", "main"), image(2, "c", "shop/web", "2"), finished(2, "succeeded", ""), scan("s2", "c", 0, 0), signed("c")},
			"build open: 1 image | run 2, 1 min 12 s | run:2\nscan open: 0 high | 1 image, SBOM 41 | image:" + digest("c") + "\nsign open: signed | 1 image | image:" + digest("c") + "\n"},
		{"release started: the build is through", []event.Fact{p, q, released("production", 48, 1, "")},
			"build open: run 1 |  | run:1\ndeploy passing: release 48 | production | release:shop/production/48\n"},
	}
	// The deployed ones, shown with pods.
	const built, live = "build open: run 1 | 1 min 12 s | run:1\n", "deploy open: release 48 | production, 9.0 s | release:shop/production/48\n"
	deployed := []event.Fact{p, q, released("production", 48, 1, ""), released("production", 48, 1, "deployed"), ok}
	and := func(more ...event.Fact) []event.Fact { return append(append([]event.Fact(nil), deployed...), more...) }
	r48 := "shop/production/48"
	examples = append(examples,
		example{"deployed", deployed, built + live},
		example{"a stage is held", []event.Fact{p, q, checked(event.TypeCheckHeld, "e1", "staging", "")},
			"build open: run 1 |  | run:1\ndeploy held: approval | staging: waits for user:ada, role:maintain | run:1\n"},
		example{"it is released", []event.Fact{p, q, checked(event.TypeCheckHeld, "e1", "staging", ""), checked(event.TypeCheckDecided, "e1", "staging", "passed")}, "build passing: run 1 |  | run:1\n"},
		example{"one of two is released", []event.Fact{p, q, checked(event.TypeCheckHeld, "e1", "staging", ""), checked(event.TypeCheckHeld, "e2", "staging", ""), checked(event.TypeCheckDecided, "e1", "staging", "passed")},
			"build open: run 1 |  | run:1\ndeploy held: approval | staging: waits for user:ada, role:maintain | run:1\n"},
		example{"it is rejected", []event.Fact{p, q, checked(event.TypeCheckHeld, "e1", "staging", ""), checked(event.TypeCheckDecided, "e1", "staging", "refused"), finished(1, "failed", "rejected")},
			built + "deploy shut: approval | staging: rejected by ada | run:1\n"},
		example{"a stage that deploys nowhere is held", []event.Fact{p, q, checked(event.TypeCheckHeld, "e1", "", "")}, "build held: approval | waits for user:ada, role:maintain | run:1\n"},
		example{"what an earlier run was held by", []event.Fact{p, q, checked(event.TypeCheckHeld, "e1", "staging", ""), queued(2, "a", "main")}, "build passing: run 2 |  | run:2\n"},
		example{"release failed", []event.Fact{p, q, released("production", 48, 1, "failed"), finished(1, "failed", "helm")},
			built + "deploy shut: release 48 | failed: pod web-1 does not start | release:shop/production/48\n"},
		example{"release rolled back", []event.Fact{p, q, released("production", 48, 1, "rolled-back"), ok}, built + "deploy shut: release 48 | rolled-back | release:shop/production/48\n"},
		example{"the newest release of an environment counts", []event.Fact{p, q, released("production", 47, 1, "failed"), released("production", 48, 1, "deployed"), ok}, built + live},
		example{"of two environments the worse is shown", []event.Fact{p, q, released("production", 48, 1, "failed"), released("staging", 3, 1, "deployed"), ok},
			built + "deploy shut: release 48 | failed: pod web-1 does not start | release:shop/production/48\n"},
		example{"two environments", []event.Fact{p, q, released("staging", 3, 1, "deployed"), released("production", 48, 1, "deployed"), ok},
			built + "deploy open: release 48 | 2 environments | release:shop/production/48\n"},
		example{"pods are ready", and(pod("u1", r48, "b", true, ""), pod("u2", r48, "b", true, "")), built + live + "health open: 2 of 2 | pods ready | pod:u2\n"},
		example{"a pod starts", and(pod("u1", r48, "b", true, ""), pod("u2", r48, "b", false, "")), built + live + "health passing: 1 of 2 | pods ready | pod:u2\n"},
		example{"a pod fails", and(pod("u1", r48, "b", true, ""), pod("u2", r48, "b", false, "CrashLoopBackOff")), built + live + "health shut: 1 of 2 | CrashLoopBackOff | pod:u2\n"},
		example{"a pod recovers", and(pod("u1", r48, "b", false, "CrashLoopBackOff"), pod("u1", r48, "b", true, "")), built + live + "health open: 1 of 1 | pods ready | pod:u1\n"},
		example{"an alert fires", and(pod("u1", r48, "b", true, ""), alerted("a1", "warning", r48, "u1")), built + live + "health held: 1 alert | KubeContainerWaiting | alert:a1\n"},
		example{"a critical alert fires", and(pod("u1", r48, "b", true, ""), alerted("a1", "critical", r48, "u1")), built + live + "health shut: 1 alert | KubeContainerWaiting | alert:a1\n"},
		example{"an alert resolves", and(pod("u1", r48, "b", true, ""), alerted("a1", "critical", r48, "u1"), resolved("a1", r48, "u1")), built + live + "health open: 1 of 1 | pods ready | pod:u1\n"},
		example{"a release does as the one before", and(pod("u1", r48, "b", true, ""), compared(r48, "same")), built + live + "health open: 1 of 1 | ready, as before | pod:u1\n"},
		example{"a release does worse than the one before", and(pod("u1", r48, "b", true, ""), compared(r48, "worse")), built + live + "health held: worse | GET / fails more | \n"},
		example{"pods are gone", and(pod("u1", r48, "b", true, ""), gone("u1", r48)), built + live},
	)
	for _, ex := range examples {
		t.Run(ex.name, func(t *testing.T) {
			w := build(storetest.SQLite(t))
			for _, f := range ex.events {
				w.say(t, f)
			}
			rows := board(t, w, evidence.Filter{}).Rows
			if len(rows) != 1 || len(rows[0].Cells) != 9 {
				t.Fatalf("%d rows: %+v", len(rows), rows)
			}
			// Nothing of these came by a pull request.
			if diff := cmp.Diff("review none: direct | pushed without review | \n"+ex.want, show(rows[0])); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReviewAndPolicy(t *testing.T) {
	p := push("a", "fix")
	deny, audit := []event.Verdict{verdict("denied")}, []event.Verdict{verdict("audited"), verdict("audited")}
	const link = " | pull:shop/web/7\n"
	at := func(id string) string { return " | decision:" + ulid(id) + "\n" }
	for _, ex := range []struct {
		name   string
		events []event.Fact
		want   string
	}{
		{"a branch without a pull request", []event.Fact{p}, ""},
		{"opened", []event.Fact{p, opened("a")}, "review held: in review | #7 waits for a reviewer" + link},
		{"opened before the projection saw the push", []event.Fact{opened("a"), p}, "review held: in review | #7 waits for a reviewer" + link},
		{"draft", []event.Fact{p, draft("a")}, "review held: draft | #7, by bob" + link},
		{"approved", []event.Fact{p, opened("a"), reviewed("ada", "approved", "a")}, "review open: approved | by ada, #7" + link},
		{"approved twice", []event.Fact{p, opened("a"), reviewed("ada", "approved", "a"), reviewed("web-dev", "approved", "a")}, "review open: approved | by ada, web-dev, #7" + link},
		{"changes requested", []event.Fact{p, opened("a"), reviewed("web-dev", "approved", "a"), reviewed("ada", "changes-requested", "a")}, "review shut: changes asked | by ada, #7" + link},
		{"requested, then approved by the same person", []event.Fact{p, opened("a"), reviewed("ada", "changes-requested", "a"), reviewed("ada", "approved", "a")}, "review open: approved | by ada, #7" + link},
		{"dismissed", []event.Fact{p, opened("a"), reviewed("ada", "changes-requested", "a"), reviewed("ada", "dismissed", "a")}, "review held: in review | #7 waits for a reviewer" + link},
		{"a target that drops approvals", []event.Fact{p, opened("a"), reviewed("ada", "approved", "a"), updated("a", 1)}, "review held: in review | #7 waits for a reviewer" + link},
		{"an update that drops none", []event.Fact{p, opened("a"), reviewed("ada", "approved", "a"), updated("a", 0)}, "review open: approved | by ada, #7" + link},
		{"closed", []event.Fact{p, opened("a"), closed("a")}, "review shut: closed | #7, by bob" + link},
		{"reopened", []event.Fact{p, opened("a"), closed("a"), updated("a", 0)}, "review held: in review | #7 waits for a reviewer" + link},
		{"merged", []event.Fact{p, opened("a"), reviewed("ada", "approved", "a"), merged("a", "e")}, "review open: merged | #7, approved by ada" + link},
		{"newer commits", []event.Fact{p, opened("a"), reviewed("ada", "approved", "a"), updated("b", 1)}, "review none: superseded | newer commits in #7" + link},
		{"allowed", []event.Fact{p, decided("a", "pull", "production", "12 objects", nil, pull7, commitOf("a"))}, "policy open: 12 allowed | pull, production" + at("a")},
		{"refused by the pull request", []event.Fact{p, decided("a", "pull", "production", "12 objects", deny, pull7, commitOf("a"))}, "policy shut: denied | privileged (pull, production)" + at("a")},
		{"the newer decision of the point counts", []event.Fact{p, decided("a", "pull", "production", "12 objects", deny, commitOf("a")), decided("b", "pull", "production", "12 objects", nil, commitOf("a"))},
			"policy open: 12 allowed | pull, production" + at("b")},
		{"another environment does not heal", []event.Fact{p, decided("a", "pull", "production", "12 objects", deny, commitOf("a")), decided("b", "pull", "staging", "12 objects", nil, commitOf("a"))},
			"policy shut: denied | privileged (pull, production)" + at("a")},
		{"audited", []event.Fact{p, decided("a", "pull", "production", "12 objects", audit, commitOf("a"))}, "policy open: 12 allowed | 2 audited" + at("a")},
		{"one object at admission hides no other", []event.Fact{p, decided("a", "admission", "production", "Deployment shop-production/web", deny, commitOf("a")), decided("b", "admission", "production", "Service shop-production/web", nil, commitOf("a"))},
			"policy shut: denied | privileged (admission, production)" + at("a")},
		{"a later deployment that is allowed judges all again", []event.Fact{p, decided("a", "admission", "production", "Deployment shop-production/web", deny, commitOf("a")), decided("b", "deploy", "production", "9 objects", nil, commitOf("a"))},
			"policy open: 9 allowed | deploy, production" + at("b")},
		{"of another commit", []event.Fact{p, decided("a", "pull", "production", "12 objects", deny, commitOf("e"))}, ""},
		{"of another project", []event.Fact{p, in("blog", decided("a", "pull", "production", "12 objects", deny, commitOf("a")))}, ""},
	} {
		t.Run(ex.name, func(t *testing.T) {
			w := build(storetest.SQLite(t))
			for _, f := range ex.events {
				w.say(t, f)
			}
			if diff := cmp.Diff(ex.want, show(board(t, w, evidence.Filter{}).Rows[0])); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheMergedChangeIsReviewedAndJudgedByItsRun(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(db)
		w.say(t, push("a", "fix"), opened("a"), reviewed("ada", "approved", "a"))
		w.say(t, push("e", "main"), merged("a", "e"), queued(1, "e", "main"), decided("a", "deploy", "production", "9 objects", nil, event.OfRun(1)))
		w.say(t, released("production", 1, 1, "deployed", "b"), decided("b", "admission", "production", "Deployment shop-production/web", []event.Verdict{verdict("denied")}, "release:shop/production/1"))
		rows := board(t, w, evidence.Filter{}).Rows
		want := "review open: merged | #7, approved by ada | pull:shop/web/7\nbuild open: run 1 |  | run:1\n" +
			"policy shut: denied | privileged (admission, production) | decision:" + ulid("b") + "\ndeploy open: release 1 | production, 9.0 s | release:shop/production/1\n"
		if diff := cmp.Diff(want, show(rows[0])); diff != "" {
			t.Errorf("the merged change (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff("review open: merged | #7, approved by ada | pull:shop/web/7\n", show(rows[1])); diff != "" {
			t.Errorf("its branch (-want +got):\n%s", diff)
		}
	})
}

// story feeds three changes: a is in production, then b, and c is on a branch.
func story(t testing.TB, w *world) {
	t.Helper()
	w.say(t, push("a", "main"), queued(1, "a", "main"), tests(1, "unit", 12, 0, 0), image(1, "b", "shop/web", "1"), sbom("b"), scan("s1", "b", 0, 2), signed("b"), provenance("b", 1),
		released("production", 1, 1, ""), released("production", 1, 1, "deployed", "b"), pod("u1", "shop/production/1", "b", true, ""), finished(1, "succeeded", ""))
	w.say(t, push("e", "main"), queued(2, "e", "main"), image(2, "f", "shop/web", "2"), image(2, "c", "shop/cart", "2"), released("production", 2, 2, "failed", "f"))
	w.say(t, scan("s2", "f", 1, 3), scan("s3", "c", 0, 1), released("production", 3, 2, "deployed", "f", "c"), gone("u1", "shop/production/1"),
		pod("u2", "shop/production/3", "f", true, ""), pod("u3", "shop/production/3", "c", true, ""), finished(2, "succeeded", ""))
	w.say(t, by("user:bob", push("d", "topic")), queued(3, "d", "topic"))
}

func TestBoard(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(db)
		story(t, w)
		b := board(t, w, evidence.Filter{})
		var got []string
		for _, r := range b.Rows {
			got = append(got, fmt.Sprintf("%s %s %s %t", r.Branch, r.Title, r.PushedBy, r.InProduction))
		}
		want := []string{"topic Change d user:bob false", "main Change e user:ada true", "main Change a user:ada false"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		if c := b.Rows[2].Cells[7]; c.State != evidence.None {
			t.Errorf("the pods of what was replaced are gone, but its health is %+v", c)
		}
		text, err := json.Marshal(b.Summary)
		if err != nil {
			t.Fatal(err)
		}
		// Change a took 9 minutes from the push to its release, e took 7; one of three failed.
		wantSummary := `{"in_production":{"release":"shop/production/3","commit":"` + sha("e") + `","title":"Change e","since":"2026-03-01T12:19:30Z"},` +
			`"commit_to_production_seconds":480,"commit_to_production_of":2,"failure_rate":0.3333333333333333,"failure_rate_of":3,"open_findings":{"critical":1,"high":4,"medium":0},"runs_active":1}`
		if diff := cmp.Diff(wantSummary, string(text)); diff != "" {
			t.Errorf("summary (-want +got):\n%s", diff)
		}
	})
}

func TestSummaryIsEmptyWithoutData(t *testing.T) {
	w := build(storetest.SQLite(t))
	if diff := cmp.Diff(evidence.Summary{}, board(t, w, evidence.Filter{}).Summary); diff != "" {
		t.Errorf("nothing happened (-want +got):\n%s", diff)
	}
	w.say(t, push("a", "main"), queued(1, "a", "main"), image(1, "b", "shop/web", "1"), unscanned("s1", "b"), released("production", 1, 1, "deployed", "b"))
	if s := board(t, w, evidence.Filter{}).Summary; s.OpenFindings != nil {
		t.Errorf("scanned without advisories, but findings are %+v", *s.OpenFindings)
	}
}

func TestFilters(t *testing.T) {
	w := build(storetest.SQLite(t))
	story(t, w)
	tests := []struct {
		name string
		f    evidence.Filter
		want string
		more bool
	}{
		{"pushed by", evidence.Filter{PushedBy: "user:bob"}, "d", false},
		{"branch", evidence.Filter{Branch: "main"}, "ea", false},
		{"unknown branch", evidence.Filter{Branch: "main%"}, "", false},
		{"state", evidence.Filter{State: evidence.Shut}, "e", false},
		{"in production", evidence.Filter{InProduction: true}, "e", false},
		{"text in the title", evidence.Filter{Text: "CHANGE A"}, "a", false},
		{"text in the branch", evidence.Filter{Text: "topi"}, "d", false},
		{"one page", evidence.Filter{Limit: 2}, "de", true},
	}
	commits := func(b evidence.Board) (s string) {
		for _, r := range b.Rows {
			s += r.Commit[:1]
		}
		return s
	}
	for _, tt := range tests {
		b := board(t, w, tt.f)
		if got := commits(b); got != tt.want || (b.More != 0) != tt.more {
			t.Errorf("%s: %q, more %d", tt.name, got, b.More)
		}
	}
	next := board(t, w, evidence.Filter{Limit: 2, Before: board(t, w, evidence.Filter{Limit: 2}).More})
	if got := commits(next); got != "a" || next.More != 0 {
		t.Errorf("the next page: %q, more %d", got, next.More)
	}
}

func TestPathAsksTheAuthoriser(t *testing.T) {
	w := build(storetest.SQLite(t))
	story(t, w)
	for actor, want := range map[string]fault.Kind{"ada": "", "bob": "", "eve": fault.NotFound} {
		if _, err := w.Path(t.Context(), user(actor), "shop", evidence.Filter{}); fault.KindOf(err) != want {
			t.Errorf("%s: %v", actor, err)
		}
	}
	if _, err := w.Path(t.Context(), identity.Actor{}, "shop", evidence.Filter{}); !fault.Is(err, fault.Unauthentic) {
		t.Errorf("nobody: %v", err)
	}
}

func TestSameBytesOfTwoChangesAreKnownOnce(t *testing.T) {
	w := build(storetest.SQLite(t))
	w.say(t, push("a", "main"), queued(1, "a", "main"), image(1, "b", "shop/web", "1"), scan("s1", "b", 0, 0), signed("b"))
	w.say(t, push("e", "main"), queued(2, "e", "main"), image(2, "b", "shop/web", "2"))
	for _, r := range board(t, w, evidence.Filter{}).Rows {
		if r.Cells[3].State != evidence.Open || r.Cells[4].State != evidence.Open {
			t.Errorf("%s: scan %s, sign %s; the bytes were scanned and signed", r.Title, r.Cells[3].State, r.Cells[4].State)
		}
	}
}

func TestProjectsDoNotMix(t *testing.T) {
	w := build(storetest.SQLite(t))
	w.say(t, push("a", "main"), queued(1, "a", "main"), image(1, "b", "shop/web", "1"))
	// The same digest in another project: its scan says nothing about shop.
	w.say(t, in("blog", scan("s1", "b", 9, 9)), in("blog", signed("b")))
	c := board(t, w, evidence.Filter{}).Rows[0].Cells
	if c[3].State != evidence.Passing || c[4].State != evidence.Passing {
		t.Errorf("scan %+v, sign %+v", c[3], c[4])
	}
}

func TestRunFeedsThePath(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(db)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		changed := w.Changed()
		err := db.Tx(ctx, func(tx *store.Tx) error { return w.log.Append(ctx, tx, push("a", "main"), queued(1, "a", "main")) })
		if err != nil {
			t.Fatal(err)
		}
		for len(board(t, w, evidence.Filter{}).Rows) == 0 {
			select {
			case <-changed:
				changed = w.Changed()
			case <-ctx.Done():
				t.Fatal("waited in vain for the Path to change")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
}

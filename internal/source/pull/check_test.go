package pull_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func TestReport(t *testing.T) { storetest.Each(t, testReport) }

func testReport(t *testing.T, db *store.DB) {
	w := build(t, db)
	p := w.propose("fix", map[string]string{"b.txt": "b\n"})
	policy := identity.SystemActor("policy")
	one := pull.Check{
		Name: "policy", State: pull.Running, Title: "judging", URL: "/projects/shop/policy",
		Source: "system:forged", Commit: git.Zero, // is not the caller's to choose
	}
	got, err := w.Report(t.Context(), policy, repo, p.Head, one)
	check(t, err)
	if got.Source != "system:policy" || got.Commit != p.Head || got.Final() {
		t.Errorf("%+v", got)
	}
	began := got.Began
	one.State, one.Title = pull.Failure, "1 verdict"
	one.Annotations = []pull.Annotation{
		{Path: "chart/web.yaml", StartLine: 7, Level: pull.LevelNotice, Message: "mind this"},
		{Path: "chart/web.yaml", StartLine: 12, EndLine: 14, Level: pull.LevelFailure, Message: "privileged", Fix: "remove it", Rule: "privileged"},
	}
	got, err = w.Report(t.Context(), policy, repo, p.Head, one)
	check(t, err)
	if !got.Began.Equal(began) || got.Count != 2 || got.OK() {
		t.Errorf("%+v", got)
	}
	for range 2 { // The same said twice is said once.
		_, err = w.Report(t.Context(), policy, repo, p.Head, one)
		check(t, err)
	}
	w.report(actor("ada"), p.Head, "policy", pull.Success)
	list, err := w.Checks(t.Context(), actor("rita"), repo, p.Head)
	check(t, err)
	var found []string
	for _, c := range list {
		found = append(found, c.Name+" "+c.Source+" "+c.State)
		if c.Annotations != nil {
			t.Error("the list carries annotations")
		}
	}
	if diff := cmp.Diff([]string{"policy system:policy failure", "policy user:ada success"}, found); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	noted, err := w.Annotations(t.Context(), actor("rita"), repo, p.Head)
	if err != nil || len(noted) != 1 || len(noted[0].Annotations) != 2 || noted[0].Annotations[0].Rule != "privileged" || noted[0].Annotations[1].EndLine != 7 {
		t.Errorf("%+v, %v", noted, err)
	}
	said, err := w.log.Read(t.Context(), event.Query{Type: event.TypeCheckFinished, Subject: event.Of(event.KindCommit, p.Head)})
	check(t, err)
	if len(said) != 2 {
		t.Fatalf("%d checks finished, want 2", len(said))
	}
	var f event.CheckFinished
	check(t, said[0].Into(&f))
	want := event.CheckFinished{V: 1, Repo: repo, Commit: p.Head, Name: "policy", Source: "system:policy", State: "failure", Title: "1 verdict", Pull: 1}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestReportRefusals(t *testing.T) {
	w := newWorld(t)
	head := w.tip("refs/heads/main")
	ok := pull.Check{Name: "lint", State: pull.Success}
	elsewhere := identity.Actor{Kind: identity.KindRun, Name: "12", Cap: identity.Admin, Job: identity.JobClaims{Project: "shop", Repo: "shop/other"}}
	with := func(change func(*pull.Check)) pull.Check { c := ok; change(&c); return c }
	note := func(n pull.Annotation) pull.Check {
		return with(func(c *pull.Check) { c.Annotations = []pull.Annotation{n} })
	}
	for _, tt := range []struct {
		name   string
		actor  identity.Actor
		commit string
		c      pull.Check
		want   fault.Kind
	}{
		{"fine", actor("ada"), head, ok, ""},
		{"by a reader", actor("rita"), head, ok, fault.Denied},
		{"by a stranger", actor("stranger"), head, ok, fault.NotFound},
		{"by a job of another repository", elsewhere, head, ok, fault.Denied},
		{"of a commit that is not there", actor("ada"), strings.Repeat("1", 40), ok, fault.NotFound},
		{"of an expression", actor("ada"), "HEAD", ok, fault.Invalid},
		{"of a tree", actor("ada"), git.EmptyTree, ok, fault.NotFound},
		{"without a name", actor("ada"), head, with(func(c *pull.Check) { c.Name = "" }), fault.Invalid},
		{"with two lines as name", actor("ada"), head, with(func(c *pull.Check) { c.Name = "a\nb" }), fault.Invalid},
		{"in no state", actor("ada"), head, with(func(c *pull.Check) { c.State = "fine" }), fault.Invalid},
		{"with a script as address", actor("ada"), head, with(func(c *pull.Check) { c.URL = "javascript:alert(1)" }), fault.Invalid},
		{"with an address without scheme", actor("ada"), head, with(func(c *pull.Check) { c.URL = "//evil.example/" }), fault.Invalid},
		{"with an address of Windows", actor("ada"), head, with(func(c *pull.Check) { c.URL = `/\evil.example/` }), fault.Invalid},
		{"with an address", actor("ada"), head, with(func(c *pull.Check) { c.URL = "https://ci.example/1" }), ""},
		{"with a note at no level", actor("ada"), head, note(pull.Annotation{Path: "a", Level: "worst"}), fault.Invalid},
		{"with a note at no file", actor("ada"), head, note(pull.Annotation{Level: pull.LevelNotice}), fault.Invalid},
		{"with a note that ends before it starts", actor("ada"), head, note(pull.Annotation{Path: "a", StartLine: 3, EndLine: 2, Level: pull.LevelNotice}), fault.Invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.Report(t.Context(), tt.actor, repo, tt.commit, tt.c)
			wants(t, err, tt.want)
		})
	}
}

func TestLimitsOfChecks(t *testing.T) {
	w := newWorld(t)
	head := w.tip("refs/heads/main")
	c := pull.Check{Name: "many", State: pull.Failure, Title: strings.Repeat("t", 1000), Summary: strings.Repeat("ä", 1<<16)}
	for i := range 1500 {
		c.Annotations = append(c.Annotations, pull.Annotation{Path: "a", StartLine: i + 1, Level: pull.LevelNotice, Message: strings.Repeat("m", 3000)})
	}
	c.Annotations[1499].Level = pull.LevelFailure
	got, err := w.Report(t.Context(), actor("ada"), repo, head, c)
	check(t, err)
	if got.Count != 1500 || len(got.Annotations) != 1000 || got.Annotations[0].StartLine != 1500 || len(got.Annotations[0].Message) != 2000 || len(got.Title) != 256 || len(got.Summary) != 1<<16 {
		t.Errorf("%d counted, %d kept, title of %d", got.Count, len(got.Annotations), len(got.Title))
	}
	for i := range 99 {
		w.report(actor("ada"), head, fmt.Sprint("check ", i), pull.Success)
	}
	_, err = w.Report(t.Context(), actor("ada"), repo, head, pull.Check{Name: "one more", State: pull.Success})
	wants(t, err, fault.TooLarge)
	w.report(actor("ada"), head, "check 7", pull.Failure)
}

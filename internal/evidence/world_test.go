package evidence_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// members answers Require: who is named as a member reads.
type members map[string][]string // project → user names

func (m members) Require(_ context.Context, a identity.Actor, project string, _ identity.Role) error {
	if !a.Known() {
		return fault.New(fault.Unauthentic, "not signed in")
	}
	for _, name := range m[project] {
		if name == a.Name {
			return nil
		}
	}
	return fault.New(fault.NotFound, "no such project")
}

func user(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: name, Cap: identity.Admin}
}

// world is a service over a log in which each event is one minute after the one before.
type world struct {
	*evidence.Service
	db  *store.DB
	log *event.Log
	fed int64
}

func build(db *store.DB) *world {
	log := event.New(db, clock.Fixed(start, 30*time.Second)) // Each event asks for an id and a time.
	authz := members{"shop": {"ada", "bob"}, "blog": {"ada"}, "attic": {"ada"}}
	return &world{Service: evidence.New(db, log, authz, slog.New(slog.DiscardHandler)), db: db, log: log}
}

// say appends facts and feeds the projection with them, each twice: a consumer sees an
// event at least once.
func (w *world) say(t testing.TB, facts ...event.Fact) {
	t.Helper()
	ctx := t.Context()
	if err := w.db.Tx(ctx, func(tx *store.Tx) error { return w.log.Append(ctx, tx, facts...) }); err != nil {
		t.Fatal(err)
	}
	events, err := w.log.Read(ctx, event.Query{After: w.fed, Limit: 5000})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, e := range events {
			if err := w.db.Tx(ctx, func(tx *store.Tx) error { return w.Handle(ctx, tx, e) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.fed = events[len(events)-1].Seq
}

// The events of the sample's story. Commits, images and pods are named by a letter.

func sha(c string) string    { return strings.Repeat(c, 40)[:40] }
func digest(c string) string { return "sha256:" + strings.Repeat(c, 64)[:64] }

func fact(kind string, subject event.Subject, payload any, links ...event.Link) event.Fact {
	return event.Fact{Type: kind, Subject: subject, Project: "shop", Actor: "user:ada", Payload: payload, Links: links}
}

func in(project string, f event.Fact) event.Fact { f.Project = project; return f }
func by(actor string, f event.Fact) event.Fact   { f.Actor = actor; return f }

func push(commit, branch string) event.Fact {
	return fact(event.TypeCommitPushed, event.Of(event.KindCommit, sha(commit)), event.CommitPushed{
		V: 1, Repo: "shop/web", Ref: "refs/heads/" + branch, Commit: sha(commit), Title: "Change " + commit, Author: "Ada", Default: branch == "main", Commits: 1,
	}, event.Link{Rel: event.RelInto, To: "repo:shop/web"})
}

func runPayload(n int64, commit, branch string) event.Run {
	return event.Run{V: 1, Run: n, Name: fmt.Sprint(n), Repo: "shop/web", Ref: "refs/heads/" + branch, Commit: sha(commit), Reason: "IndividualCI", Pipeline: "azure-pipelines.yml"}
}

func queued(n int64, commit, branch string) event.Fact {
	return fact(event.TypeRunQueued, event.OfRun(n), runPayload(n, commit, branch), event.Link{Rel: event.RelBuiltFrom, To: event.Of(event.KindCommit, sha(commit))})
}

func finished(n int64, result, why string) event.Fact {
	return fact(event.TypeRunFinished, event.OfRun(n), event.RunFinished{V: 1, Run: n, Result: result, Seconds: 72, Why: why})
}

// checked tells of a check that holds run 1, or of its end.
func checked(kind, entry, environment, result string) event.Fact {
	p := event.CheckHeld{V: 1, Run: 1, Stage: "Deploy", Entry: entry, Type: "approval", Title: "Approval", Resource: "environment/staging", Environment: environment, Result: result}
	switch result {
	case "":
		p.Waits = []string{"user:ada", "role:maintain"}
	case "refused":
		p.Why = "rejected by ada"
	}
	return fact(kind, event.OfRun(1), p)
}

func tests(n int64, title string, passed, failed, skipped int) event.Fact {
	return fact(event.TypeTestsPublished, event.OfRun(n), event.TestsPublished{
		V: 1, Run: n, Title: title, Total: passed + failed + skipped, Passed: passed, Failed: failed, Skipped: skipped, Digest: digest("7"),
	})
}

func image(n int64, c, repository, tag string) event.Fact {
	return fact(event.TypeImagePushed, event.Of(event.KindImage, digest(c)), event.ImagePushed{V: 1, Repository: repository, Digest: digest(c), Tag: tag, Bytes: 8100000, Run: n},
		event.Link{Rel: event.RelProducedBy, To: event.OfRun(n)})
}

func describes(c string) event.Link {
	return event.Link{Rel: event.RelDescribes, To: event.Of(event.KindImage, digest(c))}
}

func sbom(c string) event.Fact {
	return fact(event.TypeSBOMCreated, event.Of(event.KindSBOM, digest("1"+c)), event.SBOMCreated{V: 1, Repository: "shop/web", Image: digest(c), Digest: digest("1" + c), Format: "spdx", Packages: 41}, describes(c))
}

func scan(id, c string, critical, high int) event.Fact {
	return fact(event.TypeScanFinished, event.Of(event.KindScan, id), event.ScanFinished{
		V: 1, Scan: id, Repository: "shop/web", Image: digest(c), Status: "findings", Critical: critical, High: high, Packages: 41, Advisories: start,
	}, describes(c))
}

func unscanned(id, c string) event.Fact {
	f := scan(id, c, 0, 0)
	f.Payload = event.ScanFinished{V: 1, Scan: id, Repository: "shop/web", Image: digest(c), Status: "no advisory data", Packages: 41}
	return f
}

func signed(c string) event.Fact {
	return fact(event.TypeImageSigned, event.Of(event.KindSignature, digest("2"+c)), event.ImageSigned{V: 1, Repository: "shop/web", Image: digest(c), Digest: digest("2" + c), Identity: "towpath"}, describes(c))
}

func provenance(c string, n int64) event.Fact {
	return fact(event.TypeProvenanceCreated, event.Of(event.KindProvenance, digest("3"+c)),
		event.ProvenanceCreated{V: 1, Repository: "shop/web", Image: digest(c), Digest: digest("3" + c), Builder: "towpath", Run: n}, describes(c))
}

// released says that a release started (result "") or finished.
func released(environment string, number, n int64, result string, images ...string) event.Fact {
	id := fmt.Sprintf("shop/%s/%d", environment, number)
	p := event.Release{V: 1, Release: id, Environment: environment, Namespace: "shop-" + environment, Name: "shop", Run: n, Result: result, Seconds: 9}
	links := []event.Link{{Rel: event.RelReleasedBy, To: event.OfRun(n)}}
	for _, c := range images {
		p.Images = append(p.Images, "localhost:7080/shop/web@"+digest(c))
		links = append(links, event.Link{Rel: event.RelDeploys, To: event.Of(event.KindImage, digest(c))})
	}
	kind := event.TypeReleaseFinished
	if result == "" {
		kind, p.Seconds = event.TypeReleaseStarted, 0
	}
	if result == "failed" {
		p.Why = "pod web-1 does not start"
	}
	return fact(kind, event.Of(event.KindRelease, id), p, links...)
}

func pod(uid, release, image string, ready bool, why string) event.Fact {
	return fact(event.TypePodChanged, event.Of(event.KindPod, uid), event.PodChanged{V: 1, Release: release, Namespace: "shop-production", Name: "web-" + uid, UID: uid, Ready: ready, Why: why},
		event.Link{Rel: event.RelPartOf, To: event.Of(event.KindRelease, release)}, event.Link{Rel: event.RelRunsIn, To: event.Of(event.KindImage, digest(image))})
}

func gone(uid, release string) event.Fact {
	return fact(event.TypePodChanged, event.Of(event.KindPod, uid), event.PodChanged{V: 1, Release: release, Name: "web-" + uid, UID: uid, Gone: true})
}

// pullBody is pull request 7 of the branch fix into main.
func pullBody(head string) event.Pull {
	return event.Pull{V: 1, Repo: "shop/web", Number: 7, Title: "Fix the cart", Author: "bob", Source: "refs/heads/fix", Target: "refs/heads/main", Head: sha(head), Base: sha("0")}
}

const pull7 = event.Subject("pull:shop/web/7")

func pullFact(kind string, p event.Pull, more ...event.Link) event.Fact {
	links := append([]event.Link{{Rel: event.RelProposes, To: event.Of(event.KindCommit, p.Head)}}, more...)
	return by("user:"+p.Author, fact(kind, pull7, p, links...))
}

func opened(head string) event.Fact { return pullFact(event.TypePullOpened, pullBody(head)) }

func draft(head string) event.Fact {
	p := pullBody(head)
	p.Draft = true
	return pullFact(event.TypePullOpened, p)
}

// updated says that the pull request has a new head, which dropped approvals.
func updated(head string, dropped int) event.Fact {
	p := pullBody(head)
	p.Change, p.Dropped = "commits", dropped
	return pullFact(event.TypePullUpdated, p)
}

func reviewed(who, verdict, head string) event.Fact {
	return by("user:"+who, fact(event.TypePullReviewed, pull7, event.PullReviewed{V: 1, Repo: "shop/web", Number: 7, Reviewer: who, Verdict: verdict, Commit: sha(head)},
		event.Link{Rel: event.RelReviews, To: event.Of(event.KindCommit, sha(head))}))
}

func merged(head, commit string) event.Fact {
	p := pullBody(head)
	p.Method, p.Merged = "merge", sha(commit)
	return by("user:ada", pullFact(event.TypePullMerged, p, event.Link{Rel: event.RelBrought, To: event.Of(event.KindCommit, sha(commit))}))
}

func closed(head string) event.Fact { return pullFact(event.TypePullClosed, pullBody(head)) }

// ulid is an identifier that ends with a letter.
func ulid(c string) string { return "01J" + strings.Repeat("0", 22) + strings.ToUpper(c) }

// decided says a decision; it is refused when it has a verdict that is denied.
func decided(id, point, environment, object string, verdicts []event.Verdict, judges ...event.Subject) event.Fact {
	p := event.DecisionMade{V: 1, Decision: ulid(id), Point: point, Allowed: true, Environment: environment, Object: object, Input: digest("4"), Set: digest("5"), Verdicts: verdicts}
	var links []event.Link
	for _, s := range judges {
		links = append(links, event.Link{Rel: event.RelJudges, To: s})
		switch s.Kind() {
		case event.KindCommit:
			p.Commit = s.ID()
		case event.KindPull:
			p.Pull = 7
		}
	}
	for _, v := range verdicts {
		p.Allowed = p.Allowed && v.Outcome != "denied" && v.Outcome != "error"
	}
	return by("system:policy", fact(event.TypeDecisionMade, event.Of(event.KindDecision, ulid(id)), p, links...))
}

func verdict(outcome string) event.Verdict {
	return event.Verdict{
		Assignment: "baseline", Rule: "privileged", Policy: digest("6"), Outcome: outcome, Object: "Deployment shop-production/web",
		Path: "spec.template.spec.containers[name=web].securityContext.privileged", Message: "A container is privileged.", File: "chart/templates/web.yaml", Line: 21,
	}
}

func commitOf(c string) event.Subject { return event.Of(event.KindCommit, sha(c)) }

func alert(id, severity, release, uid string) (event.Subject, event.Alert, []event.Link) {
	return event.Of(event.KindAlert, id), event.Alert{V: 1, Alert: id, Rule: "KubeContainerWaiting", Severity: severity, Release: release, Summary: "cart waits"}, []event.Link{
		{Rel: event.RelConcerns, To: event.Of(event.KindRelease, release)}, {Rel: event.RelConcerns, To: event.Of(event.KindPod, uid)},
	}
}

func alerted(id, severity, release, uid string) event.Fact {
	s, p, links := alert(id, severity, release, uid)
	return event.Fact{Type: event.TypeAlertFired, Subject: s, Project: "shop", Actor: "system:monitor", Payload: p, Links: links}
}

func resolved(id, release, uid string) event.Fact {
	s, p, links := alert(id, "critical", release, uid)
	p.Why = "the condition no longer holds"
	return event.Fact{Type: event.TypeAlertResolved, Subject: s, Project: "shop", Actor: "system:monitor", Payload: p, Links: links}
}

func compared(release, verdict string) event.Fact {
	p := event.ReleaseCompared{V: 1, Release: release, Environment: "production", Baseline: "shop/production/47", Verdict: verdict}
	if verdict == "worse" {
		p.Why = "GET / fails more"
	}
	return event.Fact{Type: event.TypeReleaseCompared, Subject: event.Of(event.KindRelease, release), Project: "shop", Actor: "system:monitor", Payload: p}
}

func observed(release, signal string) event.Fact {
	return event.Fact{Type: event.TypeReleaseObserved, Subject: event.Of(event.KindRelease, release), Project: "shop", Actor: "system:monitor",
		Payload: event.ReleaseObserved{V: 1, Release: release, Environment: "production", Signal: signal, Seconds: 4, Roles: []string{"web"}}}
}

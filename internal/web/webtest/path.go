package webtest

import (
	"context"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Digest is the digest of the fixture's first image.
const Digest = "sha256:5be1a0c94f7d2e3b8c6a5f4e3d2c1b0a998877665544332211ffeeddccbb90c2"

// Evidence is the fixture's Path.
type Evidence struct{ f *Fixture }

// Changed wakes at the next Append.
func (e Evidence) Changed() <-chan struct{} { return Logbook(e).Changed() }

// cells writes a row's cells: "lock state fact|detail|link".
func cells(when time.Time, list ...string) []evidence.Cell {
	var out []evidence.Cell
	for _, lock := range evidence.Locks() {
		c := evidence.Cell{Lock: lock, State: evidence.None}
		for _, text := range list {
			parts := strings.SplitN(text, " ", 3)
			if parts[0] != lock {
				continue
			}
			more := strings.Split(parts[2], "|")
			c = evidence.Cell{Lock: lock, State: evidence.State(parts[1]), Fact: more[0], Detail: more[1], Link: event.Subject(more[2]), Since: when, Who: "run:2041"}
		}
		out = append(out, c)
	}
	return out
}

func rows() []evidence.Row {
	row := func(id int64, hash, title, branch, author string, ago time.Duration, list ...string) evidence.Row {
		at := Now.Add(-ago)
		return evidence.Row{
			ID: id, Project: "shop", Repo: "shop/shop", Branch: branch, Default: branch == "main", Commit: hash, Title: title, Author: author,
			PushedBy: "user:" + map[bool]string{true: "ada", false: "bob"}[author == "cart-dev"], Pushed: at, InProduction: id == 12, Cells: cells(at, list...),
		}
	}
	reviewed, allowed := "review open merged #5|approved by bob|pull:shop/shop/5", "policy open 12 allowed|deploy, production|decision:"+DecisionPull
	good := []string{reviewed, allowed, "build open 4 images|run 2036, 1 min 12 s|run:2036", "test open 303 of 303||run:2036", "scan open 0 high|4 images, SBOM 41|image:" + Digest, "sign open signed|4 images, SLSA provenance|image:" + Digest}
	return []evidence.Row{
		row(42, Newest, "Price rounding for multi-currency carts", "main", "cart-dev", 6*time.Minute, reviewed, allowed, "build open 4 images|run 2041, 1 min 12 s|run:2041", "test open 312 of 312||run:2041",
			"scan open 0 high|4 images, SBOM 41|image:"+Digest, "sign open signed|4 images, SLSA provenance|image:"+Digest, "deploy held 25 % canary|production, step 2 of 3: asks for a person|release:shop/production/48", "health passing 3 of 12|production 48|pod:1d2f", "backlog shut 1 item|#41 cart: GET /api/cart fails|item:41"),
		row(40, "a41c9d2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f", "Price rounding, first try", "price-rounding", "cart-dev", 11*time.Minute, "review none superseded|newer commits in #5|pull:shop/shop/5", "build open run 2040|31 s|run:2040", "test shut 311 of 312|1 failed|run:2040"),
		row(38, Second, "Checkout: retry on 503 from pricing", "main", "web-dev", 52*time.Minute, append(good, "deploy shut release 47|rolled-back: pod web is not ready|release:shop/production/47", "health shut 1 of 4|production 47|pod:1d2f", "backlog held 2 items|#39 CVE-2026-1234 in two images|item:39")...),
		row(35, "b51c9d2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f", "Bump grpc to 1.78", "deps/grpc", "towpath-bot", 70*time.Minute, "review held in review|#8 waits for a reviewer|pull:shop/shop/8", "policy shut denied|no-privileged-containers (pull, production)|decision:"+DecisionPull, "build open 4 images|run 2038, 58 s|run:2038", "test open 303 of 303||run:2038", "scan shut 1 critical|4 images|image:"+Digest),
		row(33, Third, "Catalog search by tag", "main", "catalog-dev", 2*time.Hour, append(good, "deploy held staging 31|waits for an agent|release:shop/staging/31", "backlog passing 1 item|#40 Carts survive a restart|item:40")...),
		row(31, "c51c9d2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f", "<img src=x onerror=alert(1)> in a title, which is long enough to be cut off somewhere", "main", "eve", 3*time.Hour, "review none direct push||", "build shut no run|azure-pipelines.yml (Line: 4, Col: 3): unexpected value 'scirpt'|"),
		row(12, Fourth, "Faster cold start for web", "main", "cart-dev", 5*time.Hour, append(good, "deploy open release 46|2 environments|release:shop/production/46", "health open 4 of 4|production 46|pod:1d2f", "backlog open 1 item|closed|item:38")...),
		row(9, "d51c9d2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f", "Dark mode for the storefront", "main", "web-dev", 25*time.Hour, append(good, "deploy open release 45|production, 8.1 s|release:shop/production/45", "health open 4 of 4|production 45|pod:1d2f")...),
	}
}

// Path filters as the real one does, as far as pages ask.
func (e Evidence) Path(ctx context.Context, a identity.Actor, project string, f evidence.Filter) (evidence.Board, error) {
	if err := e.f.Require(ctx, a, project, identity.Read); err != nil {
		return evidence.Board{}, err
	}
	if e.f.Broken != nil {
		return evidence.Board{}, e.f.Broken
	}
	if e.f.Empty {
		return evidence.Board{}, nil
	}
	lead, rate := evidence.Duration(14*time.Minute), 0.041
	b := evidence.Board{Summary: evidence.Summary{
		InProduction:       &evidence.InProduction{Release: "shop/production/46", Commit: Fourth, Title: "Faster cold start for web", Since: Now.Add(-5 * time.Hour)},
		CommitToProduction: &lead, CommitToProductionOf: 14, FailureRate: &rate, FailureRateOf: 48, OpenFindings: &evidence.Findings{High: 1, Medium: 2}, RunsActive: 1,
	}}
	list := rows()
	if e.f.Changes != nil {
		list = e.f.Changes
	}
	e.f.Lock()
	for i, title := range e.f.Pushed {
		list = append([]evidence.Row{{ID: int64(100 + i), Project: "shop", Repo: "shop/shop", Branch: "main", Commit: Second, Title: title, Author: "ada", PushedBy: "user:ada", Pushed: Now, Cells: cells(Now)}}, list...)
	}
	e.f.Unlock()
	for _, r := range list {
		if e.f.Tidy && strings.Contains(r.Title, "<") {
			continue
		}
		has := f.State == ""
		for _, c := range r.Cells {
			has = has || c.State == f.State
		}
		if has && (f.PushedBy == "" || r.PushedBy == f.PushedBy) && (!f.InProduction || r.InProduction) && strings.Contains(strings.ToLower(r.Title+r.Branch+r.Author), strings.ToLower(f.Text)) {
			b.Rows = append(b.Rows, r)
		}
	}
	return b, nil
}

// Trace knows the chain of every commit, image, run, release and pod of shop.
func (e Evidence) Trace(ctx context.Context, a identity.Actor, ref string) (evidence.Chain, error) {
	if err := e.f.Require(ctx, a, "shop", identity.Read); err != nil {
		return evidence.Chain{}, err
	}
	kind, id, _ := strings.Cut(ref, "/")
	if id == "nothing" {
		return evidence.Chain{}, fault.New(fault.NotFound, "There is no %s that you may see.", ref)
	}
	st := func(kind string, subject event.Subject, title, digest, actor string, seq int64, facts ...string) evidence.Station {
		s := evidence.Station{Kind: kind, Subject: subject, Title: title, Digest: digest, Time: Now.Add(time.Duration(seq-60) * 10 * time.Second), Actor: actor, Seq: seq, Hash: strings.Repeat("0123456789abcdef", 4)}
		for i := 0; i+1 < len(facts); i += 2 {
			s.Facts = append(s.Facts, evidence.Fact{Name: facts[i], Value: facts[i+1]})
		}
		return s
	}
	ref2 := "sha256:" + strings.Repeat("ab12", 16)
	c := evidence.Chain{Subject: event.Of(kind, id), Project: "shop", Stations: []evidence.Station{
		st("commit", event.Of("commit", Newest), "Price rounding for multi-currency carts", Newest, "user:ada", 42, "repository", "shop/shop", "branch", "main", "author", "cart-dev"),
		st("pull", "pull:shop/shop/5", "#5 Price rounding for multi-currency carts", "", "user:ada", 40, "state", "merged", "repository", "shop/shop", "branches", "price-rounding → main"),
		st("review", "pull:shop/shop/5", "approved by bob", Second, "user:bob", 41, "verdict", "approved"),
		st("merge", "pull:shop/shop/5", "merged by ada", Newest, "user:ada", 42, "method", "squash", "into", "main"),
		st("run", "run:2041", "run 2041 of azure-pipelines.yml", "", "user:ada", 43, "reason", "IndividualCI", "took", "1 min 12 s", "result", "succeeded"),
		st("tests", "run:2041", "Unit tests", ref2, "run:2041", 44, "passed", "312 of 312", "took", "22.6 s"),
		st("image", event.Of("image", Digest), "shop/cart:2041", Digest, "run:2041", 45, "size", "8.1 MB"),
		st("sbom", event.Of("sbom", ref2), "SPDX of shop/cart", ref2, "system:supply", 46, "packages", "41"),
		st("sbom", event.Of("sbom", ref2), "CYCLONEDX of shop/cart", ref2, "system:supply", 47, "packages", "41"),
		st("scan", "scan:01J", "clean", ref2, "system:supply", 48, "findings", "0 critical, 0 high, 2 medium, 0 low, 0 unknown"),
		st("signature", event.Of("signature", ref2), "signed by run/2041 of shop/shop", ref2, "run:2041", 49, "image", "shop/cart"),
		st("provenance", event.Of("provenance", ref2), "built by http://localhost:7080", ref2, "run:2041", 50, "image", "shop/cart"),
		st("decision", "decision:"+DecisionPull, "refused at pull", PolicyDigest, "system:policy", 51, "point", "pull", "environment", "production", "verdict", "refused", "assignment", "shop-restricted", "rule", "no-privileged-containers", "policy", PolicyDigest),
		st("decision", "decision:"+DecisionAdmission, "refused at admission", PolicyDigest, "user:bob", 51, "point", "admission", "environment", "production", "verdict", "refused", "assignment", "shop-restricted", "rule", "no-privileged-containers", "policy", PolicyDigest),
		st("release", "release:shop/production/48", "shop/production/48", "", "run:2041", 51, "result", "started", "namespace", "shop-production"),
		st("pod", "pod:1d2f", "cart-6c54b7d9f-x2k4q", "", "system:deploy", 52, "state", "ready"),
	}}
	if e.f.Tidy {
		// The change of the Path was refused nowhere, and an item came of it.
		c.Stations = slices.DeleteFunc(c.Stations, func(s evidence.Station) bool { return s.Kind == "decision" })
		c.Stations = append(c.Stations, st("item", "item:41", "#41 cart: GET /api/cart fails", "", "system:insight", 53, "state", "Active"))
	}
	return c, nil
}

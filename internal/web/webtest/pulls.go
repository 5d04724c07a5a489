package webtest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
)

// Pulls are the fixture's pull requests: 7 is refused by policy, 8 is ready to merge, 9 is
// a draft of ada's, 5 is merged and 4 closed.
type Pulls struct{ f *Fixture }

// said notes what a form asked for.
func (p Pulls) said(format string, args ...any) {
	p.f.Lock()
	defer p.f.Unlock()
	p.f.Said = append(p.f.Said, fmt.Sprintf(format, args...))
}

func pulls() []pull.Pull {
	one := func(n int64, title, author, source, state string, ago time.Duration) pull.Pull {
		p := pull.Pull{
			Repo: "shop/shop", Number: n, Title: title, Author: author, Source: source, Target: "main", State: state, Head: Third, Base: Fourth, Tip: Newest, Pusher: "user:" + author,
			Opened: Now.Add(-ago), Updated: Now.Add(-ago / 3), Moved: Now.Add(-ago / 2), Comments: int(n) % 4,
		}
		return p
	}
	list := []pull.Pull{
		one(9, "Dark mode for the checkout page, with the colours of the storefront", "ada", "dark-checkout", pull.Open, 40*time.Minute),
		one(8, "Bump grpc to 1.78", "bob", "deps/grpc", pull.Open, 3*time.Hour),
		one(7, "Add debug sidecar to cart", "bob", "cart-debug", pull.Open, 5*time.Hour),
		one(5, "Price rounding for multi-currency carts", "ada", "price-rounding", pull.Merged, 26*time.Hour),
		one(4, "<script>alert(1)</script> in a title", "bob", "evil", pull.Closed, 48*time.Hour),
	}
	list[0].Draft = true
	list[1].Head = Second
	list[2].Body = "The cart loses items under load. This adds a sidecar that **records the traffic**, so that we can see why.\n\n- only in staging\n- off by default\n\n```\nkubectl -n shop-staging logs deploy/cart -c debug\n```\nSee `charts/cart/values.yaml` and <script>alert(1)</script>."
	list[2].Reviewers = []pull.Reviewer{{User: "ada", Owner: true}, {User: "web-dev"}}
	list[2].Threads, list[2].Comments = 1, 4
	list[3].Ended, list[3].EndedBy, list[3].Method, list[3].Result = Now.Add(-6*time.Minute), "user:ada", pull.MethodSquash, Newest
	list[4].Ended, list[4].EndedBy = Now.Add(-30*time.Hour), "user:bob"
	return list
}

// List filters by state, author, reviewer and text.
func (p Pulls) List(ctx context.Context, a identity.Actor, project string, f pull.Filter) ([]pull.Pull, bool, error) {
	if err := p.f.Require(ctx, a, project, identity.Read); err != nil {
		return nil, false, err
	}
	if p.f.Empty {
		return nil, false, nil
	}
	var out []pull.Pull
	for _, x := range pulls() {
		state := f.State
		if state == "" {
			state = pull.Open
		}
		asked := f.Reviewer == ""
		for _, r := range x.Reviewers {
			asked = asked || r.User == f.Reviewer
		}
		if x.State == state && asked && (f.Author == "" || x.Author == f.Author) && strings.Contains(strings.ToLower(x.Title+x.Source+"#"+strconv.FormatInt(x.Number, 10)), strings.ToLower(f.Text)) && (f.Head == "" || x.Head == f.Head) {
			out = append(out, x)
		}
	}
	return out, false, nil
}

// Get finds one by its number.
func (p Pulls) Get(ctx context.Context, a identity.Actor, repo string, n int64) (pull.Pull, error) {
	project, _, _ := strings.Cut(repo, "/")
	if err := p.f.Require(ctx, a, project, identity.Read); err != nil {
		return pull.Pull{}, err
	}
	for _, x := range pulls() {
		if x.Repo == repo && x.Number == n {
			return x, nil
		}
	}
	return pull.Pull{}, fault.New(fault.NotFound, "There is no pull request #%d in %s.", n, repo).WithNext("list them with: towpath pull list")
}

// change does what a form asks, for who holds the role write.
func (p Pulls) change(ctx context.Context, a identity.Actor, repo string, n int64, format string, args ...any) (pull.Pull, error) {
	x, err := p.Get(ctx, a, repo, n)
	if err == nil {
		err = p.f.Require(ctx, a, "shop", identity.Write)
	}
	if err == nil {
		p.said(format, args...)
	}
	return x, err
}

// Open notes the proposal and answers with number 8.
func (p Pulls) Open(ctx context.Context, a identity.Actor, repo string, x pull.Proposal) (pull.Pull, error) {
	return p.change(ctx, a, repo, 8, "open %s %s→%s %q draft=%t %v", repo, x.Source, x.Target, x.Title, x.Draft, x.Reviewers)
}

// Edit notes what changes.
func (p Pulls) Edit(ctx context.Context, a identity.Actor, repo string, n int64, e pull.Edit) (pull.Pull, error) {
	words := "edit"
	if e.Title != nil {
		words += " title=" + *e.Title
	}
	if e.Target != nil {
		words += " target=" + *e.Target
	}
	if e.Draft != nil {
		words += fmt.Sprintf(" draft=%t", *e.Draft)
	}
	return p.change(ctx, a, repo, n, "%s", words)
}

// Close notes it.
func (p Pulls) Close(ctx context.Context, a identity.Actor, repo string, n int64) (pull.Pull, error) {
	return p.change(ctx, a, repo, n, "close %d", n)
}

// Reopen notes it.
func (p Pulls) Reopen(ctx context.Context, a identity.Actor, repo string, n int64) (pull.Pull, error) {
	return p.change(ctx, a, repo, n, "reopen %d", n)
}

// Request notes whom it asks.
func (p Pulls) Request(ctx context.Context, a identity.Actor, repo string, n int64, users []string) (pull.Pull, error) {
	return p.change(ctx, a, repo, n, "ask %v", users)
}

// Diff changes a chart and a Go file.
func (p Pulls) Diff(ctx context.Context, a identity.Actor, repo string, n int64) (git.Diff, error) {
	d, err := Source(p).Diff(ctx, a, repo, "", "")
	line := func(kind byte, old, now int, text string) git.Line {
		return git.Line{Kind: kind, Old: old, New: now, Text: text}
	}
	chart := git.FileDiff{Kind: git.Modified, Old: "charts/cart/templates/deployment.yaml", New: "charts/cart/templates/deployment.yaml", Additions: 6, Deletions: 1, Hunks: []git.Hunk{{
		OldStart: 14, OldLines: 7, NewStart: 14, NewLines: 12, Section: "spec:",
		Lines: []git.Line{
			line(git.Context, 14, 14, "    spec:"), line(git.Context, 15, 15, "      containers:"), line(git.Context, 16, 16, "        - name: cart"),
			line(git.Minus, 17, 0, "          image: {{ .Values.image }}"), line(git.Plus, 0, 17, "          image: \"{{ .Values.image }}\" # pinned by digest"),
			line(git.Plus, 0, 18, "        - name: debug"), line(git.Plus, 0, 19, "          image: registry.example.org/debug/tcpdump:latest"),
			line(git.Plus, 0, 20, "          securityContext:"), line(git.Plus, 0, 21, "            privileged: true"), line(git.Plus, 0, 22, "            runAsUser: 0"),
			line(git.Context, 18, 23, "      {{- with .Values.nodeSelector }}"), line(git.Context, 19, 24, "      nodeSelector: {{ toYaml . | nindent 8 }}"),
		},
	}}}
	big := git.FileDiff{Kind: git.Added, Old: "testdata/traffic.json", New: "testdata/traffic.json", Additions: 1200, Hunks: []git.Hunk{{NewStart: 1, NewLines: 1200}}}
	for i := range 1200 {
		big.Hunks[0].Lines = append(big.Hunks[0].Lines, line(git.Plus, 0, i+1, fmt.Sprintf(`{"n": %d, "path": "/cart", "ms": %d}`, i, i%37)))
	}
	d.Files = append([]git.FileDiff{chart}, append(d.Files, big)...)
	d.Additions, d.Deletions = d.Additions+1206, d.Deletions+1
	return d, err
}

// Commits lists two.
func (p Pulls) Commits(ctx context.Context, a identity.Actor, repo string, n int64) ([]git.Commit, error) {
	_, err := p.Get(ctx, a, repo, n)
	return commits()[1:3], err
}

// Comment notes it.
func (p Pulls) Comment(ctx context.Context, a identity.Actor, repo string, n int64, r pull.Remark) (pull.Thread, error) {
	_, err := p.change(ctx, a, repo, n, "comment %s:%s:%d %s", r.Path, r.Side, r.Line, r.Body)
	return pull.Thread{ID: "01C"}, err
}

// Reply notes it.
func (p Pulls) Reply(ctx context.Context, a identity.Actor, repo string, n int64, thread, body string) (pull.Thread, error) {
	_, err := p.change(ctx, a, repo, n, "reply %s %s", thread, body)
	return pull.Thread{ID: thread}, err
}

// Resolve notes it.
func (p Pulls) Resolve(ctx context.Context, a identity.Actor, repo string, n int64, thread string, resolved bool) (pull.Thread, error) {
	_, err := p.change(ctx, a, repo, n, "resolve %s %t", thread, resolved)
	return pull.Thread{ID: thread}, err
}

func threads() []pull.Thread {
	return []pull.Thread{
		{
			ID: "01T1", Path: "charts/cart/templates/deployment.yaml", Side: pull.SideNew, Line: 19, Commit: Third, Created: Now.Add(-2 * time.Hour),
			Now: pull.Place{Path: "charts/cart/templates/deployment.yaml", Line: 19},
			Comments: []pull.Comment{
				{ID: "1", Author: "user:ada", Body: "Where does this image come from? Ours are in `shop/`, by digest.", Time: Now.Add(-2 * time.Hour)},
				{ID: "2", Author: "user:bob", Body: "From the debug kit; I will copy it over.", Time: Now.Add(-90 * time.Minute)},
			},
		},
		{
			ID: "01T2", Path: "cart/rounding.go", Side: pull.SideNew, Line: 8, Commit: Third, Created: Now.Add(-3 * time.Hour), Now: pull.Place{Path: "cart/rounding.go", Line: 8},
			Comments: []pull.Comment{{ID: "3", Author: "user:web-dev", Body: "Is minor ever negative?", Time: Now.Add(-3 * time.Hour)}}, Resolved: &pull.Resolving{By: "bob", Time: Now.Add(-2 * time.Hour)},
		},
		{
			ID: "01T3", Path: "cart/cart.go", Side: pull.SideNew, Line: 40, Commit: Fourth, Created: Now.Add(-4 * time.Hour), Outdated: true, Context: []string{"\tif err != nil {", "\t\tpanic(err)", "\t}"},
			Comments: []pull.Comment{{ID: "4", Author: "user:ada", Body: "No panic, please.", Time: Now.Add(-4 * time.Hour)}},
		},
	}
}

// Threads are three: one open, one resolved, one whose line is gone.
func (p Pulls) Threads(ctx context.Context, a identity.Actor, repo string, n int64) ([]pull.Thread, error) {
	_, err := p.Get(ctx, a, repo, n)
	if n != 7 {
		return nil, err
	}
	return threads(), err
}

// Review notes it; nobody judges his own.
func (p Pulls) Review(ctx context.Context, a identity.Actor, repo string, n int64, j pull.Judgement) (pull.Review, error) {
	x, err := p.Get(ctx, a, repo, n)
	if err == nil && x.Author == a.Name && j.Verdict != pull.Commented {
		err = fault.New(fault.Denied, "Nobody approves their own pull request.").WithNext("ask somebody else for a review")
	}
	if err == nil {
		_, err = p.change(ctx, a, repo, n, "review %s %s", j.Verdict, j.Body)
	}
	return pull.Review{}, err
}

// Dismiss notes it.
func (p Pulls) Dismiss(ctx context.Context, a identity.Actor, repo string, n int64, review, why string) (pull.Review, error) {
	_, err := p.change(ctx, a, repo, n, "dismiss %s %s", review, why)
	return pull.Review{ID: review}, err
}

// Timeline tells of pushes, reviews and talk.
func (p Pulls) Timeline(ctx context.Context, a identity.Actor, repo string, n int64) ([]pull.Entry, error) {
	x, err := p.Get(ctx, a, repo, n)
	list := []pull.Entry{{Kind: pull.EntryOpened, Time: x.Opened, Actor: "user:" + x.Author}}
	if n != 7 {
		return list, err
	}
	at := func(ago time.Duration) time.Time { return Now.Add(-ago) }
	th := threads()
	stale := pull.Review{ID: "r1", Reviewer: "web-dev", Verdict: pull.Approved, Commit: Fourth, Time: at(4 * time.Hour), Why: "stale: 2 commits were pushed since"}
	changes := pull.Review{ID: "r2", Reviewer: "ada", Verdict: pull.Changes, Body: "Privileged containers are refused in production. Does it need more than `NET_RAW`?", Commit: Third, Time: at(2 * time.Hour), Counts: true}
	return append(list,
		pull.Entry{Kind: pull.EntryRequested, Time: at(5 * time.Hour), Actor: "user:bob", To: "web-dev"},
		pull.Entry{Kind: pull.EntryReview, Time: stale.Time, Actor: "user:web-dev", Review: &stale},
		pull.Entry{Kind: pull.EntryComment, Time: th[2].Created, Actor: "user:ada", Thread: &th[2]},
		pull.Entry{Kind: pull.EntryCommits, Time: at(150 * time.Minute), Actor: "user:bob", From: Fourth, To: Third, Count: 1},
		pull.Entry{Kind: pull.EntryReview, Time: changes.Time, Actor: "user:ada", Review: &changes},
		pull.Entry{Kind: pull.EntryComment, Time: th[0].Created, Actor: "user:ada", Thread: &th[0]},
		pull.Entry{Kind: pull.EntryComment, Time: at(time.Hour), Actor: "user:bob", Thread: &pull.Thread{ID: "01T9", Comments: []pull.Comment{{ID: "9", Author: "user:bob", Body: "`NET_RAW` is enough. I will push that.", Time: at(time.Hour)}}}},
		pull.Entry{Kind: pull.EntryTitle, Time: at(50 * time.Minute), Actor: "user:bob", From: "Debug sidecar", To: x.Title},
	), err
}

// State blocks number 7 by everything there is and lets number 8 pass.
func (p Pulls) State(ctx context.Context, a identity.Actor, repo string, n int64) (pull.Gate, error) {
	x, err := p.Get(ctx, a, repo, n)
	g := pull.Gate{Head: x.Head, May: p.f.Require(ctx, a, "shop", identity.Write) == nil, Methods: []string{pull.MethodSquash, pull.MethodMerge, pull.MethodRebase}, Needed: 2, Rulesets: []string{"main is reviewed"}}
	switch {
	case n == 8:
		g.Allowed, g.Approved = g.May, []string{"ada", "web-dev"}
		g.Checks = []pull.Needed{{Name: "policy", Source: "system:policy", State: pull.Success, By: "system:policy", OK: true}}
	case n == 7:
		g.Bypass = g.May
		g.Checks = []pull.Needed{{Name: "policy", Source: "system:policy", State: pull.Failure, By: "system:policy"}, {Name: "azure-pipelines.yml", Source: "system:pipeline", State: pull.Running, By: "system:pipeline"}}
		g.Owners = []pull.Owned{{Pattern: "/charts/", Line: 3, Owners: []string{"ada", "web-dev"}, Paths: []string{"charts/cart/templates/deployment.yaml"}, Count: 1}}
		g.Blocks = []pull.Block{
			{Kind: pull.BlockCheck, What: "Check policy failed.", Why: "2 objects are refused in production.", Next: "Open the tab Verdicts: it names the lines and the fix.", Who: []string{"system:policy"}, Since: Now.Add(-2 * time.Hour), Name: "policy"},
			{Kind: pull.BlockChanges, What: "ada asks for changes.", Why: "A request for changes stands until its author approves or it is dismissed.", Next: "Push what ada asks for, and ask for another review.", Who: []string{"user:ada", "role:maintain"}, Since: Now.Add(-2 * time.Hour)},
			{Kind: pull.BlockReview, What: "0 of 2 approvals.", Why: "The ruleset main is reviewed demands them.", Next: "Ask two people for a review.", Who: []string{"role:write"}, Since: Now.Add(-5 * time.Hour)},
			{Kind: pull.BlockThread, What: "1 thread is not resolved.", Why: "The ruleset main is reviewed wants every thread resolved.", Next: "Answer it in the tab Files and resolve it.", Who: []string{"user:ada", "user:bob"}, Since: Now.Add(-2 * time.Hour)},
			{Kind: pull.BlockCheck, What: "Check azure-pipelines.yml is running.", Why: "The ruleset main is reviewed demands it.", Next: "Wait for run 2041.", Who: []string{"system:pipeline"}, Since: Now.Add(-4 * time.Minute), Name: "azure-pipelines.yml", Waiting: true},
		}
	case n == 9:
		g.Blocks = []pull.Block{{Kind: pull.BlockDraft, What: "It is a draft.", Why: "Its author is not done.", Next: "Press “Ready for review”.", Who: []string{"user:ada"}, Since: x.Opened}}
	}
	return g, err
}

// Merge merges what may be merged.
func (p Pulls) Merge(ctx context.Context, a identity.Actor, repo string, n int64, m pull.Merge) (pull.Pull, error) {
	g, err := p.State(ctx, a, repo, n)
	if err == nil && !g.Allowed && !(m.Bypass && g.Bypass) {
		return pull.Pull{}, fault.New(fault.Denied, "Pull request #%d may not be merged: %d things stand in its way.", n, len(g.Blocks)).WithNext("see what stands in its way on its page")
	}
	return p.change(ctx, a, repo, n, "merge %d %s expect=%s bypass=%t delete=%t", n, m.Method, m.Expect[:7], m.Bypass, m.DeleteSource)
}

func checks(n int64) []pull.Check {
	if n != 7 {
		return []pull.Check{{Name: "policy", State: pull.Success, Title: "12 objects allowed in 2 environments", Commit: Third, Source: "system:policy", Began: Now.Add(-3 * time.Hour), Time: Now.Add(-3 * time.Hour)}}
	}
	return []pull.Check{
		{
			Name: "policy", State: pull.Failure, Title: "2 of 12 objects are refused in production", Count: 3, Commit: Third, Source: "system:policy", Began: Now.Add(-2 * time.Hour), Time: Now.Add(-2 * time.Hour),
			Summary: "**production** refuses `Deployment shop-production/cart`, **staging** allows it.",
			Annotations: []pull.Annotation{
				{Path: "charts/cart/templates/deployment.yaml", StartLine: 21, EndLine: 21, Level: pull.LevelFailure, Title: "Privileged container", Rule: "no-privileged-containers", Message: "Container debug is privileged; assignment shop-restricted refuses it in production.", Fix: "Remove securityContext.privileged, or ask for an exemption of this object."},
				{Path: "charts/cart/templates/deployment.yaml", StartLine: 22, EndLine: 22, Level: pull.LevelWarning, Title: "Runs as root", Rule: "run-as-non-root", Message: "Container debug runs as user 0.", Fix: "Set runAsUser to a number above 0."},
				{Path: "charts/cart/values.yaml", StartLine: 3, Level: pull.LevelNotice, Rule: "image-by-digest", Message: "The image is named by a tag."},
			},
		},
		{Name: "azure-pipelines.yml", State: pull.Running, Title: "Run 2041: Build / cart", URL: "/projects/shop/runs/2041", Commit: Third, Source: "system:pipeline", Began: Now.Add(-4 * time.Minute), Time: Now.Add(-4 * time.Minute)},
		{Name: "dependency review", State: pull.Success, Title: "No new finding", Commit: Third, Source: "system:dependencies", Began: Now.Add(-2 * time.Hour), Time: Now.Add(-2 * time.Hour)},
		{Name: "lint", State: pull.Neutral, URL: "javascript:alert(1)", Commit: Third, Source: "user:web-dev", Began: Now.Add(-2 * time.Hour), Time: Now.Add(-2 * time.Hour)},
	}
}

// Checks are those of number 7, or of number 8 for its head, without their annotations.
func (p Pulls) Checks(ctx context.Context, a identity.Actor, repo, commit string) ([]pull.Check, error) {
	project, _, _ := strings.Cut(repo, "/")
	list := checks(7)
	if commit == Second {
		list = checks(8)
	}
	for i := range list {
		list[i].Annotations = nil
	}
	return list, p.f.Require(ctx, a, project, identity.Read)
}

// Annotations are those of number 7.
func (p Pulls) Annotations(ctx context.Context, a identity.Actor, repo, _ string) ([]pull.Check, error) {
	project, _, _ := strings.Cut(repo, "/")
	return checks(7)[:1], p.f.Require(ctx, a, project, identity.Read)
}

package check_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
)

// world is an outside that answers from what it is given.
type world struct {
	protected map[string]bool
	evidence  map[string]check.Evidence
	alerts    []check.Alert
	asked     string // environment of Firing
	status    int
	body      string
	sent      check.Request
	err       error
}

func (w *world) Protected(_ context.Context, b check.Branch) (bool, bool, error) {
	p, known := w.protected[b.Repo+" "+b.Ref]
	return p, known, w.err
}

func (w *world) Evidence(_ context.Context, i check.Image) (check.Evidence, error) {
	return w.evidence[i.Digest], w.err
}

func (w *world) Firing(_ context.Context, project, environment string) ([]check.Alert, error) {
	w.asked = project + "/" + environment
	return w.alerts, w.err
}

func (w *world) Invoke(_ context.Context, r check.Request) (int, []byte, error) {
	w.sent = r
	return w.status, []byte(w.body), w.err
}

// subject is a run of main that uses templates of another repository.
func subject() check.Subject {
	return check.Subject{
		Project: "shop", Repo: "shop/web", Ref: "refs/heads/main", Commit: "abc", Run: 7, Reason: "Manual", Requester: "carol",
		Linked: []check.Branch{{Repo: "shop/web", Ref: "refs/heads/main"}, {Repo: "shop/templates", Ref: "refs/heads/release/2"}},
		Images: []check.Image{{Repository: "shop/web", Digest: "sha256:a"}},
		Values: func(name string) (string, bool) {
			v, ok := map[string]string{"build.buildid": "7", "build.sourcebranch": `refs/heads/a"b/../c?d`}[strings.ToLower(name)]
			return v, ok
		},
	}
}

// verdict puts the question of a definition and says what the gate makes of the answer.
func verdict(t *testing.T, d check.Definition, s check.Subject, w *world) string {
	t.Helper()
	e := entry(t, "1", d)
	g := check.Gate{Entries: []*check.Entry{e}}
	if v, _ := g.Advance(check.Facts{Now: noon}); v != check.Held || !e.Due(noon) {
		t.Fatalf("nothing is asked: %s", v)
	}
	a, ok, why := e.Ask(t.Context(), s, w)
	if !ok {
		return "no answer: " + why
	}
	a.At = noon
	e.Answer = &a
	v, why := g.Advance(check.Facts{Now: noon})
	if v == check.Held {
		return fmt.Sprintf("held until %s: %s", e.Next.Sub(noon), e.Why)
	}
	return say(v, strings.TrimPrefix(why, e.Name()+" of the environment production: "))
}

func branches(protected, unknown bool, allowed ...string) check.Definition {
	return check.Definition{Type: check.BranchControl, Branches: &check.BranchRule{Allowed: allowed, Protected: protected, AllowUnknown: unknown}}
}

func templates(list ...check.Template) check.Definition {
	return check.Definition{Type: check.RequiredTemplate, Template: &check.TemplateRule{Templates: list}}
}

func artifact(r check.ArtifactRule) check.Definition {
	return check.Definition{Type: check.EvaluateArtifact, Artifact: &r}
}

func rest(success string, retry int) check.Definition {
	return check.Definition{Type: check.REST, REST: &check.RESTRule{URL: "https://gate.example.com/x", Success: success, RetryMinutes: retry}}
}

func firing(severity string) check.Definition {
	return check.Definition{Type: check.Alerts, Alerts: &check.AlertRule{Severity: severity}}
}

func TestAnswersOfTheOutside(t *testing.T) {
	main, release := "shop/web refs/heads/main", "shop/templates refs/heads/release/2"
	good := check.Evidence{Signed: true, Scanned: true, Provenance: true}
	bad := check.Evidence{Signed: true, Scanned: true, Critical: 2, High: 3}
	secure := check.Template{Repo: "shop/templates", Ref: "refs/heads/main", Path: "/secure.yml"}
	with := func(t check.Template) func(*check.Subject) { return func(s *check.Subject) { s.Extends = &t } }
	cases := []struct {
		name   string
		d      check.Definition
		change func(*check.Subject)
		w      world
		want   string
	}{
		{"C003 every linked repository is at an allowed branch", branches(false, false, "refs/heads/main", "refs/heads/release/*"), nil, world{}, "open"},
		{"C003 one of them is not", branches(false, false, "refs/heads/main"), nil, world{}, "shut: shop/templates is at refs/heads/release/2, which is not among refs/heads/main"},
		{"C003 a pull request is at no branch", branches(false, false, "refs/heads/*"), func(s *check.Subject) { s.Linked = []check.Branch{{Repo: "shop/web", Ref: "refs/pull/3/merge"}} }, world{},
			"shut: shop/web is at refs/pull/3/merge, which is not among refs/heads/*"},
		{"C003 the beginning of a name is not the name", branches(false, false, "refs/heads/mai"), nil, world{}, "shut: shop/web is at refs/heads/main, which is not among refs/heads/mai"},
		{"C003 branches must be protected", branches(true, false, "*"), nil, world{protected: map[string]bool{main: true, release: false}}, "shut: refs/heads/release/2 of shop/templates is not protected"},
		{"C003 all of them are", branches(true, false, "*"), nil, world{protected: map[string]bool{main: true, release: true}}, "open"},
		{"C003 unknown status", branches(true, false, "*"), nil, world{protected: map[string]bool{main: true}}, "shut: nobody knows whether refs/heads/release/2 of shop/templates is protected"},
		{"C003 unknown status is allowed", branches(true, true, "*"), nil, world{protected: map[string]bool{main: true}}, "open"},
		{"C003 who cannot be asked has not answered", branches(true, true, "*"), nil, world{err: errors.New("the disk is away")}, "no answer: Something went wrong on our side."},

		{"C004 the template", templates(secure), with(check.Template{Repo: "shop/templates", Ref: "refs/heads/main", Path: "secure.yml"}), world{}, "open"},
		{"C004 one of several, at any ref", templates(secure, check.Template{Repo: "shop/web", Ref: "*", Path: "ci/x.yml"}), with(check.Template{Repo: "shop/web", Ref: "refs/heads/f", Path: "/ci/./x.yml"}), world{}, "open"},
		{"C004 another ref", templates(secure), with(check.Template{Repo: "shop/templates", Ref: "refs/heads/mine", Path: "secure.yml"}), world{},
			"shut: the pipeline extends /secure.yml of shop/templates at refs/heads/mine, which is not required"},
		{"C004 another repository", templates(secure), with(check.Template{Repo: "shop/web", Ref: "refs/heads/main", Path: "secure.yml"}), world{},
			"shut: the pipeline extends /secure.yml of shop/web at refs/heads/main, which is not required"},
		{"C004 none", templates(secure), nil, world{}, "shut: the pipeline extends no template; it must extend /secure.yml@shop/templates"},

		{"C005 signed, scanned, attested, nothing critical", artifact(check.ArtifactRule{Signed: true, Scanned: true, Provenance: true, NoCritical: true}), nil, world{evidence: map[string]check.Evidence{"sha256:a": good}}, "open"},
		{"C005 evidence that is to come is waited for", artifact(check.ArtifactRule{Signed: true, NoCritical: true}), nil, world{}, "held until 5s: shop/web is not yet signed, scanned"},
		{"C005 a critical finding", artifact(check.ArtifactRule{NoCritical: true}), nil, world{evidence: map[string]check.Evidence{"sha256:a": bad}}, "shut: shop/web has 2 critical findings"},
		{"C005 an expression", artifact(check.ArtifactRule{Expression: `image.high <= 3 && run.ref == "refs/heads/main" && image.repository.startsWith("shop/")`}), nil,
			world{evidence: map[string]check.Evidence{"sha256:a": bad}}, "open"},
		{"C005 an expression that is false", artifact(check.ArtifactRule{Expression: `image.high == 0`}), nil, world{evidence: map[string]check.Evidence{"sha256:a": bad}}, "shut: the expression is not true for shop/web"},
		{"C005 an expression that fails", artifact(check.ArtifactRule{Expression: `image.nothing == 0`}), nil, world{evidence: map[string]check.Evidence{"sha256:a": good}},
			"shut: the expression cannot be evaluated for shop/web: no such key: nothing"},
		{"C005 no image", artifact(check.ArtifactRule{Signed: true}), func(s *check.Subject) { s.Images = nil }, world{}, "shut: run 7 has pushed no image that could be evaluated"},
		{"C005 one image of two", artifact(check.ArtifactRule{NoCritical: true}), func(s *check.Subject) {
			s.Images = append(s.Images, check.Image{Repository: "shop/api", Digest: "sha256:b"})
		},
			world{evidence: map[string]check.Evidence{"sha256:a": good, "sha256:b": bad}}, "shut: shop/api has 2 critical findings"},

		{"C007 by status", rest("", 0), nil, world{status: 204}, "open"},
		{"C007 another status", rest("", 0), nil, world{status: 302}, "shut: gate.example.com answered with status 302"},
		{"C007 by expression", rest("and(eq(root['status'], 'OK'), gt(root.n, 1.5))", 0), nil, world{status: 200, body: `{"status": "ok", "n": 2}`}, "open"},
		{"C007 the expression is false", rest("eq(root.a[0].b, true)", 0), nil, world{status: 200, body: `{"a": [{"b": false}]}`}, "shut: the answer of gate.example.com does not fulfil eq(root.a[0].b, true)"},
		{"C007 no JSON", rest("eq(root.a, 1)", 0), nil, world{status: 200, body: `<html>`}, "shut: the answer is not JSON"},
		{"C007 asked again", rest("", 10), nil, world{status: 503}, "held until 10m0s: gate.example.com answered with status 503"},
		{"C007 asked again when nobody answers", rest("", 10), nil, world{err: errors.New("refused")}, "held until 10m0s: gate.example.com does not answer"},
		{"C007 an address that is not public", rest("", 10), nil, world{err: fault.New(fault.Denied, "127.0.0.1:80 is not a public address.")}, "shut: 127.0.0.1:80 is not a public address."},

		{"C009 nothing fires", firing("info"), nil, world{}, "open"},
		{"C009 less than the severity", firing("critical"), nil, world{alerts: []check.Alert{{Name: "slow", Severity: "warning"}}}, "open"},
		{"C009 it fires", firing("warning"), nil, world{alerts: []check.Alert{{Name: "slow", Severity: "warning"}, {Name: "down", Severity: "critical"}, {Name: "fyi", Severity: "info"}}},
			"held until 5m0s: 2 alerts fire of severity warning or above: slow"},
		{"C009 a severity that nobody knows counts", firing("critical"), nil, world{alerts: []check.Alert{{Name: "odd", Severity: "sev0"}}}, "held until 5m0s: 1 alert fires of severity critical or above: odd"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := subject()
			if c.change != nil {
				c.change(&s)
			}
			if got := verdict(t, c.d, s, &c.w); got != c.want {
				t.Errorf("%q\nwant %q", got, c.want)
			}
		})
	}
}

func TestAlertsOfTheEnvironmentC009(t *testing.T) {
	w := &world{}
	verdict(t, firing("info"), subject(), w)
	if w.asked != "shop/production" {
		t.Errorf("asked for %q", w.asked)
	}
}

// TestRequestC007 looks at what is sent: macros of predefined variables alone, each escaped
// for where it stands.
func TestRequestC007(t *testing.T) {
	w := &world{status: 200}
	verdict(t, check.Definition{Type: check.REST, REST: &check.RESTRule{
		URL: "https://gate.example.com/runs/$(Build.BuildId)/$(Build.SourceBranch)?b=$(Build.SourceBranch)&s=$(password)", Method: "PUT",
		Headers: map[string]string{"X-Branch": "$(build.sourcebranch)"}, Body: `{"branch": "$(Build.SourceBranch)", "id": $(Build.BuildId)}`,
	}}, subject(), w)
	want := check.Request{
		Method: "PUT", URL: "https://gate.example.com/runs/7/refs%2Fheads%2Fa%22b%2F..%2Fc%3Fd?b=refs%2Fheads%2Fa%22b%2F..%2Fc%3Fd&s=$(password)",
		Headers: map[string]string{"X-Branch": `refs/heads/a"b/../c?d`, "Content-Type": "application/json"},
		Body:    `{"branch": "refs/heads/a\"b/../c?d", "id": 7}`, Limit: 1 << 20,
	}
	if diff := cmp.Diff(want, w.sent); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestAPassThatIsNotFinalC007 has an address change its mind while something else holds the
// stage.
func TestAPassThatIsNotFinalC007(t *testing.T) {
	gate, wait := entry(t, "1", rest("", 10)), entry(t, "2", approval(check.ApprovalRule{Approvers: []string{"user:ada"}, Moment: check.After}))
	g := check.Gate{Entries: []*check.Entry{gate, wait}}
	now := noon
	g.Advance(check.Facts{Now: now})
	answer := func(ok bool) {
		gate.Answer = &check.Answer{OK: ok, At: now}
		g.Advance(check.Facts{Now: now})
	}
	answer(true)
	if gate.Status != check.Passed || wait.Status != check.Waiting {
		t.Fatalf("%s, %s", gate.Status, wait.Status)
	}
	now = now.Add(10 * time.Minute)
	if !gate.Due(now) {
		t.Fatal("it is not asked again")
	}
	answer(false)
	if err := wait.Approve(ada, now, time.Time{}, ""); err != nil {
		t.Fatal(err)
	}
	if v, _ := g.Advance(check.Facts{Now: now}); v != check.Held || gate.Status != check.Waiting {
		t.Errorf("%s, %s", v, gate.Status)
	}
	now = now.Add(10 * time.Minute)
	answer(true)
	if v, _ := g.Advance(check.Facts{Now: now}); v != check.Open {
		t.Errorf("%s", v)
	}
}

func TestC007ARequestBearsTheCredentialsOfItsConnection(t *testing.T) {
	lend := func(address string) func(*check.Subject) {
		return func(s *check.Subject) {
			s.Lend = func(_ context.Context, name string) (string, string, error) {
				if name != "gate" {
					return "", "", fault.New(fault.NotFound, "There is no service connection %s.", name)
				}
				return address, "Bearer a-secret-of-the-connection", nil
			}
		}
	}
	of := func(name string) check.Definition {
		d := rest("", 0)
		d.REST.Connection = name
		return d
	}
	for _, c := range []struct {
		name   string
		d      check.Definition
		change func(*check.Subject)
		want   string
		sent   string
	}{
		{"its host", of("gate"), lend("https://GATE.example.com/api"), "open", "Bearer a-secret-of-the-connection"},
		{"another host", of("gate"), lend("https://other.example.com/"), "shut: the service connection gate is for another host than that of the check", ""},
		{"in the clear", of("gate"), lend("http://gate.example.com/"), "shut: the service connection gate is for another host than that of the check", ""},
		{"another port", of("gate"), lend("https://gate.example.com:8443/"), "shut: the service connection gate is for another host than that of the check", ""},
		{"no such connection", of("gone"), lend("https://gate.example.com/"), "shut: There is no service connection gone.", ""},
		{"no library", of("gate"), func(*check.Subject) {}, "shut: this installation has no service connections", ""},
	} {
		s, w := subject(), &world{status: 200}
		c.change(&s)
		got := verdict(t, c.d, s, w)
		if got != c.want || w.sent.Headers["Authorization"] != c.sent {
			t.Errorf("%s: %s, sent %q", c.name, got, w.sent.Headers["Authorization"])
		}
		if strings.Contains(got, "a-secret") {
			t.Errorf("%s: the secret is in %q", c.name, got)
		}
	}
}

package check_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
)

// noon is a Wednesday.
var noon = time.Date(2026, 11, 4, 12, 0, 0, 0, time.UTC)

var production = check.Resource{Kind: check.Environment, Project: "shop", Name: "production"}

// person is a voter with a role.
func person(name string, role identity.Role) check.Voter {
	return check.Voter{Name: name, Has: func(r identity.Role) bool { return role >= r }}
}

var (
	ada   = person("ada", identity.Maintain)
	bob   = person("bob", identity.Maintain)
	carol = person("carol", identity.Write)
	dave  = person("dave", identity.Write)
)

// entry makes an entry of run 7, which carol requested.
func entry(t *testing.T, id string, d check.Definition) *check.Entry {
	t.Helper()
	if d.Resource.Kind == "" {
		d.Resource = production
	}
	if d.Type != check.Permission {
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
	}
	e := check.NewEntry(id, d)
	e.Run, e.Stage, e.Requester, e.Pipeline = 7, "Deploy", "carol", "shop/web"
	return e
}

func approval(r check.ApprovalRule) check.Definition {
	return check.Definition{Type: check.Approval, Approval: &r}
}

// step is one thing that happens at a gate, and what the gate then says.
type step struct {
	after time.Duration // since the step before
	do    func(*check.Entry, time.Time) error
	fails fault.Kind // of do
	want  string     // verdict, and why after a colon
}

func yes(v check.Voter) func(*check.Entry, time.Time) error {
	return func(e *check.Entry, now time.Time) error { return e.Approve(v, now, time.Time{}, "") }
}

func no(v check.Voter, why string) func(*check.Entry, time.Time) error {
	return func(e *check.Entry, now time.Time) error { return e.Reject(v, now, why) }
}

func later(v check.Voter, d time.Duration) func(*check.Entry, time.Time) error {
	return func(e *check.Entry, now time.Time) error { return e.Approve(v, now, now.Add(d), "") }
}

func reassign(v check.Voter, owner bool, from, to string) func(*check.Entry, time.Time) error {
	return func(e *check.Entry, now time.Time) error { return e.Reassign(v, owner, from, to, now) }
}

func TestApprovals(t *testing.T) {
	two := check.ApprovalRule{Approvers: []string{"user:ada", "user:bob"}}
	group := check.ApprovalRule{Approvers: []string{"role:maintain", "user:dave"}}
	row := check.ApprovalRule{Approvers: []string{"user:ada", "user:bob", "role:maintain"}, InSequence: true}
	barred := check.ApprovalRule{Approvers: []string{"user:carol", "user:ada"}, Minimum: 1, RequesterCannotApprove: true}
	free := check.ApprovalRule{Approvers: []string{"user:carol"}}
	line := "Approval of the environment production: "
	cases := []struct {
		name  string
		rule  check.ApprovalRule
		min   int
		steps []step
	}{
		{"C001 all of the list must approve", two, 0, []step{{want: "held"}, {do: yes(ada), want: "held"}, {do: yes(bob), want: "open"}}},
		{"C001 a minimum number is enough", check.ApprovalRule{Approvers: two.Approvers, Minimum: 1}, 0, []step{{do: yes(bob), want: "open"}}},
		{"C001 nobody answers twice", two, 0, []step{{do: yes(ada), want: "held"}, {do: yes(ada), fails: fault.Conflict, want: "held"}}},
		{"C001 who is not listed cannot approve", two, 0, []step{{do: yes(dave), fails: fault.Denied, want: "held"}, {do: no(dave, ""), fails: fault.Denied, want: "held"}}},
		{"C001 a group counts once", group, 0, []step{{do: yes(ada), want: "held"}, {do: yes(bob), fails: fault.Denied, want: "held"}, {do: yes(dave), want: "open"}}},
		{"C001 a person beats his group", check.ApprovalRule{Approvers: []string{"role:maintain", "user:ada"}}, 0,
			[]step{{do: yes(ada), want: "held"}, {do: yes(bob), want: "open"}}},
		{"C001 in sequence", row, 0, []step{
			{do: yes(bob), fails: fault.Conflict, want: "held"}, {do: yes(ada), want: "held"}, {do: yes(bob), want: "held"}, {do: yes(ada), fails: fault.Conflict, want: "held"},
			{do: yes(person("erin", identity.Admin)), want: "open"},
		}},
		{"C001 the requester is barred", barred, 0, []step{{do: yes(carol), fails: fault.Denied, want: "held"}, {do: later(carol, time.Hour), fails: fault.Denied, want: "held"}, {do: yes(ada), want: "open"}}},
		{"C001 the requester may when nobody forbids it", free, 0, []step{{do: yes(carol), want: "open"}}},
		{"C001 one rejection refuses", two, 0, []step{{do: yes(ada), want: "held"}, {do: no(bob, "not on a Friday\nreally"), want: "shut: " + line + "rejected by bob: not on a Friday"}}},
		{"C001 the time-out skips", two, 60, []step{{want: "held"}, {after: 59 * time.Minute, want: "held"}, {after: time.Minute, want: "timedOut: " + line + "timed out after 1 hour: nobody answered"}}},
		{"C013 the default time-out is 30 days", two, 0, []step{{want: "held"}, {after: 30*24*time.Hour - time.Second, want: "held"}, {after: time.Second, want: "timedOut: " + line + "timed out after 30 days: nobody answered"}}},
		{"C001 a deferred approval counts at its time", check.ApprovalRule{Approvers: []string{"user:ada"}}, 0, []step{
			{do: later(ada, time.Hour), want: "held"}, {after: 59 * time.Minute, want: "held"}, {after: time.Minute, want: "open"},
		}},
		{"C001 a deferred approval can be taken back", check.ApprovalRule{Approvers: []string{"user:ada"}}, 0, []step{
			{do: later(ada, time.Hour), want: "held"}, {do: no(ada, ""), want: "shut: " + line + "rejected by ada"},
		}},
		{"C001 an approval cannot be deferred beyond the time-out", two, 60, []step{{do: later(ada, 2*time.Hour), fails: fault.Invalid, want: "held"}, {do: later(ada, -time.Hour), fails: fault.Invalid, want: "held"}}},
		{"C001 an approver has it reassigned", two, 0, []step{
			{do: reassign(ada, false, "", "dave"), want: "held"}, {do: yes(ada), fails: fault.Denied, want: "held"}, {do: yes(dave), want: "held"}, {do: yes(bob), want: "open"},
		}},
		{"C001 nobody gives away what is not his", two, 0, []step{
			{do: reassign(ada, false, "user:bob", "dave"), fails: fault.Denied, want: "held"}, {do: reassign(ada, false, "", "bob"), fails: fault.Conflict, want: "held"},
			{do: reassign(dave, false, "", "dave"), fails: fault.NotFound, want: "held"}, {do: reassign(ada, true, "user:bob", "dave"), want: "held"},
		}},
		{"C001 it is not reassigned to a requester who is barred", check.ApprovalRule{Approvers: []string{"user:ada"}, RequesterCannotApprove: true}, 0,
			[]step{{do: reassign(ada, true, "", "carol"), fails: fault.Denied, want: "held"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := approval(c.rule)
			d.TimeoutMinutes = c.min
			e := entry(t, "1", d)
			walk(t, check.Gate{Entries: []*check.Entry{e}}, e, c.steps)
		})
	}
}

// walk goes through steps that concern one entry of a gate.
func walk(t *testing.T, g check.Gate, e *check.Entry, steps []step) {
	t.Helper()
	now := noon
	g.Advance(check.Facts{Now: now})
	for i, s := range steps {
		now = now.Add(s.after)
		if s.do != nil {
			err := s.do(e, now)
			if kind := fault.KindOf(err); err == nil && s.fails != "" || err != nil && kind != s.fails {
				t.Fatalf("step %d: %v, want %v", i, err, s.fails)
			}
		}
		if got := say(g.Advance(check.Facts{Now: now})); got != s.want {
			t.Fatalf("step %d: %q, want %q", i, got, s.want)
		}
	}
}

func say(v check.Verdict, why string) string { return strings.TrimSuffix(string(v)+": "+why, ": ") }

func TestTheListIsFrozenC002(t *testing.T) {
	d := approval(check.ApprovalRule{Approvers: []string{"user:ada"}})
	e := entry(t, "1", d)
	g := check.Gate{Entries: []*check.Entry{e}}
	g.Advance(check.Facts{Now: noon})
	d.Approval.Approvers[0] = "user:bob"
	if err := e.Approve(bob, noon, time.Time{}, ""); !fault.Is(err, fault.Denied) {
		t.Errorf("who came to the list later: %v", err)
	}
	if err := e.Approve(ada, noon, time.Time{}, ""); err != nil {
		t.Error(err)
	}
}

// TestClassesInOrder says which entries wait while the ones before them pass one by one.
func TestClassesInOrderC001_C003_C010(t *testing.T) {
	moment := func(id, m string) *check.Entry {
		return entry(t, id, approval(check.ApprovalRule{Approvers: []string{"user:ada"}, Moment: m}))
	}
	lock := entry(t, "lock", check.Definition{Type: check.ExclusiveLock})
	after, dynamic, before := moment("after", check.After), moment("dynamic", ""), moment("before", check.Before)
	static := entry(t, "static", check.Definition{Type: check.BranchControl, Branches: &check.BranchRule{Allowed: []string{"*"}}})
	permission := entry(t, "permission", check.Definition{Type: check.Permission})
	g := check.Gate{Entries: []*check.Entry{lock, after, dynamic, before, static, permission}}
	facts := check.Facts{Now: noon, Permitted: map[string]bool{}}
	var got []string
	look := func() {
		v, _ := g.Advance(facts)
		var waiting []string
		for _, e := range g.Entries {
			if e.Status == check.Waiting {
				waiting = append(waiting, e.Entry)
			}
		}
		got = append(got, fmt.Sprintf("%s %s", v, strings.Join(waiting, " ")))
	}
	look()
	facts.Permitted[production.Key()] = true
	look()
	static.Answer = &check.Answer{OK: true, Final: true, At: noon}
	look()
	for _, e := range []*check.Entry{before, dynamic, after} {
		if err := e.Approve(ada, noon, time.Time{}, ""); err != nil {
			t.Fatal(err)
		}
		look()
	}
	lock.Status = check.Passed
	look()
	want := []string{"held permission", "held static", "held before", "held dynamic", "held after", "locking lock", "open "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPermissionC012(t *testing.T) {
	e := entry(t, "1", check.Definition{Type: check.Permission})
	g := check.Gate{Entries: []*check.Entry{e}}
	if got := say(g.Advance(check.Facts{Now: noon})); got != "held" {
		t.Error(got)
	}
	if diff := cmp.Diff([]string{"role:maintain"}, e.Waits(noon)); diff != "" {
		t.Error(diff)
	}
	if err := e.Approve(ada, noon, time.Time{}, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("a permission was approved: %v", err)
	}
	if got := say(g.Advance(check.Facts{Now: noon, Permitted: map[string]bool{production.Key(): true}})); got != "open" {
		t.Error(got)
	}
}

func TestBusinessHours(t *testing.T) {
	office := check.HoursRule{Days: []string{"mon", "tue", "wed", "thu", "fri"}, Start: "09:00", End: "17:30", Zone: "Europe/Rome"}
	night := check.HoursRule{Days: []string{"sat"}, Start: "22:00", End: "04:00", Zone: "UTC"}
	cases := []struct {
		name string
		rule check.HoursRule
		at   string
		want string
	}{
		{"C006 within", office, "2026-11-04T12:00:00Z", "open next 2026-11-04T16:30:00Z"},
		{"C006 before, in the zone of the rule", office, "2026-11-04T07:59:59Z", "held next 2026-11-04T08:00:00Z"},
		{"C006 begins", office, "2026-11-04T08:00:00Z", "open next 2026-11-04T16:30:00Z"},
		{"C006 ends", office, "2026-11-04T16:30:00Z", "held next 2026-11-05T08:00:00Z"},
		{"C006 over the week-end", office, "2026-11-06T16:30:00Z", "held next 2026-11-09T08:00:00Z"},
		{"C006 when the clocks change", office, "2026-10-24T12:00:00Z", "held next 2026-10-26T08:00:00Z"},
		{"C006 over midnight", night, "2026-11-08T03:59:00Z", "open next 2026-11-08T04:00:00Z"},
		{"C006 after a night", night, "2026-11-08T04:00:00Z", "held next 2026-11-14T22:00:00Z"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			e := entry(t, "1", check.Definition{Type: check.BusinessHours, Hours: &c.rule})
			v, _ := (&check.Gate{Entries: []*check.Entry{e}}).Advance(check.Facts{Now: at})
			if got := fmt.Sprintf("%s next %s", v, e.Next.UTC().Format(time.RFC3339)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestHoursAreWithdrawnC006 has an approval come after the hours have ended: the stage waits
// for them once more.
func TestHoursAreWithdrawnC006(t *testing.T) {
	hours := entry(t, "1", check.Definition{Type: check.BusinessHours, Hours: &check.HoursRule{Days: []string{"wed", "thu"}, Start: "09:00", End: "17:00", Zone: "UTC"}})
	yes := entry(t, "2", approval(check.ApprovalRule{Approvers: []string{"user:ada"}}))
	g := check.Gate{Entries: []*check.Entry{hours, yes}}
	now := noon
	look := func(want string) {
		t.Helper()
		v, _ := g.Advance(check.Facts{Now: now})
		if got := fmt.Sprintf("%s %s", v, hours.Status); got != want {
			t.Errorf("at %s: %s, want %s", now, got, want)
		}
	}
	look("held passed")
	now = now.Add(6 * time.Hour)
	if got := g.Wake(); !got.Equal(noon.Add(5 * time.Hour)) {
		t.Errorf("the end of the hours wakes nobody: %s", got)
	}
	look("held waiting")
	if err := yes.Approve(ada, now, time.Time{}, ""); err != nil {
		t.Fatal(err)
	}
	look("held waiting")
	now = now.Add(15 * time.Hour)
	look("open passed")
}

func TestDefinitionsThatCannotBeMeant(t *testing.T) {
	cases := map[string]check.Definition{
		"C001 no approver":                     approval(check.ApprovalRule{}),
		"C001 more than there are":             approval(check.ApprovalRule{Approvers: []string{"user:ada"}, Minimum: 2}),
		"C001 nobody by that name":             approval(check.ApprovalRule{Approvers: []string{"ada"}}),
		"C001 twice":                           approval(check.ApprovalRule{Approvers: []string{"user:ada", "user:ada"}}),
		"C001 a moment that is none":           approval(check.ApprovalRule{Approvers: []string{"user:ada"}, Moment: "never"}),
		"C003 a short branch":                  {Type: check.BranchControl, Branches: &check.BranchRule{Allowed: []string{"main"}}},
		"C004 no repository":                   {Type: check.RequiredTemplate, Template: &check.TemplateRule{Templates: []check.Template{{Ref: "*", Path: "a.yml"}}}},
		"C005 nothing to evaluate":             {Type: check.EvaluateArtifact, Artifact: &check.ArtifactRule{}},
		"C005 not CEL":                         {Type: check.EvaluateArtifact, Artifact: &check.ArtifactRule{Expression: "image.signed &&"}},
		"C005 no verdict":                      {Type: check.EvaluateArtifact, Artifact: &check.ArtifactRule{Expression: "'yes'"}},
		"C006 a day that is none":              {Type: check.BusinessHours, Hours: &check.HoursRule{Days: []string{"Monday"}, Start: "09:00", End: "10:00", Zone: "UTC"}},
		"C006 no zone":                         {Type: check.BusinessHours, Hours: &check.HoursRule{Days: []string{"mon"}, Start: "09:00", End: "10:00"}},
		"C006 a zone that is a path":           {Type: check.BusinessHours, Hours: &check.HoursRule{Days: []string{"mon"}, Start: "09:00", End: "10:00", Zone: "../../etc/passwd"}},
		"C006 an empty window":                 {Type: check.BusinessHours, Hours: &check.HoursRule{Days: []string{"mon"}, Start: "09:00", End: "09:00", Zone: "UTC"}},
		"C007 no address":                      {Type: check.REST, REST: &check.RESTRule{URL: "file:///etc/passwd"}},
		"C007 a host that a branch may choose": {Type: check.REST, REST: &check.RESTRule{URL: "https://$(Build.SourceBranchName).example.com/"}},
		"C007 a password in the address":       {Type: check.REST, REST: &check.RESTRule{URL: "https://a:b@example.com/"}},
		"C007 a credential in the clear":       {Type: check.REST, REST: &check.RESTRule{URL: "https://example.com/", Headers: map[string]string{"Authorization": "Bearer x"}}},
		"C007 a header that is two":            {Type: check.REST, REST: &check.RESTRule{URL: "https://example.com/", Headers: map[string]string{"A": "b\r\nC: d"}}},
		"C007 no expression":                   {Type: check.REST, REST: &check.RESTRule{URL: "https://example.com/", Success: "eq("}},
		"C009 no severity":                     {Type: check.Alerts, Alerts: &check.AlertRule{Severity: "bad"}},
		"C010 a lock with a rule":              {Type: check.ExclusiveLock, Alerts: &check.AlertRule{Severity: "info"}},
		"C012 a permission is no check":        {Type: check.Permission},
		"C013 a longer time-out":               {Type: check.ExclusiveLock, TimeoutMinutes: check.DefaultTimeout + 1},
		"two rules":                            {Type: check.Alerts, Alerts: &check.AlertRule{Severity: "info"}, Hours: &check.HoursRule{}},
		"no type":                              {},
	}
	for name, d := range cases {
		t.Run(name, func(t *testing.T) {
			d.Resource = production
			if err := d.Check(); !fault.Is(err, fault.Invalid) {
				t.Errorf("%v", err)
			}
		})
	}
	for _, path := range []string{"production", "server/production", "environment/", "environment/a\nb", "stage/x"} {
		if _, err := check.ParseResource("shop", path); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q is a resource: %v", path, err)
		}
	}
}

package alert_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/store/storetest"
)

// stage is a world in which shop has one of everything, and its pod crashes.
type stage struct {
	*world
	rule    alert.Rule
	alert   alert.Alert
	silence alert.Silence
}

func staged(t *testing.T) *stage {
	t.Helper()
	s := &stage{world: build(t, storetest.SQLite(t))}
	url, _ := hook(t)
	s.routeTo("shop", url)
	var err error
	if s.rule, err = s.PutRule(t.Context(), writer, errorsRule()); err != nil {
		t.Fatal(err)
	}
	r := s.named("", crash).Rule
	r.For = 0
	if _, err := s.PutRule(t.Context(), admin, r); err != nil {
		t.Fatal(err)
	}
	s.minute("shop")
	s.minute("shop")
	s.alert = s.firing()
	s.silence, err = s.Silence(t.Context(), writer, alert.Silence{
		Project: "shop", Matchers: []alert.Matcher{{Label: "alertname", Operator: "=", Value: "Other"}}, Until: s.clock.Now().Add(time.Hour), Why: "we know",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestWhoMayWhat calls every method as an attacker who is admin of another project, as
// nobody, and as members of the project with ever more rights. want is the kind of fault
// for: attacker, nobody, reader, writer, owner, administrator.
func TestWhoMayWhat(t *testing.T) {
	const (
		ok   = fault.Kind("")
		none = fault.NotFound
		no   = fault.Denied
		who  = fault.Unauthentic
	)
	type kinds = [6]fault.Kind
	read, write, manage, platform := kinds{none, who, ok, ok, ok, ok}, kinds{none, who, no, ok, ok, ok}, kinds{none, who, no, no, ok, ok}, kinds{no, who, no, no, no, ok}
	until := func(s *stage) time.Time { return s.clock.Now().Add(time.Hour) }
	tests := []struct {
		name string
		want kinds
		call func(s *stage, a identity.Actor) error
	}{
		{"Rules", read, func(s *stage, a identity.Actor) error { _, err := s.Rules(s.t.Context(), a, "shop"); return err }},
		{"Rules of the platform", platform, func(s *stage, a identity.Actor) error { _, err := s.Rules(s.t.Context(), a, ""); return err }},
		{"PutRule new", write, func(s *stage, a identity.Actor) error {
			r := errorsRule()
			r.Name = "New"
			_, err := s.PutRule(s.t.Context(), a, r)
			return err
		}},
		{"PutRule changed", write, func(s *stage, a identity.Actor) error { _, err := s.PutRule(s.t.Context(), a, s.rule); return err }},
		{"PutRule into the own project", kinds{none, who, none, none, none, none}, func(s *stage, a identity.Actor) error {
			r := s.rule
			r.Project = "bank"
			_, err := s.PutRule(s.t.Context(), a, r)
			return err
		}},
		{"PutRule of the platform", platform, func(s *stage, a identity.Actor) error {
			_, err := s.PutRule(s.t.Context(), a, s.named("", crash).Rule)
			return err
		}},
		{"MuteRule", write, func(s *stage, a identity.Actor) error { return s.MuteRule(s.t.Context(), a, s.rule.ID, until(s)) }},
		{"MuteRule of the platform", platform, func(s *stage, a identity.Actor) error {
			return s.MuteRule(s.t.Context(), a, s.named("", crash).ID, until(s))
		}},
		{"Evaluations", read, func(s *stage, a identity.Actor) error {
			_, err := s.Evaluations(s.t.Context(), a, s.rule.ID, 0)
			return err
		}},
		{"Evaluations of the platform", platform, func(s *stage, a identity.Actor) error {
			_, err := s.Evaluations(s.t.Context(), a, s.named("", crash).ID, 0)
			return err
		}},
		{"DeleteRule", write, func(s *stage, a identity.Actor) error { return s.DeleteRule(s.t.Context(), a, s.rule.ID) }},
		{"Draft", read, func(s *stage, a identity.Actor) error {
			_, err := s.Draft(s.t.Context(), a, "shop", "AppRequests")
			return err
		}},
		{"Alerts", read, func(s *stage, a identity.Actor) error {
			_, err := s.Alerts(s.t.Context(), a, alert.Filter{Project: "shop"})
			return err
		}},
		{"Alerts of everybody", platform, func(s *stage, a identity.Actor) error {
			_, err := s.Alerts(s.t.Context(), a, alert.Filter{})
			return err
		}},
		{"Alert", read, func(s *stage, a identity.Actor) error { _, err := s.Alert(s.t.Context(), a, s.alert.ID); return err }},
		{"Acknowledge", write, func(s *stage, a identity.Actor) error { return s.Acknowledge(s.t.Context(), a, s.alert.ID, "mine") }},
		{"Close", write, func(s *stage, a identity.Actor) error { return s.Close(s.t.Context(), a, s.alert.ID, "done") }},
		{"OfRelease", read, func(s *stage, a identity.Actor) error {
			_, err := s.OfRelease(s.t.Context(), a, "shop", "production", 48)
			return err
		}},
		{"Open", read, func(s *stage, a identity.Actor) error { _, err := s.Open(s.t.Context(), a, "shop"); return err }},
		{"Silences", read, func(s *stage, a identity.Actor) error { _, err := s.Silences(s.t.Context(), a, "shop"); return err }},
		{"Silence", write, func(s *stage, a identity.Actor) error {
			x := s.silence
			x.ID = ""
			_, err := s.Silence(s.t.Context(), a, x)
			return err
		}},
		{"Silence of the platform", platform, func(s *stage, a identity.Actor) error {
			x := s.silence
			x.Project = ""
			_, err := s.Silence(s.t.Context(), a, x)
			return err
		}},
		{"Expire", write, func(s *stage, a identity.Actor) error { return s.Expire(s.t.Context(), a, s.silence.ID) }},
		{"Receivers", manage, func(s *stage, a identity.Actor) error { _, err := s.Receivers(s.t.Context(), a, "shop"); return err }},
		{"PutReceiver", manage, func(s *stage, a identity.Actor) error {
			_, err := s.PutReceiver(s.t.Context(), a, alert.Receiver{Project: "shop", Name: "items", Kind: alert.Item})
			return err
		}},
		{"PutReceiver of the installation", platform, func(s *stage, a identity.Actor) error {
			_, err := s.PutReceiver(s.t.Context(), a, alert.Receiver{Name: "items", Kind: alert.Item})
			return err
		}},
		{"Test", manage, func(s *stage, a identity.Actor) error { _, err := s.Test(s.t.Context(), a, "shop", "hook"); return err }},
		{"Routes", manage, func(s *stage, a identity.Actor) error { _, err := s.Routes(s.t.Context(), a, "shop"); return err }},
		{"PutRoutes", manage, func(s *stage, a identity.Actor) error {
			_, err := s.PutRoutes(s.t.Context(), a, alert.Routes{Project: "shop"})
			return err
		}},
		{"DeleteReceiver", kinds{none, who, no, no, fault.Conflict, fault.Conflict}, func(s *stage, a identity.Actor) error {
			return s.DeleteReceiver(s.t.Context(), a, "shop", "hook")
		}},
		{"Notifications", read, func(s *stage, a identity.Actor) error {
			_, err := s.Notifications(s.t.Context(), a, "shop", 0)
			return err
		}},
		{"PromAlerts", read, func(s *stage, a identity.Actor) error {
			_, err := s.PromAlerts(s.t.Context(), a, "shop", false)
			return err
		}},
		{"PromRules", read, func(s *stage, a identity.Actor) error {
			_, err := s.PromRules(s.t.Context(), a, "shop", false)
			return err
		}},
		{"PromRules of everybody", platform, func(s *stage, a identity.Actor) error {
			_, err := s.PromRules(s.t.Context(), a, "shop", true)
			return err
		}},
	}
	actors := []identity.Actor{attacker, nobody, reader, writer, owner, admin}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := staged(t)
			for i, a := range actors {
				if test.want[i] == ok && i > 0 && test.want[i-1] == ok {
					continue // What the one before may, this one may; many calls work once only.
				}
				if err := test.call(s, a); fault.KindOf(err) != test.want[i] {
					t.Errorf("%s: %v, want %q", a, err, test.want[i])
				}
			}
		})
	}
}

// TestAProjectLearnsNothingOfAnother lets pods of two projects crash under one rule of the
// platform, and looks for the other's name in everything that a reader of shop may read.
func TestAProjectLearnsNothingOfAnother(t *testing.T) {
	s := staged(t)
	s.minute("shop", "bank")
	s.minute("shop", "bank")
	list, err := s.Alerts(t.Context(), reader, alert.Filter{Project: "shop"})
	if err != nil || len(list) != 1 {
		t.Fatalf("alerts of shop: %+v, %v", list, err)
	}
	if all := s.alerts(alert.Filter{State: alert.Firing}); len(all) != 2 {
		t.Fatalf("%d alerts fire, want one of each project", len(all))
	}
	detail, err1 := s.Alert(t.Context(), reader, list[0].ID)
	rules, err2 := s.Rules(t.Context(), reader, "shop")
	prom, err3 := s.PromRules(t.Context(), reader, "shop", false)
	notes, err4 := s.Notifications(t.Context(), reader, "shop", 0)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal([]any{list, detail, rules, prom, notes})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"bank", "vault-1"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("a reader of shop reads %q: %s", secret, text)
		}
	}
	if len(detail.Evaluations) == 0 || detail.Rule == nil || detail.Rule.Firing != 1 {
		t.Errorf("the alert's page has %d evaluations and the rule %+v", len(detail.Evaluations), detail.Rule)
	}
}

// TestSecretsGoInAndNeverComeOut looks for a secret in every answer and in the database.
func TestSecretsGoInAndNeverComeOut(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	in := alert.Receiver{Project: "shop", Name: "hook", Kind: alert.Webhook, URL: "http://127.0.0.1:1/services/hunter2", Token: "hunter2-token"}
	out, err := w.PutReceiver(t.Context(), owner, in)
	if err != nil {
		t.Fatal(err)
	}
	list, err1 := w.Receivers(t.Context(), owner, "shop")
	tested, err2 := w.Test(t.Context(), owner, "shop", "hook")
	notes, err3 := w.Notifications(t.Context(), owner, "shop", 0)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	if tested.State != alert.Failed || tested.Error == "" || len(notes) != 1 || list[0].URL != "http://127.0.0.1:1/…" || !list[0].HasSecret {
		t.Errorf("tested %+v, listed %+v", tested, list)
	}
	text, err := json.Marshal([]any{out, list, tested, notes})
	if err != nil {
		t.Fatal(err)
	}
	var body, secret string
	if err := w.db.QueryRow(t.Context(), `SELECT body, secret FROM alert_receiver`).Scan(&body, &secret); err != nil {
		t.Fatal(err)
	}
	if all := string(text) + body + secret; strings.Contains(all, "hunter2") {
		t.Errorf("the secret is in %s", all)
	}

	// Who changes the host does not get the secrets of the old one sent there.
	url, next := hook(t)
	moved := in
	moved.Token, moved.URL = "", url
	if _, err := w.PutReceiver(t.Context(), owner, moved); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Test(t.Context(), owner, "shop", "hook"); err != nil || n.State != alert.Sent {
		t.Fatalf("%+v, %v", n, err)
	}
	if got := next(); got != "firing TowpathTest shop" {
		t.Errorf("the test says %q", got)
	}
	old := alert.Receiver{Project: "shop", Name: "hook", Kind: alert.Webhook, URL: list[0].URL}
	if _, err := w.PutReceiver(t.Context(), owner, old); !fault.Is(err, fault.Invalid) {
		t.Errorf("the shown address of the old host: %v, want that it is refused", err)
	}
}

// TestReceiversOfProjectsStayOutside shows which hosts a project's admin may name.
func TestReceiversOfProjectsStayOutside(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	put := func(a identity.Actor, project, url string) error {
		_, err := w.PutReceiver(t.Context(), a, alert.Receiver{Project: project, Name: "hook", Kind: alert.Webhook, URL: url})
		return err
	}
	for _, url := range []string{"http://10.0.0.1/", "https://hooks.example.com/x", "http://localhost/", "http://[::1]/", "http://169.254.169.254/latest"} {
		if err := put(owner, "shop", url); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v, want that it is refused", url, err)
		}
	}
	if err := put(owner, "shop", "http://127.0.0.1:9/x"); err != nil {
		t.Errorf("an allowed host: %v", err)
	}
	if err := put(admin, "", "https://hooks.example.com/x"); err != nil {
		t.Errorf("an administrator: %v", err)
	}
	_, err := w.PutReceiver(t.Context(), owner, alert.Receiver{Project: "shop", Name: "mail", Kind: alert.Mail, Server: "10.0.0.1:25", From: "a@example.com", To: []string{"b@example.com"}})
	if !fault.Is(err, fault.Denied) {
		t.Errorf("a mail server inside: %v, want that it is refused", err)
	}
}

func TestRulesAreRefusedWithTheirPlace(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	metric := alert.Rule{Project: "shop", Name: "R", Kind: alert.Metric, Query: "up == 0", Enabled: true}
	with := func(r alert.Rule, change func(*alert.Rule)) alert.Rule {
		if r.Condition != nil {
			c := *r.Condition
			r.Condition = &c
		}
		change(&r)
		return r
	}
	tests := []struct {
		name string
		rule alert.Rule
		want fault.Kind
		say  string
	}{
		{"PromQL", with(metric, func(r *alert.Rule) { r.Query = "up ==\n  == 1" }), fault.Invalid, "Line 2, column 3"},
		{"no kind", with(metric, func(r *alert.Rule) { r.Kind = "" }), fault.Invalid, "kind"},
		{"a name of the platform", with(metric, func(r *alert.Rule) { r.Name = crash }), fault.Conflict, crash},
		{"a name that is none", with(metric, func(r *alert.Rule) { r.Name = "../x" }), fault.Invalid, "name"},
		{"too often", with(metric, func(r *alert.Rule) { r.Every = alert.Duration(time.Second) }), fault.Invalid, "every"},
		{"a severity that is none", with(metric, func(r *alert.Rule) { r.Severity = "loud" }), fault.Invalid, "severity"},
		{"another project by label", with(metric, func(r *alert.Rule) { r.Labels = map[string]string{"project": "bank"} }), fault.Invalid, "project"},
		{"a column that is not there", with(errorsRule(), func(r *alert.Rule) { r.Condition.Measure = "Nope" }), fault.Invalid, "Nope"},
		{"a dimension that is not there", with(errorsRule(), func(r *alert.Rule) { r.Condition.Dimensions = []string{"Nope"} }), fault.Invalid, "Nope"},
		{"an operator that is none", with(errorsRule(), func(r *alert.Rule) { r.Condition.Operator = "~" }), fault.Invalid, "operator"},
		{"more bad than are looked at", with(errorsRule(), func(r *alert.Rule) { r.Condition.Bad, r.Condition.Of = 31, 31 }), fault.Invalid, "30"},
		{"a look back of a year", with(errorsRule(), func(r *alert.Rule) { r.Condition.Period = alert.Duration(365 * 24 * time.Hour) }), fault.Invalid, "2d"},
		{"a text without end", with(metric, func(r *alert.Rule) { r.Query = strings.Repeat("x", 20_000) }), fault.TooLarge, "bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := w.PutRule(t.Context(), writer, test.rule)
			if !fault.Is(err, test.want) || !strings.Contains(err.Error(), test.say) {
				t.Errorf("%v, want %q and %q", err, test.want, test.say)
			}
		})
	}
	if _, err := w.PutRule(t.Context(), writer, metric); err != nil {
		t.Fatal(err)
	}
	if _, err := w.PutRule(t.Context(), writer, metric); !fault.Is(err, fault.Conflict) {
		t.Errorf("the same name again: %v", err)
	}
	metric.Project = ""
	if _, err := w.PutRule(t.Context(), admin, metric); !fault.Is(err, fault.Conflict) {
		t.Errorf("a name of a project for the platform: %v", err)
	}
	d, err := w.Draft(t.Context(), reader, "shop", errorsRule().Query)
	if err != nil || d.Condition.Measure != "Errors" || len(d.Condition.Dimensions) != 1 || d.Condition.Dimensions[0] != "PodName" {
		t.Errorf("the draft is %+v, %v", d, err)
	}
}

package alert_test

import (
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/store/storetest"
)

// TestAnItemIsAnnouncedOverTheRoutes sends a work item to the receivers of its project, once,
// and to none that opens items.
func TestAnItemIsAnnouncedOverTheRoutes(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	ctx, in := t.Context(), alert.Announcement{Project: "shop", Item: 12, Title: "The cart is down", Text: "opened", Kind: "bug", Severity: alert.Critical}
	if err := w.Announce(ctx, admin, in); err != nil {
		t.Fatalf("without routes: %v", err)
	}
	url, next := hook(t)
	w.routeTo("shop", url)
	if _, err := w.PutReceiver(ctx, admin, alert.Receiver{Project: "shop", Name: "items", Kind: alert.Item}); err != nil {
		t.Fatal(err)
	}
	match := func(op, severity string) []alert.Matcher {
		return []alert.Matcher{{Label: "alertname", Operator: "=", Value: alert.AnnouncedItem}, {Label: "severity", Operator: op, Value: severity}}
	}
	_, err := w.PutRoutes(ctx, admin, alert.Routes{Project: "shop", Routes: []alert.Route{
		{Receiver: "items", Continue: true}, {Receiver: "hook", Match: match("=", "critical"), Continue: true}, {Receiver: "hook", Match: match("!=", "info")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Announce(ctx, admin, in); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "firing "+alert.AnnouncedItem+" shop" {
		t.Errorf("the webhook hears %q", got)
	}
	list, err := w.Notifications(ctx, admin, "shop", 10)
	if err != nil || len(list) != 1 || list[0].Receiver != "hook" || list[0].State != alert.Sent {
		t.Errorf("notifications %+v, %v, want one to the webhook", list, err)
	}
	if err := w.Announce(ctx, identity.Actor{}, in); !fault.Is(err, fault.Unauthentic) {
		t.Errorf("nobody may announce: %v", err)
	}
}

// TestAQuestionIsAskedOverTheRoutes sends what a run asks to the receiver of one of those who
// are asked, and to no other.
func TestAQuestionIsAskedOverTheRoutes(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	url, next := hook(t)
	w.routeTo("shop", url)
	_, err := w.PutRoutes(t.Context(), admin, alert.Routes{Project: "shop", Routes: []alert.Route{
		{Receiver: "hook", Match: []alert.Matcher{{Label: "alertname", Operator: "=", Value: alert.AskedQuestion}, {Label: "asked", Operator: "=~", Value: ".*,user:ada,.*"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	in := alert.Question{Project: "shop", Run: 7, Entry: "e1", Title: "Is it good?", Text: "Look at 7", Asked: []string{"user:adam"}}
	if err := w.Ask(t.Context(), admin, in); err != nil {
		t.Fatal(err)
	}
	in.Asked = append(in.Asked, "user:ada")
	if err := w.Ask(t.Context(), admin, in); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "firing "+alert.AskedQuestion+" shop" {
		t.Errorf("the webhook hears %q", got)
	}
	list, err := w.Notifications(t.Context(), admin, "shop", 10)
	if err != nil || len(list) != 1 || list[0].State != alert.Sent {
		t.Errorf("notifications %+v, %v, want one", list, err)
	}
	if err := w.Ask(t.Context(), identity.Actor{}, in); !fault.Is(err, fault.Unauthentic) {
		t.Errorf("nobody may ask: %v", err)
	}
}

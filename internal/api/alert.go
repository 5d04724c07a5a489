package api

import (
	"context"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/monitor/alert"
)

// OwnProject names a project; empty stands for the platform.
type OwnProject struct {
	Project string `query:"project" doc:"empty: the platform's, for administrators" maxLength:"63"`
}

// InAlert names an alert.
type InAlert struct {
	ID string `path:"id" maxLength:"26"`
}

// InRule names an alert rule.
type InRule struct {
	ID string `path:"id" maxLength:"100"`
}

// Note is a sentence of somebody.
type Note struct {
	Note string `json:"note,omitempty" maxLength:"2000"`
}

func (a *server) alertRoutes() {
	a.alertFacts()
	a.alertRules()
	a.alertDelivery()
}

func (a *server) alertFacts() {
	op(a, http.MethodGet, "/monitor/alerts", "alert-list", "Alerts, newest first", func(ctx context.Context, in *struct {
		OwnProject
		Environment string `query:"environment" maxLength:"63"`
		Release     string `query:"release" maxLength:"150" doc:"shop/production/48"`
		Rule        string `query:"rule" maxLength:"100"`
		State       string `query:"state" enum:"firing,resolved"`
		Severity    string `query:"severity" enum:"critical,error,warning,info"`
		Before      string `query:"before" maxLength:"26" doc:"older ones than this id"`
		Limit       int    `query:"limit" minimum:"0" maximum:"1000"`
	}) (*Body[[]alert.Alert], error) {
		return body(list(a.Alerts.Alerts(ctx, actor(ctx), alert.Filter{
			Project: in.Project, Environment: in.Environment, Release: in.Release, Rule: in.Rule, State: in.State, Severity: in.Severity,
			Before: in.Before, Limit: in.Limit,
		})))
	})
	op(a, http.MethodGet, "/monitor/alerts/{id}", "alert-show", "An alert with its evaluations, history and notifications", func(ctx context.Context, in *InAlert) (*Body[alert.Detail], error) {
		return body(a.Alerts.Alert(ctx, actor(ctx), in.ID))
	})
	op(a, http.MethodPost, "/monitor/alerts/{id}/acknowledge", "alert-acknowledge", "Say that you look after an alert", func(ctx context.Context, in *struct {
		InAlert
		Body Note
	}) (*struct{}, error) {
		return nil, a.Alerts.Acknowledge(ctx, actor(ctx), in.ID, in.Body.Note)
	})
	op(a, http.MethodPost, "/monitor/alerts/{id}/close", "alert-close", "Resolve an alert by hand", func(ctx context.Context, in *struct {
		InAlert
		Body Note
	}) (*struct{}, error) {
		return nil, a.Alerts.Close(ctx, actor(ctx), in.ID, in.Body.Note)
	})
	op(a, http.MethodGet, "/monitor/notifications", "alert-notifications", "What was sent to receivers, newest first", func(ctx context.Context, in *struct {
		OwnProject
		Limit int `query:"limit" minimum:"0" maximum:"1000"`
	}) (*Body[[]alert.Notification], error) {
		return body(list(a.Alerts.Notifications(ctx, actor(ctx), in.Project, in.Limit)))
	})
}

func (a *server) alertRules() {
	op(a, http.MethodGet, "/monitor/rules", "alert-rules", "Alert rules with their states, those of the platform too", func(ctx context.Context, in *OwnProject) (*Body[[]alert.RuleState], error) {
		return body(list(a.Alerts.Rules(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodPost, "/monitor/rules", "alert-put-rule", "Make an alert rule, or change the one of its id", func(ctx context.Context, in *struct{ Body alert.Rule }) (*Body[alert.Rule], error) {
		return body(a.Alerts.PutRule(ctx, actor(ctx), in.Body))
	})
	op(a, http.MethodPost, "/monitor/rules/draft", "alert-draft-rule", "Make a rule of a query; nothing is stored", func(ctx context.Context, in *struct {
		OwnProject
		Body struct {
			Query string `json:"query" maxLength:"65536"`
		}
	}) (*Body[alert.Rule], error) {
		return body(a.Alerts.Draft(ctx, actor(ctx), in.Project, in.Body.Query))
	})
	op(a, http.MethodGet, "/monitor/rules/{id}/evaluations", "alert-evaluations", "The evaluations of a rule, newest first", func(ctx context.Context, in *struct {
		InRule
		Limit int `query:"limit" minimum:"0" maximum:"1000"`
	}) (*Body[[]alert.Evaluation], error) {
		return body(list(a.Alerts.Evaluations(ctx, actor(ctx), in.ID, in.Limit)))
	})
	op(a, http.MethodPost, "/monitor/rules/{id}/mute", "alert-mute-rule", "Keep a rule from firing until a moment; none ends it", func(ctx context.Context, in *struct {
		InRule
		Body struct {
			Until time.Time `json:"until,omitzero"`
		}
	}) (*struct{}, error) {
		return nil, a.Alerts.MuteRule(ctx, actor(ctx), in.ID, in.Body.Until)
	})
	op(a, http.MethodDelete, "/monitor/rules/{id}", "alert-remove-rule", "Remove an alert rule; its open alerts resolve", func(ctx context.Context, in *InRule) (*struct{}, error) {
		return nil, a.Alerts.DeleteRule(ctx, actor(ctx), in.ID)
	})
}

func (a *server) alertDelivery() {
	op(a, http.MethodGet, "/monitor/silences", "alert-silences", "Silences, expired ones too", func(ctx context.Context, in *OwnProject) (*Body[[]alert.Silence], error) {
		return body(list(a.Alerts.Silences(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodPost, "/monitor/silences", "alert-silence", "Keep notifications back for a while", func(ctx context.Context, in *struct{ Body alert.Silence }) (*Body[alert.Silence], error) {
		return body(a.Alerts.Silence(ctx, actor(ctx), in.Body))
	})
	op(a, http.MethodDelete, "/monitor/silences/{id}", "alert-expire-silence", "End a silence now", func(ctx context.Context, in *struct {
		ID string `path:"id" maxLength:"64"`
	}) (*struct{}, error) {
		return nil, a.Alerts.Expire(ctx, actor(ctx), in.ID)
	})
	op(a, http.MethodGet, "/monitor/receivers", "alert-receivers", "Where notifications go, without secrets", func(ctx context.Context, in *OwnProject) (*Body[[]alert.ReceiverState], error) {
		return body(list(a.Alerts.Receivers(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodPost, "/monitor/receivers", "alert-put-receiver", "Make a receiver, or change the one of its name", func(ctx context.Context, in *struct{ Body alert.Receiver }) (*Body[alert.Receiver], error) {
		return body(a.Alerts.PutReceiver(ctx, actor(ctx), in.Body))
	})
	type named struct {
		OwnProject
		Name string `path:"name" maxLength:"100"`
	}
	op(a, http.MethodDelete, "/monitor/receivers/{name}", "alert-remove-receiver", "Remove a receiver that no route names", func(ctx context.Context, in *named) (*struct{}, error) {
		return nil, a.Alerts.DeleteReceiver(ctx, actor(ctx), in.Project, in.Name)
	})
	op(a, http.MethodPost, "/monitor/receivers/{name}/test", "alert-test-receiver", "Send an invented alert to a receiver", func(ctx context.Context, in *named) (*Body[alert.Notification], error) {
		return body(a.Alerts.Test(ctx, actor(ctx), in.Project, in.Name))
	})
	op(a, http.MethodGet, "/monitor/routes", "alert-routes", "Which alerts go where", func(ctx context.Context, in *OwnProject) (*Body[alert.Routes], error) {
		return body(a.Alerts.Routes(ctx, actor(ctx), in.Project))
	})
	op(a, http.MethodPost, "/monitor/routes", "alert-put-routes", "Replace the routes of a project", func(ctx context.Context, in *struct{ Body alert.Routes }) (*Body[alert.Routes], error) {
		return body(a.Alerts.PutRoutes(ctx, actor(ctx), in.Body))
	})
}

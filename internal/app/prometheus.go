package app

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/metric"
)

// everything stands where a project's name would: every series, for administrators.
const everything = "-"

// prometheusHandler serves Prometheus' HTTP API, remote write and remote read of a project
// below /prometheus/PROJECT, which is the URL of a data source of Grafana; with - as the
// project every series of the installation.
func (a *App) prometheusHandler() http.Handler {
	read := func(r *http.Request) (metric.Scope, error) {
		actor, project, err := a.prometheusActor(r)
		if err != nil {
			return metric.Scope{}, err
		}
		if project == everything {
			return metric.Scope{All: true}, a.Identity.RequireAdmin(r.Context(), actor)
		}
		return metric.Scope{Project: project}, a.Identity.Require(r.Context(), actor, project, identity.Read)
	}
	write := func(r *http.Request) (metric.Origin, error) {
		actor, project, err := a.prometheusActor(r)
		if err != nil {
			return metric.Origin{}, err
		}
		if project == everything {
			return metric.Origin{}, a.Identity.RequireAdmin(r.Context(), actor)
		}
		return metric.Origin{Project: project}, a.Identity.Require(r.Context(), actor, project, identity.Write)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /prometheus/{project}/api/v1/write", a.telemetry.metrics.WriteAPI(write))
	mux.Handle("POST /prometheus/{project}/api/v1/read", a.telemetry.metrics.ReadAPI(read))
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		mux.HandleFunc(method+" /prometheus/{project}/api/v1/alerts", a.promAlerts)
		mux.HandleFunc(method+" /prometheus/{project}/api/v1/rules", a.promRules)
	}
	api := a.telemetry.metrics.API(read, nil)
	mux.HandleFunc("/prometheus/{project}/", func(w http.ResponseWriter, r *http.Request) {
		// The inner routing forgets the values of this path, so the project goes along beside it.
		inner := r.Clone(context.WithValue(r.Context(), projectKey{}, r.PathValue("project")))
		inner.URL.Path = strings.TrimPrefix(r.URL.Path, "/prometheus/"+r.PathValue("project"))
		api.ServeHTTP(w, inner)
	})
	return mux
}

// projectKey is where the project of a request stands that goes on to an inner handler.
type projectKey struct{}

// prometheusActor says who asks, and for which project.
func (a *App) prometheusActor(r *http.Request) (identity.Actor, string, error) {
	actor, err := a.who(r)
	if err != nil {
		return actor, "", err
	}
	if r.Method != http.MethodGet && r.Header.Get("Authorization") == "" {
		// A session's cookie comes along by itself, also from other sites.
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
			return actor, "", fault.New(fault.Denied, "This request came from another site.")
		}
	}
	project, inner := r.Context().Value(projectKey{}).(string)
	if !inner {
		project = r.PathValue("project")
	}
	return actor, project, nil
}

func (a *App) promAlerts(w http.ResponseWriter, r *http.Request) {
	actor, project, err := a.prometheusActor(r)
	var data any
	if err == nil {
		data, err = a.Alerts.PromAlerts(r.Context(), actor, strings.TrimPrefix(project, everything), project == everything)
	}
	a.promAnswer(w, data, err)
}

func (a *App) promRules(w http.ResponseWriter, r *http.Request) {
	actor, project, err := a.prometheusActor(r)
	var data any
	if err == nil {
		data, err = a.Alerts.PromRules(r.Context(), actor, strings.TrimPrefix(project, everything), project == everything)
	}
	a.promAnswer(w, data, err)
}

// promAnswer answers in Prometheus' envelope.
func (a *App) promAnswer(w http.ResponseWriter, data any, err error) {
	status, out := http.StatusOK, map[string]any{"status": "success", "data": data}
	if err != nil {
		if fault.KindOf(err) == fault.Internal {
			a.logger.Error("answering Prometheus' API", "error", err)
		}
		message, _ := fault.Public(err)
		status, out = fault.KindOf(err).Status(), map[string]any{"status": "error", "errorType": string(fault.KindOf(err)), "error": message}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // The client is gone when this fails.
}

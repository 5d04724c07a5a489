package app

import (
	"context"
	"crypto/tls"
	"net/http"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/api/azure"
	"towpath.dev/towpath/internal/monitor/tail"
	"towpath.dev/towpath/internal/registry/oci"
	"towpath.dev/towpath/internal/source"
)

// handler joins the edges on one listener. Git's addresses lie at the root, so they are
// told by their form; everything else by its prefix.
func (a *App) handler() http.Handler {
	git := a.Source.Handler(a.who)
	images := oci.NewHandler(a.Registry, a.Identity, a.vault, a.clock, a.logger)
	agents := a.Pipeline.AgentHandler()
	rows, series := a.telemetryHandler(), a.prometheusHandler()
	rest := api.New(a.services(), a.who, a.cfg.Version, a.logger)
	service := azure.New(a.Pipeline, a.who, a.URL, a.logger)
	known := a.Identity.WellKnown()
	pages := a.pages()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		switch {
		case path == "/v2" || strings.HasPrefix(path, "/v2/"):
			images.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/api/"):
			rest.ServeHTTP(w, r)
		case strings.Contains(path, "/_apis/"):
			service.ServeHTTP(w, r)
		case path == tail.Path, strings.HasPrefix(path, "/otlp/"):
			rows.ServeHTTP(w, r)
		case path == "/metrics":
			a.ownMetrics(w, r)
		case strings.HasPrefix(path, "/prometheus/"):
			series.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/agent/"):
			agents.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/.well-known/"):
			known.ServeHTTP(w, r)
		case path == "/healthz":
			w.WriteHeader(http.StatusNoContent)
		case source.Handles(r):
			git.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r)
		}
	})
}

func (a *App) services() api.Services {
	ssh := ""
	if a.ssh != nil {
		ssh = "ssh://git@" + a.sshAddress()
	}
	return api.Services{
		Rulesets: a.Rulesets, Protect: a.Protect, Pulls: a.Pulls, Policy: a.Policy, Audit: a.Audit, Sync: a.Sync, Judge: a.judge, SSH: ssh,
		Monitor: a.Monitor, Alerts: a.Alerts, Insight: a.Insight, Dev: a.Dev, Insights: a.Insights, Dora: a.Dora, Work: a.Work,
		Identity: a.Identity, Source: a.Source, Pipeline: a.Pipeline, Registry: a.Registry, Supply: a.Supply, Deploy: a.Deploy,
		Evidence: a.Evidence, Exporter: a.Exporter, Cluster: a.Cluster, Log: a.Log, PublicURL: a.URL, Version: a.cfg.Version, Started: a.started,
	}
}

// authority is the file with the certificate of the listener for the cluster.
func (a *App) authority() string { return filepath.Join(a.cfg.Data, "issuer-ca.pem") }

// openIssuer puts TLS on the listener that the cluster's API server asks.
func (a *App) openIssuer(ctx context.Context) error {
	if a.issuer == nil {
		return nil
	}
	cfg, err := issuerTLS(ctx, a.vault, a.db, a.authority(), a.clock.Now())
	if err != nil {
		return err
	}
	a.issuer = tls.NewListener(a.issuer, cfg)
	return nil
}

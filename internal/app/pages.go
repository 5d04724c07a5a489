package app

import (
	"net/http"

	"towpath.dev/towpath/internal/web"
)

// pages is the UI.
func (a *App) pages() http.Handler {
	d := web.Deps{
		Identity: a.Identity, Source: a.Source, Pulls: a.Pulls, Rulesets: a.Rulesets, Protection: a.Protect, Policy: a.Policy, Compliance: a.Audit,
		Pipeline: a.Pipeline, Definitions: a.Pipeline, Pools: a.Pipeline.Pools(), Retention: a.Pipeline, Tests: a.Pipeline, Checks: a.Pipeline.Checks(), Registry: a.Registry, Supply: a.Supply, Deploy: a.Deploy, Evidence: a.Evidence, Cluster: a.Cluster, Log: a.Log,
		Monitor: a.Monitor, Alerts: a.Alerts, Insight: a.Insight, Work: a.Work, Signals: a.Insights, Dev: a.Dev, Dora: a.Dora, Clock: a.clock, Logger: a.logger,
	}
	if a.Sync != nil {
		d.Enforcement = a.Sync
	}
	if l := a.Pipeline.Library(); l != nil {
		d.Library = l
	}
	o := web.Options{PublicURL: a.URL, Version: a.cfg.Version}
	if a.ssh != nil {
		o.SSHURL = "ssh://git@" + a.sshAddress()
	}
	return web.New(d, o)
}

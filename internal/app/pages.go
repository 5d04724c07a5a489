package app

import (
	"net/http"

	"towpath.dev/towpath/internal/web"
)

// pages is the UI.
func (a *App) pages() http.Handler {
	return web.New(web.Deps{
		Identity: a.Identity, Source: a.Source, Pipeline: a.Pipeline, Registry: a.Registry, Supply: a.Supply, Deploy: a.Deploy,
		Evidence: a.Evidence, Cluster: a.Cluster, Log: a.Log, Clock: a.clock, Logger: a.logger,
	}, web.Options{PublicURL: a.URL, Version: a.cfg.Version})
}

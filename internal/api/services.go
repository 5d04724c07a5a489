package api

import (
	"time"

	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/source"
)

// Services is what the API offers to the outside.
type Services struct {
	Identity *identity.Service
	Source   *source.Service
	Pipeline *pipeline.Service
	Registry *registry.Service
	Supply   *supply.Service
	Deploy   *deploy.Service
	Evidence *evidence.Service
	Cluster  cluster.Cluster
	Log      *event.Log

	PublicURL string
	Version   string
	Started   time.Time
}

package api

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/protect"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/work"
	"towpath.dev/towpath/internal/work/dora"
	signals "towpath.dev/towpath/internal/work/insight"
)

// Judge renders what pull requests would apply.
type Judge interface {
	// Manifests returns a stream of YAML documents; environment "" means all that the
	// pipeline deploys to.
	Manifests(ctx context.Context, a identity.Actor, repo string, n int64, environment string) (string, error)
}

// Services is what the API offers to the outside.
type Services struct {
	Identity *identity.Service
	Source   *source.Service
	Pipeline *pipeline.Service
	Registry *registry.Service
	Supply   *supply.Service
	Deploy   *deploy.Service
	Evidence *evidence.Service
	Exporter *evidence.Exporter
	Cluster  cluster.Cluster
	Rulesets *ruleset.Service
	Protect  *protect.Service
	Pulls    *pull.Service
	Policy   *policy.Service
	Audit    *audit.Service
	Sync     *enforce.Sync // nil without a cluster
	Judge    Judge
	Monitor  *monitor.Service
	Alerts   *alert.Service
	Insight  *insight.Service
	Dev      *dev.Service
	Work     *work.Service
	Insights *signals.Service
	Dora     *dora.Service
	Log      *event.Log

	PublicURL string
	SSH       string // "ssh://git@localhost:7022", "" when there is none
	Version   string
	Started   time.Time
}

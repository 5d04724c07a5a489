package alert

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert/promrule"
	"towpath.dev/towpath/internal/monitor/alert/route"
	"towpath.dev/towpath/internal/monitor/alert/schedule"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/vault"
)

// Authoriser answers what an actor may do: identity.Service.
type Authoriser interface {
	// Require returns nil when the actor holds the role in the project, else
	// fault.NotFound, fault.Denied or fault.Unauthentic.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// RequireAdmin returns nil for an administrator of the installation, else
	// fault.Denied or fault.Unauthentic.
	RequireAdmin(ctx context.Context, a identity.Actor) error
}

// Queries answers texts of the Kusto query language: query.Runner.
type Queries interface {
	// Run answers as of now. Whose rows are seen is decided by the Ask.
	Run(ctx context.Context, ask query.Ask) (*query.Result, error)
}

// Series is the storage that metric rules read and write, with the series of everybody:
// metric.Store.Storage().
type Series interface {
	storage.Queryable
	storage.Appendable
}

// Releases tells what runs where.
type Releases interface {
	// Current returns the release ("shop/production/48") that an environment has now, ""
	// when it has none.
	Current(ctx context.Context, project, environment string) (release string, err error)
}

// Items opens work items for alerts.
type Items interface {
	// Open opens an item, or finds the one that it opened for the same group before, and
	// returns its id. When all alerts of the request are resolved it says so there.
	Open(ctx context.Context, n ItemRequest) (id string, err error)
}

// ItemRequest is what a work item is to be about.
type ItemRequest struct {
	Project string
	Group   string // stable name of the group of alerts: the same group is the same item
	Title   string
	Text    string
	Alerts  []Alert
	// Resolved says that all of them are.
	Resolved bool
}

// Parts are what a Service needs. Places, Releases and Items may be nil: then alerts name
// no pod by its uid, no release but that of their pod, and work item receivers only record.
type Parts struct {
	DB       *store.DB
	Log      *event.Log
	Auth     Authoriser
	Clock    clock.Clock
	Vault    *vault.Vault
	Series   Series
	PromQL   promql.QueryEngine
	Queries  Queries
	Places   place.Places
	Releases Releases
	Items    Items
	Logger   *slog.Logger
}

// Options say what is particular to an installation. The zero value of each takes its default.
type Options struct {
	// Every is how often recommended rules are evaluated; a minute.
	Every time.Duration
	// Settle is how long after a start nothing that fired before is resolved: the first
	// scrapes must come in. A minute; negative for not at all.
	Settle time.Duration
	// Keep is how long evaluations, notifications and resolved alerts are kept; 30 days.
	Keep time.Duration
	// URL is where people find the platform, for links in notifications.
	URL string
	// Allow are hosts ("hooks.example.com", "127.0.0.1", with ":port" or without) and networks
	// ("10.0.0.0/8") to which notifications may go although they are not public addresses.
	Allow []string
	// ProjectHooks lets administrators of projects name any public address. Without it a
	// receiver of a project goes to hosts of Allow only.
	ProjectHooks bool
	// Jobs are the values of the label `job` that only the platform's own series have: what
	// recommended rules look at. None lets them look at every series, also at those that
	// somebody else gave the same names.
	Jobs []string
}

// New returns a Service. Seed and Run make it work.
func New(p Parts, o Options) (*Service, error) {
	guard, err := route.NewGuard(o.Allow)
	if err != nil {
		return nil, err
	}
	return &Service{
		Parts: p, opts: o.withDefaults(), guard: guard, engine: promrule.New(p.Series, p.PromQL, p.Logger), schedule: schedule.New(),
		wake: make(chan struct{}, 1), rules: map[string]Rule{}, statuses: map[string]status{},
	}, nil
}

// Service is alerting. It is safe for concurrent use.
type Service struct {
	Parts
	opts     Options
	guard    *route.Guard
	engine   *promrule.Engine
	schedule *schedule.Schedule
	wake     chan struct{}
	kept     string // of the notification log; Run's own

	loading   sync.Mutex // One change of what is at work at a time.
	configure sync.Mutex // One change of receivers and routes at a time.

	mu       sync.Mutex // Guards what follows.
	started  time.Time
	router   *route.Router // nil while Run does not run
	rules    map[string]Rule
	statuses map[string]status
}

func (o Options) withDefaults() Options {
	if o.Every <= 0 {
		o.Every = time.Minute
	}
	if o.Settle == 0 {
		o.Settle = time.Minute
	}
	if o.Keep <= 0 {
		o.Keep = 30 * 24 * time.Hour
	}
	return o
}

package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/build"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/registry/supply/front"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/protect"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/source/ssh"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/vault"
	"towpath.dev/towpath/internal/work"
	"towpath.dev/towpath/internal/work/dora"
	signals "towpath.dev/towpath/internal/work/insight"
)

// App is a server with everything wired, made by New.
type App struct {
	// URL is the address that people use; Addr the one that is listened on.
	URL  string
	Addr net.Addr

	// The domains' services, for the edges and for tests.
	Identity *identity.Service
	Source   *source.Service
	Pipeline *pipeline.Service
	Registry *registry.Service
	Supply   *supply.Service
	Deploy   *deploy.Service
	Evidence *evidence.Service
	Exporter *evidence.Exporter
	Cluster  cluster.Cluster
	Log      *event.Log
	Rulesets *ruleset.Service
	Protect  *protect.Service
	Pulls    *pull.Service
	Policy   *policy.Service
	Audit    *audit.Service
	Sync     *enforce.Sync
	Monitor  *monitor.Service
	Alerts   *alert.Service
	Insight  *insight.Service
	Work     *work.Service
	Dev      *dev.Service
	Insights *signals.Service
	Dora     *dora.Service

	cfg       Config
	clock     clock.Clock
	logger    *slog.Logger
	started   time.Time
	db        *store.DB
	vault     *vault.Vault
	queue     *job.Queue
	builder   *build.Builder
	main      net.Listener
	issuer    net.Listener
	ssh       net.Listener // nil when Git over SSH is not served
	facts     *facts
	voices    *voices
	judge     *judge
	unjudged  bool // the stored policies did not compile at the start
	telemetry *telemetry
	guard     *guard         // the policy webhook and what it needs; nil without a cluster
	close     []func() error // what Close gives back, last first
}

// New opens the data folder, binds the listeners and wires the parts. Nothing runs
// until Run. What New took is given back by Close, also when New fails.
func New(ctx context.Context, cfg Config, log *slog.Logger) (a *App, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a = &App{cfg: cfg, clock: clock.System(), logger: log, voices: newVoices()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
			a = nil
		}
	}()
	for _, step := range []func(context.Context) error{
		a.openFolder, a.bind, a.openKernel, a.openIssuer, a.openIdentity, a.openWork, a.openSource, a.openRegistry, a.openCluster, a.openDeploy, a.openPipeline,
		a.openSupply, a.openEvidence, a.openPolicy, a.openTelemetry, a.openDev, a.openInsights, a.admin, a.recover,
	} {
		if err := step(ctx); err != nil {
			return a, err
		}
	}
	a.started = a.clock.Now()
	return a, nil
}

func (a *App) openFolder(context.Context) error {
	if err := os.MkdirAll(a.cfg.Data, 0o711); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	// The unprivileged user of the agent passes through to its workspace; it can list
	// nothing here, and every file that it must not read has a mode of its own.
	if err := os.Chmod(a.cfg.Data, 0o711); err != nil {
		return fmt.Errorf("opening the data folder to the agent: %w", err)
	}
	f, err := lock(a.cfg.Data)
	if err != nil {
		return err
	}
	a.close = append(a.close, f.Close)
	return nil
}

func (a *App) bind(context.Context) error {
	var err error
	if a.main, err = listen("listen", a.cfg.Listen); err != nil {
		return err
	}
	a.close = append(a.close, closed(a.main))
	a.Addr, a.URL = a.main.Addr(), a.cfg.PublicURL
	if a.URL == "" {
		a.URL = publicOf(a.Addr)
	}
	if a.cfg.SSHListen != "" {
		if a.ssh, err = listen("ssh-listen", a.cfg.SSHListen); err != nil {
			return err
		}
		a.close = append(a.close, closed(a.ssh))
	}
	if a.cfg.Cluster != cluster.KindEmbedded {
		return nil
	}
	if a.issuer, err = listen("issuer-listen", a.cfg.IssuerListen); err != nil {
		return err
	}
	a.close = append(a.close, closed(a.issuer))
	return nil
}

// closed closes a listener that may be closed already.
func closed(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

func (a *App) openKernel(ctx context.Context) error {
	var err error
	if a.vault, err = vault.Open(a.cfg.Data); err != nil {
		return err
	}
	if a.db, err = openStore(ctx, a.cfg); err != nil {
		return err
	}
	a.close = append(a.close, a.db.Close)
	a.Log = event.New(a.db, a.clock)
	a.queue = job.New(a.db, a.clock)
	return nil
}

func (a *App) openIdentity(context.Context) error {
	var err error
	a.Identity, err = identity.New(a.db, a.Log, a.vault, a.clock, identity.Options{PublicURL: a.URL})
	return err
}

func (a *App) openSource(ctx context.Context) error {
	var err error
	a.Source, err = source.New(a.db, a.Log, a.Identity, a.clock, source.Options{
		Data: a.cfg.Data, HookProgram: filepath.Join(a.cfg.Programs, "towpath-hook"), PublicURL: a.URL, Logger: a.logger,
	})
	if err != nil {
		return err
	}
	a.close = append(a.close, a.Source.Close)
	a.Rulesets = ruleset.New(ruleset.Parts{DB: a.db, Log: a.Log, Auth: a.Identity, Repos: a.Source, Clock: a.clock, PublicURL: a.URL})
	a.Protect, err = protect.New(ctx, protect.Parts{DB: a.db, Log: a.Log, Vault: a.vault, Git: a.Source.Git(), Auth: a.Identity, Clock: a.clock},
		protect.Options{PublicURL: a.URL, Logger: a.logger})
	if err != nil {
		return err
	}
	a.Source.UseGuards(a.Rulesets, a.Protect)
	a.Pulls = pull.New(a.db, a.Log, a.clock, pull.Needs{Auth: a.Identity, Repos: a.Source, Rules: a.Rulesets, Items: a.Work},
		pull.Options{Host: hostOf(a.URL), Logger: a.logger})
	return nil
}

// sshAddress is what clients connect to.
func (a *App) sshAddress() string { return hostOf(publicOf(a.ssh.Addr())) }

// serveSSH serves Git over SSH until ctx ends.
func (a *App) serveSSH(ctx context.Context) error {
	key, err := ssh.HostKey(a.cfg.Data)
	if err != nil {
		return err
	}
	return ssh.New(ssh.Parts{Git: a.Source, Keys: a.Identity, HostKey: key, Address: a.sshAddress(), Logger: a.logger}).Serve(ctx, a.ssh)
}

// blobs opens a place for bytes of one owner: the registry's collector assumes that
// nobody else keeps anything in its place.
func (a *App) blobs(ctx context.Context, owner string) (*blob.Store, error) {
	c := a.cfg.Blobs
	c.Root = filepath.Join(c.Root, owner)
	return blob.Open(ctx, c)
}

func (a *App) openRegistry(ctx context.Context) error {
	store, err := a.blobs(ctx, "registry")
	if err != nil {
		return err
	}
	a.Registry = registry.New(a.db, a.Log, store, a.Identity, a.clock, registry.Options{Log: a.logger})
	exe := filepath.Join(a.cfg.Programs, "towpath")
	a.builder = build.New(build.Config{
		Programs: build.FindPrograms(os.Getenv, exe), Root: filepath.Join(a.cfg.Data, "buildkit"), Socket: filepath.Join(a.cfg.Data, "run", "buildkit.sock"),
		LogFile: filepath.Join(a.cfg.Data, "logs", "buildkitd.log"), Host: hostOf(a.URL), Insecure: a.URL[:5] == "http:",
	}, a.Registry, a.clock, a.logger)
	return os.MkdirAll(filepath.Join(a.cfg.Data, "logs"), 0o700)
}

func (a *App) openCluster(ctx context.Context) error {
	switch a.cfg.Cluster {
	case cluster.KindNone:
		a.Cluster = cluster.None{}
		return nil
	case cluster.KindAdopted:
		adopted, err := cluster.Adopt(a.cfg.Kubeconfig, a.clock)
		a.Cluster = adopted
		return err
	}
	node, err := a.Identity.NodeToken(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(a.cfg.Data, "kube")
	set := a.cfg.Kube
	set.RegistryMirrors = append(set.RegistryMirrors, cluster.Mirror{
		Host: hostOf(a.URL), URL: "http://" + loopback(a.Addr), Authorization: "Bearer " + node,
	})
	set.OIDC = &cluster.OIDC{
		Issuer: identity.DefaultIssuer, DiscoveryURL: "https://" + a.issuer.Addr().String() + "/.well-known/openid-configuration",
		CAFile: a.authority(), Audience: cluster.Audience,
	}
	a.Cluster = cluster.NewEmbedded(cluster.Config{
		Program: filepath.Join(a.cfg.Programs, "towpath-kube"), Data: dir, Log: filepath.Join(a.cfg.Data, "logs", "cluster.log"), Settings: set,
	}, a.Identity, a.clock, a.logger)
	return nil
}

func (a *App) openDeploy(context.Context) error {
	a.Deploy = deploy.New(deploy.Deps{
		DB: a.db, Log: a.Log, Auth: a.Identity, Clusters: a.Cluster, Images: tags{a.Registry}, Clock: a.clock, Logger: a.logger,
		Agent: a.newAgentImage(), Pulls: reviewed{a.Pulls},
	}, deploy.Options{Registry: hostOf(a.URL), FrontDoor: a.Cluster.Status().FrontDoor})
	return nil
}

func (a *App) openSupply(ctx context.Context) error {
	var err error
	a.Supply, err = supply.New(ctx, supply.Parts{
		DB: a.db, Log: a.Log, Clock: a.clock, Queue: a.queue, Keys: a.vault, Auth: a.Identity,
		Images: front.New(a.Registry), Runs: runs{a.Pipeline, a.URL},
	}, supply.Options{Builder: a.URL, Temp: filepath.Join(a.cfg.Data, "run")})
	return err
}

// recover settles what a crash of the last server left halfway.
func (a *App) recover(ctx context.Context) error {
	return errors.Join(a.Source.Recover(ctx), a.Deploy.Recover(ctx))
}

// Run serves until ctx ends or a part fails, then stops the parts in reverse order.
func (a *App) Run(ctx context.Context) error {
	parts := []part{
		{"http", func(ctx context.Context) error { return serve(ctx, a.main, a.handler()) }},
		{"evidence", a.Evidence.Run},
		{"supply", func(ctx context.Context) error { return a.Supply.Run(ctx, a.logger) }},
		{"builder", a.builder.Run},
		{"collector", func(ctx context.Context) error { return a.Registry.CollectForever(ctx, time.Hour) }},
		{"cluster", a.Cluster.Run},
		{"pods", a.Deploy.Run},
		{"sessions", a.Dev.Run},
		{"packs", a.maintain},
		{"facts", a.facts.run},
		{"policy", a.Policy.Run},
		{"pipeline", a.Pipeline.Run},
		{"pull requests", a.Pulls.Run},
		{"checks", a.runPulls},
		{"work", a.Work.Run},
		{"agents", a.runAgents},
	}
	if a.ssh != nil {
		parts = append(parts, part{"ssh", a.serveSSH})
	}
	parts = append(parts, a.guardParts()...)
	parts = append(parts, a.telemetryParts()...)
	parts = append(parts, a.insightParts()...)
	if a.cfg.Cluster == cluster.KindEmbedded || a.cfg.Cluster == cluster.KindAdopted && a.cfg.PodsListen != "" {
		parts = append(parts, part{"agents in pods", a.servePods})
	}
	if a.issuer != nil {
		parts = append([]part{{"issuer", func(ctx context.Context) error { return serve(ctx, a.issuer, a.clusterHandler()) }}}, parts...)
	}
	return runAll(ctx, parts)
}

// maintain packs the repositories now and then: every push keeps a pack of its own.
func (a *App) maintain(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Hour):
		}
		if err := a.Source.Maintain(ctx); err != nil && ctx.Err() == nil {
			a.logger.Error("maintaining repositories", "error", err)
		}
	}
}

// Close gives back what New took. It may be called more than once.
func (a *App) Close() error {
	var errs []error
	for i := len(a.close) - 1; i >= 0; i-- {
		errs = append(errs, a.close[i]())
	}
	a.close = nil
	return errors.Join(errs...)
}

package app

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/catalog"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
)

// guard is what enforces policy on a cluster and watches what lives there.
type guard struct {
	webhook     *enforce.Webhook // nil when the API server cannot reach us
	path        string           // of the webhook, a secret
	appliers    *enforce.Appliers
	namespaces  *enforce.Namespaces
	attribution *enforce.Attribution
}

func (a *App) openPolicy(ctx context.Context) error {
	built, err := catalog.Open()
	if err != nil {
		return err
	}
	a.Policy, err = policy.New(policy.Parts{
		DB: a.db, Log: a.Log, Auth: a.Identity, Clock: a.clock, Places: places{a.Deploy, a.cfg.Cluster}, Catalogue: built, Logger: a.logger,
	}, policy.Options{Registries: []string{hostOf(a.URL)}})
	if err != nil {
		return err
	}
	if err := a.Policy.Seed(ctx); err != nil {
		// Nothing is judged then, so nothing is allowed that would be; but the API must be
		// there to mend it with. What stands in the API server stays as it is.
		a.logger.Error("the stored policies do not compile: nothing is judged until they are mended", "error", err)
		a.unjudged = true
	}
	a.judge = &judge{
		pulls: a.Pulls, source: a.Source, pipeline: a.Pipeline, deploy: a.Deploy, policy: a.Policy, cluster: a.cfg.Cluster,
		version: func() string { return a.Cluster.Status().Version }, advise: advisories{a.Supply},
	}
	appliers := enforce.NewAppliers(a.db, a.Cluster, a.cfg.Cluster, releases{a.Deploy}, a.logger)
	namespaces := enforce.NewNamespaces(a.Cluster, a.logger)
	a.Audit = audit.New(audit.Deps{
		DB: a.db, Log: a.Log, Cluster: a.Cluster, Policies: a.Policy, Recorder: a.Policy, Appliers: appliers, Namespaces: namespaces, OnRefusal: a.refused,
		Auth: a.Identity, Clock: a.clock, Logger: a.logger,
	}, audit.Options{Cluster: a.cfg.Cluster})
	a.facts = newFacts(a.Registry, a.Supply, a.Pipeline, learned{a.Policy, a.Audit}, a.Log, a.logger)
	a.Deploy.Gate = gate{policy: a.Policy, facts: a.facts, cluster: a.cfg.Cluster}
	if a.cfg.Cluster == cluster.KindNone {
		return nil
	}
	return a.openGuard(ctx, appliers, namespaces)
}

func (a *App) openGuard(ctx context.Context, appliers *enforce.Appliers, namespaces *enforce.Namespaces) error {
	a.guard = &guard{appliers: appliers, namespaces: namespaces}
	var at enforce.Endpoint
	secret, log := randomWord(32), ""
	if a.issuer != nil {
		pem, err := os.ReadFile(a.authority())
		if err != nil {
			return fmt.Errorf("reading the webhook's certificate: %w", err)
		}
		a.guard.path = enforce.Path(secret)
		at = enforce.Endpoint{URL: "https://" + a.issuer.Addr().String() + a.guard.path, CA: pem}
		log = filepath.Join(a.cfg.Data, "kube", "audit", "audit.log")
	}
	owner := ""
	if a.cfg.Cluster == cluster.KindAdopted {
		// Others may enforce their policies on that cluster as well.
		id, err := a.Deploy.Installation(ctx)
		if err != nil {
			return err
		}
		owner = strings.ToLower(id)
	}
	a.Sync = enforce.NewSync(enforce.SyncDeps{Cluster: a.Cluster, Policies: a.Policy, Clock: a.clock, Logger: a.logger, Owner: owner}, a.cfg.Cluster, at)
	if at.URL != "" {
		a.guard.webhook = enforce.NewWebhook(enforce.WebhookDeps{
			Policies: a.Policy, First: a.Sync, Decider: asked{a.Policy, a.facts}, Recorder: a.Policy, Appliers: appliers, Namespaces: namespaces,
			OnRefusal: a.refused, Clock: a.clock, Logger: a.logger,
		}, a.cfg.Cluster, secret)
	}
	a.guard.attribution = enforce.NewAttribution(enforce.AttributionDeps{
		DB: a.db, Cluster: a.Cluster, Policies: a.Policy, Recorder: a.Policy, Appliers: appliers, OnRefusal: a.refused, Logger: a.logger,
	}, a.cfg.Cluster, log)
	return nil
}

// guardParts are the parts of the run group that need a cluster.
func (a *App) guardParts() []part {
	parts := []part{{"places", a.followPlaces}}
	if a.guard == nil || a.unjudged {
		return parts
	}
	if a.guard.webhook != nil {
		parts = append(parts, part{"webhook", a.guard.webhook.Run})
	}
	return append(parts,
		part{"namespaces", a.guard.namespaces.Run},
		part{"appliers", a.guard.appliers.Run},
		part{"policies in the API server", a.Sync.Run},
		part{"attribution", a.guard.attribution.Run},
		part{"audit", a.Audit.Run},
	)
}

// clusterHandler is what the cluster's API server may ask, over TLS on loopback.
func (a *App) clusterHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/.well-known/", a.Identity.WellKnown())
	if a.guard != nil && a.guard.webhook != nil {
		mux.Handle("POST "+a.guard.path, a.guard.webhook)
	}
	return mux
}

// followPlaces compiles the policies again when an environment was made: a scope may reach
// into its namespace.
func (a *App) followPlaces(ctx context.Context) error {
	return a.Log.Consume(ctx, "app.places", func(_ context.Context, tx *store.Tx, e event.Event) error {
		if e.Type == event.TypeEnvironmentMade {
			tx.AfterCommit(a.Policy.PlacesChanged)
		}
		return nil
	}, a.logger)
}

// places answers where the environments are.
type places struct {
	deploy  *deploy.Service
	cluster string
}

var _ policy.Places = places{}

// Places lists the namespaces of all environments.
func (p places) Places(ctx context.Context) ([]rule.Place, error) {
	all, err := p.deploy.Places(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]rule.Place, 0, len(all))
	for _, e := range all {
		out = append(out, rule.Place{Cluster: p.cluster, Namespace: e.Namespace, Project: e.Project, Environment: e.Name})
	}
	return out, nil
}

// releases answers who made a release.
type releases struct{ deploy *deploy.Service }

var _ enforce.Releases = releases{}

// Release returns who made the newest release of a Helm release.
func (r releases) Release(ctx context.Context, namespace, name string) (enforce.Applied, bool, error) {
	got, ok, err := r.deploy.Newest(ctx, namespace, name)
	if err != nil || !ok {
		return enforce.Applied{}, ok, err
	}
	return enforce.Applied{
		Actor: got.Actor, Run: got.Run, Commit: got.Commit, Project: got.Project, Requester: got.Requester, Time: got.Started,
	}, true, nil
}

// learned tells policy and the audit what became known of an image.
type learned struct {
	policy *policy.Service
	audit  *audit.Service
}

// PutImage remembers an image and has what runs it judged again.
func (l learned) PutImage(ctx context.Context, i rule.Image) error {
	if err := l.policy.PutImage(ctx, i); err != nil {
		return err
	}
	l.audit.ImageChanged(i.Digest)
	return nil
}

// asked has the images of a question looked up before it is answered.
type asked struct {
	policy *policy.Service
	facts  *facts
}

var _ enforce.Decider = asked{}

// Decide answers as policy does, with every image known that the registry knows.
func (d asked) Decide(ctx context.Context, q policy.Question) (policy.Decision, error) {
	for _, o := range q.Objects {
		if err := d.facts.ensure(ctx, o.Object, 0); err != nil {
			return policy.Decision{}, err
		}
	}
	return d.policy.Decide(ctx, q)
}

// patience is how long a release waits for its images to be signed and scanned: the
// documents follow a push within a second or so.
const patience = 20 * time.Second

// gate has policy judge what a release is about to apply.
type gate struct {
	policy  *policy.Service
	facts   *facts
	cluster string
}

var _ deploy.Gate = gate{}

// Admit decides about the objects of a release and says so in the run's log.
func (g gate) Admit(ctx context.Context, in deploy.Admission, say deploy.Say) error {
	job := in.Actor.Job
	place := rule.Place{Cluster: g.cluster, Namespace: in.Namespace, Project: in.Project, Environment: in.Environment}
	if in.Cluster != "" {
		place.Cluster = in.Cluster
	}
	q := policy.Question{
		Point: policy.PointDeploy, Actor: in.Actor.String(), Project: in.Project, Environment: in.Environment, Run: job.Run, Job: job.Stage + "." + job.Job,
		Commit: job.Commit, Record: policy.RecordAll,
		Judges: []event.Subject{event.Of(event.KindRelease, in.Release), event.OfRun(job.Run), event.Of(event.KindCommit, job.Commit)},
	}
	for _, o := range in.Objects {
		if err := g.facts.ensure(ctx, o, patience); err != nil {
			return err
		}
		q.Objects = append(q.Objects, policy.Object{Review: reviewOf(o, place)})
	}
	d, err := g.policy.Decide(ctx, q)
	if err != nil {
		return err
	}
	notes, refused, audited := annotations(d)
	for _, n := range notes {
		say(fmt.Sprintf("policy %s: %s", n.Rule, n.Message))
		if n.Fix != "" {
			say("  fix: " + n.Fix)
		}
	}
	if d.Allowed {
		say(fmt.Sprintf("Policy allows %s (%s noted; set %.19s, decision %s).", plural(len(d.Objects), "object"), plural(audited, "violation"), d.Set, d.ID))
		return nil
	}
	why := "a rule could not judge"
	if refused > 0 {
		for _, n := range notes {
			if n.Level == "failure" {
				why = n.Rule + ": " + n.Message
				break
			}
		}
	}
	return fault.New(fault.Denied, "Policy refuses this release: %s (decision %s).", why, d.ID).
		WithNext("see towpath policy decision %s", d.ID)
}

// reviewOf is an object at rest in a place.
func reviewOf(o map[string]any, place rule.Place) rule.Review {
	text := func(m map[string]any, k string) string { s, _ := m[k].(string); return s }
	meta, _ := o["metadata"].(map[string]any)
	if ns := text(meta, "namespace"); ns != "" && ns != place.Namespace {
		place = rule.Place{Cluster: place.Cluster, Namespace: ns}
	}
	return rule.Review{Object: o, Kind: schema.FromAPIVersionAndKind(text(o, "apiVersion"), text(o, "kind")), Name: text(meta, "name"), Place: place}
}

// refused writes a refusal by the cluster into the log of the run that it concerns.
func (a *App) refused(_ context.Context, d policy.Decision) {
	if d.Run == 0 || d.Allowed {
		return
	}
	notes, _, _ := annotations(d)
	for _, n := range notes {
		a.voices.say(d.Run, fmt.Sprintf("The API server refuses it by policy %s: %s (decision %s)", n.Rule, n.Message, d.ID))
		if n.Fix != "" {
			a.voices.say(d.Run, "  fix: "+n.Fix)
		}
	}
}

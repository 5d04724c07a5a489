package cluster

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Adopted is a cluster that somebody else runs, known by a kubeconfig.
type Adopted struct {
	cfg   *rest.Config
	clock clock.Clock
	board *board
}

var _ Cluster = (*Adopted)(nil)

// probeEvery is how often an adopted cluster is asked whether it still answers.
const probeEvery = 15 * time.Second

// Adopt reads the kubeconfig file's current context. The identity in it needs the
// right to make namespaces and role bindings, and to impersonate groups, users and
// userextras.
func Adopt(kubeconfig string, c clock.Clock) (*Adopted, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The kubeconfig %s cannot be used.", kubeconfig).
			WithNext("check it with `kubectl --kubeconfig %s get nodes`", kubeconfig)
	}
	cfg.UserAgent = "towpath"
	return &Adopted{cfg: cfg, clock: c, board: newBoard(Status{
		Kind: KindAdopted, State: Starting, Server: cfg.Host, Kubeconfig: kubeconfig, Since: c.Now(),
	})}, nil
}

// Run probes the cluster until ctx ends. A cluster that does not answer is Degraded,
// never an error: it may come back.
func (a *Adopted) Run(ctx context.Context) error {
	start := a.clock.Now()
	for {
		a.probe(start)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(probeEvery):
		}
	}
}

func (a *Adopted) probe(start time.Time) {
	cfg := rest.CopyConfig(a.cfg)
	cfg.Timeout = 10 * time.Second
	v, err := version(cfg)
	was := a.board.get()
	state, why := Ready, ""
	if err != nil {
		state, why = Degraded, fmt.Sprintf("%s does not answer: %v", a.cfg.Host, err)
	}
	if was.State == state && was.Why == why {
		return
	}
	a.board.update(func(s *Status) {
		s.State, s.Why, s.Since = state, why, a.clock.Now()
		if err == nil {
			s.Version = v
			if s.ReadyIn == 0 {
				s.ReadyIn = a.clock.Now().Sub(start).Seconds()
			}
		}
	})
}

// Status returns the result of the last probe.
func (a *Adopted) Status() Status { return a.board.get() }

// Changed returns a channel that closes at the next change of Status.
func (a *Adopted) Changed() <-chan struct{} { return a.board.changed() }

// Await waits for the first answer of the cluster.
func (a *Adopted) Await(ctx context.Context) error { return a.board.await(ctx) }

// Admin returns the kubeconfig's own identity.
func (a *Adopted) Admin(context.Context) (*rest.Config, error) { return rest.CopyConfig(a.cfg), nil }

// As impersonates the job; ttl does not apply.
func (a *Adopted) As(_ context.Context, j identity.JobClaims, groups []string, _ time.Duration) (*rest.Config, error) {
	cfg := rest.CopyConfig(a.cfg)
	cfg.Impersonate = rest.ImpersonationConfig{
		UserName: fmt.Sprintf("towpath:run:%d", j.Run),
		Groups:   append([]string{"system:authenticated"}, groups...),
		Extra:    extra(j),
	}
	return cfg, nil
}

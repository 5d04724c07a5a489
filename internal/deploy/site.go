package deploy

import (
	"context"
	"strconv"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// site is an environment that is being worked on: it is locked, and its Lease is held.
type site struct {
	env   Environment
	admin kubernetes.Interface
	free  func()
}

// occupy locks an environment for work that no job does. The context returned ends when
// the server stops.
func (s *Service) occupy(ctx context.Context, env Environment, holder string, say Say) (context.Context, *site, error) {
	if err := s.here(env); err != nil {
		return ctx, nil, err
	}
	ctx, done, err := s.shift.enter(ctx)
	if err != nil {
		return ctx, nil, err
	}
	free := done
	fail := func(err error) (context.Context, *site, error) { free(); return ctx, nil, err }
	unlock, err := s.locks.take(ctx, env.Project+"/"+env.Name)
	if err != nil {
		return fail(err)
	}
	free = func() { unlock(); done() }
	if err := s.stillThere(ctx, env); err != nil {
		return fail(err)
	}
	if err := s.await(ctx); err != nil {
		return fail(err)
	}
	admin, err := s.adminClient(ctx)
	if err != nil {
		return fail(err)
	}
	if s.remote != nil {
		return ctx, &site{env: env, admin: admin, free: free}, nil
	}
	installation, err := s.Installation(ctx)
	if err != nil {
		return fail(err)
	}
	if err := prepare(ctx, admin, env, installation); err != nil {
		return fail(err)
	}
	giveBack, err := lease(ctx, admin, env.Namespace, holder, say, s.Logger)
	if err != nil {
		return fail(err)
	}
	return ctx, &site{env: env, admin: admin, free: func() { giveBack(); unlock(); done() }}, nil
}

// deployer returns a Helm client with the rights of an environment's deployers, and those
// only: for what outlives the job that began it. run says on whose behalf, 0 for none.
func (s *Service) deployer(ctx context.Context, env Environment, run int64) (*helm, *rest.Config, error) {
	if err := s.here(env); err != nil {
		return nil, nil, err
	}
	admin, err := s.Clusters.Admin(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg := rest.CopyConfig(admin)
	if s.remote == nil {
		name := "towpath:deploy"
		if run != 0 {
			name = "towpath:run:" + strconv.FormatInt(run, 10)
		}
		cfg.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:authenticated", Group(env.Project, env.Name)}}
	}
	acc, err := newAccess(cfg, env.Namespace)
	if err != nil {
		return nil, nil, err
	}
	h, err := newHelm(acc)
	return h, cfg, err
}

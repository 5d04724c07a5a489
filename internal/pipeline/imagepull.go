package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// pulls adds to a pod what opens the registries of its job's images. The service connections
// that the containers name are lent to the cluster, not to the agent, and only while the
// pipeline may use them: whether it may is asked again here.
func (s *Service) pulls(ctx context.Context, job string, spec *protocol.Job, want *pool.PodSpec) (l loan, err error) {
	var names []string
	if spec != nil {
		for _, c := range spec.Containers {
			if c.Endpoint != "" && !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, c.Endpoint) }) {
				names = append(names, c.Endpoint)
			}
		}
	}
	if len(names) == 0 {
		return l, nil
	}
	run, err := s.loadRun(ctx, s.db, spec.Run)
	if err != nil {
		return l, err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		l, want.Pulls = loan{}, nil
		for _, name := range names {
			p, err := s.pull(ctx, tx, run, name, &l)
			if err != nil || l.refused != "" {
				return err
			}
			want.Pulls = append(want.Pulls, p)
		}
		return nil
	})
	for _, p := range want.Pulls {
		s.masker(job).Add(p.Password)
	}
	if err != nil {
		return l, fmt.Errorf("opening the registries of job %s: %w", want.Job, err)
	}
	return l, nil
}

// pull is what one service connection opens; l notes it, or why it cannot be had.
func (s *Service) pull(ctx context.Context, tx *store.Tx, run *runRow, name string, l *loan) (pool.Pull, error) {
	r := check.Resource{Kind: check.Connection, Project: run.Project, Name: name}
	if ok, err := s.lendable(ctx, tx, run, r, l); err != nil || !ok {
		return pool.Pull{}, err
	}
	c, err := s.library.LendConnection(ctx, tx, run.Project, name)
	if err == nil && c.Type != library.DockerRegistry {
		err = fault.New(fault.Invalid, "The service connection %s is of the type %s; the endpoint of a container is one of the type dockerregistry", c.Name, c.Type)
	}
	if refusal(err, l) {
		return pool.Pull{}, nil
	}
	if err != nil {
		return pool.Pull{}, err
	}
	p := pool.Pull{Server: c.URL}
	for k, v := range c.Auth {
		switch strings.ToLower(k) {
		case "username":
			p.User = v
		case "password", "token", "apitoken":
			p.Password = v
		}
	}
	return p, nil
}

// announcePulls says what the cluster was given for a job.
func (s *Service) announcePulls(ctx context.Context, job string, l loan) error {
	if len(l.names) == 0 {
		return nil
	}
	return s.again(ctx, func(tx *store.Tx) error {
		row, err := loadJob(ctx, tx, job)
		if err != nil || row == nil {
			return err
		}
		run, err := s.loadRun(ctx, tx, row.run)
		if err != nil {
			return err
		}
		return s.announceLoan(ctx, tx, run, row, l)
	})
}

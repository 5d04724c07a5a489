package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// Library keeps the variable groups, secure files and service connections. It is nil when
// the service was made without a vault.
func (s *Service) Library() *library.Service { return s.library }

// group returns the variables of a group for a run: secret ones without their texts, which
// come when an agent takes a job, and none of them in the run of a pull request, whose file
// nobody has reviewed.
func (s *Service) group(ctx context.Context, tx *store.Tx, key, name string, pull bool) ([]plan.Value, error) {
	project, _, _ := strings.Cut(key, "/")
	if s.library == nil {
		return nil, errors.New("there are no variable groups in this installation")
	}
	values, err := s.library.Variables(ctx, tx, project, name)
	if fault.Is(err, fault.NotFound) {
		return nil, fmt.Errorf("there is no such group in project %s; make it with: towpath variable-group create", project)
	}
	if err != nil {
		return nil, err
	}
	ok, err := s.checks.Permitted(ctx, tx, check.Resource{Kind: check.Group, Project: project, Name: name}, key)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, plan.ErrHeld
	}
	out := make([]plan.Value, 0, len(values))
	for _, v := range values {
		switch {
		case !v.Secret:
			out = append(out, plan.Value{Name: v.Name, Text: v.Value})
		case !pull:
			out = append(out, plan.Value{Name: v.Name, Secret: true, From: name})
		}
	}
	return out, nil
}

// loan is what a job gets of the library when an agent takes it.
type loan struct {
	groups      map[string]map[string]string // secrets by lower-case group and name
	names       []string                     // of the resources, for the logbook
	connections []protocol.Connection
	clones      []string // repositories of other projects
	refused     string   // why the job cannot have what it needs; it fails
}

// lend collects what a job needs of the library. Whether the pipeline may have it is asked
// again: a permission that was taken back since the stage began counts.
func (s *Service) lend(ctx context.Context, tx *store.Tx, run *runRow, spec *protocol.Job) (loan, error) {
	l := loan{groups: map[string]map[string]string{}}
	for _, v := range spec.Variables {
		key := strings.ToLower(v.From)
		if _, done := l.groups[key]; !v.Secret || v.From == "" || done {
			continue
		}
		r := check.Resource{Kind: check.Group, Project: run.Project, Name: v.From}
		if ok, err := s.lendable(ctx, tx, run, r, &l); err != nil || !ok {
			return l, err
		}
		secrets, err := s.library.LendGroup(ctx, tx, run.Project, v.From)
		if refusal(err, &l) {
			return l, nil
		}
		if err != nil {
			return l, err
		}
		l.groups[key] = secrets
	}
	if err := s.lendConnections(ctx, tx, run, spec, &l); err != nil || l.refused != "" {
		return l, err
	}
	var err error
	l.clones, err = s.clones(ctx, tx, run, spec.Repositories)
	return l, err
}

// lendConnections lends the service connections that the tasks of a job name. A name that
// no connection has means nothing here; the run of a pull request gets none, and what only
// the server's own tasks name stays here.
func (s *Service) lendConnections(ctx context.Context, tx *store.Tx, run *runRow, spec *protocol.Job, l *loan) error {
	stage := run.plan.Stage(spec.Stage)
	if s.library == nil || run.Pull > 0 || stage == nil || stage.Job(spec.Name) == nil {
		return nil
	}
	for _, r := range check.OfJob(run.plan, forAgent(turnAlone(stage.Job(spec.Name), spec)), run.Repo).Resources {
		if r.Kind != check.Connection {
			continue
		}
		c, err := s.library.LendConnection(ctx, tx, run.Project, r.Name)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if refusal(err, l) {
			return nil
		}
		if err != nil {
			return err
		}
		if ok, err := s.lendable(ctx, tx, run, r, l); err != nil || !ok {
			return err
		}
		l.connections = append(l.connections, protocol.Connection{Name: c.Name, Type: c.Type, URL: c.URL, Scheme: c.Scheme, Auth: c.Auth, Secret: c.Secret})
	}
	return nil
}

// lendable reports whether a run may have a resource now, and notes it for the logbook.
func (s *Service) lendable(ctx context.Context, tx *store.Tx, run *runRow, r check.Resource, l *loan) (bool, error) {
	if s.library == nil || run.Pull > 0 {
		l.refused = fmt.Sprintf("The run of a pull request gets nothing that is secret, so not the %s", r)
		return false, nil
	}
	ok, err := s.checks.Permitted(ctx, tx, r, run.Key())
	if err == nil && !ok {
		l.refused = fmt.Sprintf("The pipeline %s is not permitted to use the %s any more", run.Key(), r)
	}
	l.names = append(l.names, r.Path())
	return ok, err
}

// refusal notes an error that is an answer, such as that the item is gone.
func refusal(err error, l *loan) bool {
	if err == nil || fault.KindOf(err) == fault.Internal {
		return false
	}
	l.refused, _ = fault.Public(err)
	return true
}

// announceLoan says what a job was given.
func (s *Service) announceLoan(ctx context.Context, tx *store.Tx, run *runRow, row *jobRow, l loan) error {
	if len(l.names) == 0 || l.refused != "" {
		return nil
	}
	slices.Sort(l.names)
	return s.log.Append(ctx, tx, event.Fact{
		Type: event.TypeLibraryLent, Subject: row.subject(), Project: run.Project, Actor: system().String(),
		Payload: event.LibraryLent{V: 1, Run: row.run, Stage: row.stage, Job: row.jobName(), Resources: l.names},
		Links:   []event.Link{{Rel: event.RelPartOf, To: event.OfRun(row.run)}},
	})
}

// fill puts what was lent into what an agent is told, and returns what a log must hide.
func (l loan) fill(job *protocol.Job) []string {
	var secrets []string
	job.Connections = l.connections
	for _, c := range l.connections {
		secrets = append(secrets, c.Secret...)
	}
	for i := range job.Variables {
		v := &job.Variables[i]
		if !v.Secret || v.From == "" {
			continue
		}
		v.Text = l.groups[strings.ToLower(v.From)][strings.ToLower(v.Name)]
		secrets = append(secrets, v.Text)
	}
	return secrets
}

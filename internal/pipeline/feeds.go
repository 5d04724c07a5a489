package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/feed"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// How often servers outside are asked for new versions, how long one question may take, and how
// long all those of a run that begins.
const (
	feedEvery = 5 * time.Minute
	feedAsk   = 20 * time.Second
	feedPin   = 15 * time.Second
)

// fetched are the packages and builds that the steps of a job fetch.
func fetched(p *plan.Plan, job *plan.Job) []plan.Feed {
	var out []plan.Feed
	for _, f := range p.Resources.Feeds {
		if takes(job, f) {
			out = append(out, f)
		}
	}
	return out
}

// takes reports whether a step of a job fetches a package or a build.
func takes(job *plan.Job, f plan.Feed) bool {
	return slices.ContainsFunc(steps(job), func(s plan.Step) bool { return fetches(s, f) })
}

func fetches(s plan.Step, f plan.Feed) bool {
	switch f.Kind {
	case plan.FeedPackage:
		return s.Enabled && s.Task == plan.TaskPackage && strings.EqualFold(s.Inputs["package"], f.Alias)
	case plan.FeedBuild:
		return s.Enabled && s.Task == plan.TaskBuild && strings.EqualFold(s.Inputs["build"], f.Alias)
	}
	return false
}

// pinFeeds writes the versions that a run takes into its plan, so that all of its jobs take the
// same. What cannot be found out now, because a server does not answer or the connection waits
// for a permission, is left to the agent, which says what is wrong where people look for it. The
// run of a pull request is given nothing that opens a server.
func (s *Service) pinFeeds(ctx context.Context, o Order, p *plan.Plan) {
	ctx, cancel := context.WithTimeout(ctx, feedPin)
	defer cancel()
	for i := range p.Resources.Feeds {
		f := &p.Resources.Feeds[i]
		used := anyJob(p, func(job *plan.Job) bool { return takes(job, *f) })
		if from := o.Origin; from != nil && from.Category == f.Kind && strings.EqualFold(from.Alias, f.Alias) {
			f.Used = from.Version
			continue
		}
		if !used || o.Pull != nil || macro(f.Connection) {
			continue
		}
		version, err := s.newestVersion(ctx, o.Project, o.key(), f)
		if err != nil {
			s.logger.Debug("a version is left to the agent", "resource", f.Alias, "pipeline", o.key(), "error", err)
			continue
		}
		f.Used = version
	}
}

// newestVersion asks a server for the version that a resource means now.
func (s *Service) newestVersion(ctx context.Context, project, pipeline string, f *plan.Feed) (string, error) {
	if s.outbound == nil || s.library == nil {
		return "", fault.New(fault.Unavailable, "This server asks nobody outside.")
	}
	ok, err := s.checks.Permitted(ctx, s.db, check.Resource{Kind: check.Connection, Project: project, Name: f.Connection}, pipeline)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", fault.New(fault.Denied, "The pipeline %s is not permitted to use the service connection %s.", pipeline, f.Connection)
	}
	lent, err := s.library.LendConnection(ctx, s.db, project, f.Connection)
	if err != nil {
		return "", err
	}
	if lent.Type != library.Generic {
		return "", fault.New(fault.Invalid, "The service connection %s is no generic one.", lent.Name).WithNext("make one of the type generic with the address of the server")
	}
	ctx, cancel := context.WithTimeout(ctx, feedAsk)
	defer cancel()
	header := map[string]string{}
	authorize(header, protocol.Connection{Scheme: lent.Scheme, Auth: lent.Auth})
	return feed.New(s.outbound).Resolve(ctx, feed.Source{
		Type: f.Type, URL: lent.URL, Header: header, Name: f.Name, Version: f.Version, Tag: f.Tag, Branch: f.Branch,
	})
}

// watchFeeds looks for new versions until ctx ends.
func (s *Service) watchFeeds(ctx context.Context) {
	for {
		if err := s.LookForVersions(ctx); err != nil && ctx.Err() == nil {
			s.logger.Warn("a package or a build cannot be looked at", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(feedEvery):
		}
	}
}

// LookForVersions asks for the newest versions of the packages and builds that start pipelines,
// and starts those that wait for a version that is new. The first version that is seen starts
// nothing. Run does so every five minutes; one server that does not answer keeps no other.
func (s *Service) LookForVersions(ctx context.Context) error {
	if s.outbound == nil {
		return nil
	}
	var errs []error
	for _, kind := range []string{categoryPackage, categoryBuild} {
		list, err := watchingKind(ctx, s.db, kind)
		if err != nil {
			return err
		}
		for _, w := range list {
			if err := s.lookFor(ctx, w); err != nil {
				errs = append(errs, fmt.Errorf("%s of %s: %w", kind, w.pipeline, err))
			}
		}
	}
	return errors.Join(errs...)
}

// watchingKind lists who waits for anything of a category.
func watchingKind(ctx context.Context, h store.Handle, category string) ([]watch, error) {
	rows, err := h.Query(ctx, `SELECT pipeline, project, source, body FROM pipeline_watch WHERE category = ? ORDER BY pipeline, position`, category)
	if err != nil {
		return nil, fmt.Errorf("reading who waits for a %s: %w", category, err)
	}
	defer rows.Close()
	var out []watch
	for rows.Next() {
		w := watch{category: category}
		var body string
		if err := rows.Scan(&w.pipeline, &w.project, &w.source, &body); err != nil {
			return nil, fmt.Errorf("reading who waits for a %s: %w", category, err)
		}
		w.body = []byte(body)
		out = append(out, w)
	}
	return out, rows.Err()
}

// lookFor starts the pipeline of a watch when there is a new version.
func (s *Service) lookFor(ctx context.Context, w watch) error {
	var f plan.Feed
	if err := w.into(&f); err != nil {
		return err
	}
	// A trigger looks for what is newest, whatever version the steps take.
	f.Version = ""
	version, err := s.newestVersion(ctx, w.project, w.pipeline, &f)
	if err != nil {
		return err
	}
	source := strings.Join([]string{w.source, strings.ToLower(f.Type), f.Name, f.Tag, f.Branch}, "|")
	return s.again(ctx, func(tx *store.Tx) error {
		var before string
		err := tx.QueryRow(ctx, `SELECT version FROM pipeline_feed WHERE pipeline = ? AND alias = ? AND source = ?`, w.pipeline, f.Alias, source).Scan(&before)
		first := errors.Is(err, errNoRows)
		if err != nil && !first || before == version {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO pipeline_feed (pipeline, alias, source, version, looked) VALUES (?,?,?,?,?)
			ON CONFLICT (pipeline, alias, source) DO UPDATE SET version = excluded.version, looked = excluded.looked`,
			w.pipeline, f.Alias, source, version, millis(s.clock.Now()))
		if err != nil {
			return fmt.Errorf("noting version %s of %s: %w", version, f.Name, err)
		}
		if first {
			return nil
		}
		return s.arrive(ctx, tx, w, w.category+":"+source+":"+version, arrival{Origin: Origin{Category: w.category, Alias: f.Alias, Name: f.Name, Version: version}})
	})
}

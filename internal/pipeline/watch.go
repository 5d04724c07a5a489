package pipeline

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// errNoRows is what a query for one row says when there is none.
var errNoRows = sql.ErrNoRows

// maxWatches bounds how many resources of a file may start it.
const maxWatches = 100

// keepWatches replaces what starts a pipeline from outside by what its file on the default
// branch says; files of other branches start nothing. p is nil when there is no file.
func (s *Service) keepWatches(ctx context.Context, o Order, p *plan.Plan) error {
	d, err := s.define(ctx, &o)
	if err != nil {
		return err
	}
	main, _, _, err := s.source.Resolve(ctx, system(), o.Repo, d.Branch)
	if err != nil || main != o.Ref {
		return err
	}
	var list []watch
	if p != nil {
		list = s.watches(o, p)
	}
	return s.again(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM pipeline_watch WHERE pipeline = ?`, o.key()); err != nil {
			return fmt.Errorf("replacing the triggers of %s: %w", o.Repo, err)
		}
		for i, w := range list[:min(len(list), maxWatches)] {
			_, err := tx.Exec(ctx, `INSERT INTO pipeline_watch (pipeline, position, project, category, source, body) VALUES (?,?,?,?,?,?)`,
				o.key(), i, o.Project, w.category, w.source, string(w.body))
			if err != nil {
				return fmt.Errorf("adding a trigger of %s: %w", o.Repo, err)
			}
		}
		return nil
	})
}

// watches are the resources of a plan that start it.
func (s *Service) watches(o Order, p *plan.Plan) []watch {
	var out []watch
	add := func(category, source string, body any) {
		out = append(out, watch{pipeline: o.key(), project: o.Project, category: category, source: strings.ToLower(source), body: []byte(text(body))})
	}
	for _, r := range p.Resources.Pipelines {
		source := sourceName(o.Project, r.Project, r.Source)
		if r.Trigger && !strings.EqualFold(source, o.key()) && !strings.EqualFold(source, o.Project+"/"+o.name) {
			r.Used = nil
			add(categoryPipeline, source, r)
		}
	}
	for _, r := range p.Resources.Containers {
		registry, repository, _, _ := splitImage(r.Container.Image)
		// Images of other projects start nothing: who pushes them decides nothing here.
		if r.Trigger && registry == s.opts.Registry && strings.HasPrefix(repository, o.Project+"/") {
			add(categoryContainer, repository, r)
		}
	}
	for _, r := range p.Resources.Repositories {
		if source := fullName(o.Project, r.Name); r.Trigger != nil && source != o.Repo {
			add(categoryRepository, source, r)
		}
	}
	for _, r := range p.Resources.Feeds {
		if r.Trigger {
			add(r.Kind, o.Project+"/"+r.Connection, r)
		}
	}
	for _, r := range p.Resources.Webhooks {
		add(categoryWebhook, o.Project+"/"+r.Connection, r)
	}
	return out
}

// watching lists who waits for a thing.
func watching(ctx context.Context, h store.Handle, category, source string) ([]watch, error) {
	rows, err := h.Query(ctx, `SELECT pipeline, project, body FROM pipeline_watch WHERE category = ? AND source = ? ORDER BY pipeline, position`, category, strings.ToLower(source))
	if err != nil {
		return nil, fmt.Errorf("reading who waits for %s: %w", source, err)
	}
	defer rows.Close()
	var out []watch
	for rows.Next() {
		w := watch{category: category, source: source}
		var body string
		if err := rows.Scan(&w.pipeline, &w.project, &body); err != nil {
			return nil, fmt.Errorf("reading who waits for %s: %w", source, err)
		}
		w.body = []byte(body)
		out = append(out, w)
	}
	return out, rows.Err()
}

// followers lists who waits for the pipeline of a run: by its name, or by its repository when
// its file is File.
func followers(ctx context.Context, tx *store.Tx, r Run) ([]watch, error) {
	d, err := findDefinition(ctx, tx, r.Key())
	if err != nil || d.ID == 0 {
		return nil, err
	}
	byName := r.Project + "/" + d.Name
	out, err := watching(ctx, tx, categoryPipeline, byName)
	if err != nil || r.Key() != r.Repo || strings.EqualFold(byName, r.Repo) {
		return out, err
	}
	more, err := watching(ctx, tx, categoryPipeline, r.Repo)
	return append(out, more...), err
}

// onRunEnded starts the pipelines that wait for a run. Those that name stages wait for these,
// the others for the run; a run that failed starts nothing, and one of a pull request neither:
// nobody has reviewed what it made.
func (s *Service) onRunEnded(ctx context.Context, tx *store.Tx, n int64, stageOnly bool) error {
	r, err := scanRun(tx.QueryRow(ctx, `SELECT `+runColumns+` FROM pipeline_run WHERE number = ?`, n))
	if err == errNoRows || err == nil && r.Pull > 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading run %d: %w", n, err)
	}
	list, err := followers(ctx, tx, r.Run)
	if err != nil || len(list) == 0 {
		return err
	}
	carried, err := tags(ctx, tx, n)
	if err != nil {
		return err
	}
	for _, w := range list {
		var res plan.PipelineResource
		if err := w.into(&res); err != nil {
			return err
		}
		if !res.Starts(r.Ref, carried) || stageOnly != (len(res.Stages) > 0) {
			continue
		}
		ready := succeeded(r.Result)
		if stageOnly {
			if ready, err = stagesDone(ctx, tx, n, res.Stages); err != nil {
				return err
			}
		}
		if !ready {
			continue
		}
		o := Origin{Category: categoryPipeline, Alias: res.Alias, Run: n, Name: r.Name, Repo: r.Repo, File: r.File, Project: r.Project}
		if err := s.arrive(ctx, tx, w, fmt.Sprintf("run:%d", n), arrival{Origin: o}); err != nil {
			return err
		}
	}
	return nil
}

// stagesDone reports whether all of some stages of a run have succeeded.
func stagesDone(ctx context.Context, tx *store.Tx, n int64, names []string) (bool, error) {
	stages, err := loadStages(ctx, tx, n)
	if err != nil {
		return false, err
	}
	done := map[string]bool{}
	for _, st := range stages {
		done[strings.ToLower(st.name)] = st.status == plan.Completed && succeeded(st.result)
	}
	for _, name := range names {
		if !done[strings.ToLower(name)] {
			return false, nil
		}
	}
	return true, nil
}

// onImage starts the pipelines that wait for a tag of an image.
func (s *Service) onImage(ctx context.Context, tx *store.Tx, id string, p event.ImagePushed) error {
	if p.Tag == "" {
		return nil
	}
	list, err := watching(ctx, tx, categoryContainer, p.Repository)
	if err != nil {
		return err
	}
	for _, w := range list {
		var res plan.ContainerResource
		if err := w.into(&res); err != nil {
			return err
		}
		if !res.Starts(p.Tag) {
			continue
		}
		if err := s.arrive(ctx, tx, w, "image:"+id, arrival{Origin: pushedImage(p, res.Alias)}); err != nil {
			return err
		}
	}
	return nil
}

// onOther starts the pipelines that wait for pushes to another repository. Paths are not known
// here, within the transaction of the logbook: a filter of paths is looked at before the start.
func (s *Service) onOther(ctx context.Context, tx *store.Tx, id string, c event.CommitPushed) error {
	if plan.SkipsCI(c.Title) {
		return nil
	}
	list, err := watching(ctx, tx, categoryRepository, c.Repo)
	if err != nil {
		return err
	}
	for _, w := range list {
		var res plan.Repository
		if err := w.into(&res); err != nil {
			return err
		}
		if res.Trigger == nil || !res.Trigger.Matches(c.Ref, nil) {
			continue
		}
		o := Origin{Category: categoryRepository, Alias: res.Alias, Repo: c.Repo, Ref: c.Ref, Commit: c.Commit}
		if err := s.arrive(ctx, tx, w, "push:"+id, arrival{Origin: o, Before: c.Before, Trigger: res.Trigger}); err != nil {
			return err
		}
	}
	return nil
}

// onTrigger looks whether an event starts pipelines of other repositories.
func (s *Service) onTrigger(ctx context.Context, tx *store.Tx, e event.Event) error {
	var err error
	switch e.Type {
	case event.TypeRunFinished:
		var p event.RunFinished
		if err = e.Into(&p); err == nil {
			return s.onRunEnded(ctx, tx, p.Run, false)
		}
	case event.TypeStageFinished:
		var p event.StageFinished
		if err = e.Into(&p); err == nil {
			return s.onRunEnded(ctx, tx, p.Run, true)
		}
	case event.TypeImagePushed:
		var p event.ImagePushed
		if err = e.Into(&p); err == nil {
			return s.onImage(ctx, tx, e.ID, p)
		}
	case event.TypeCommitPushed:
		var p event.CommitPushed
		if err = e.Into(&p); err == nil {
			return s.onOther(ctx, tx, e.ID, p)
		}
	default:
		return nil
	}
	s.logger.Error("an event that may start runs is skipped", "type", e.Type, "error", err)
	return nil
}

// jsonText is a JSON value as the texts of filters see it: a text as it is, the rest as JSON.
func jsonText(v any) string {
	if t, ok := v.(string); ok {
		return t
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

package pipeline

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// artifactsOf is the run whose artifacts a job asks for: its own, that of a pipeline resource,
// or one that the inputs of a task name. The last two are of pipelines that the job's may use;
// that is asked again, because a permission may be gone since the run began.
func (s *Service) artifactsOf(ctx context.Context, row *jobRow, q url.Values) (int64, error) {
	name := q.Get(protocol.QueryPipeline)
	if name == "" {
		return row.run, nil
	}
	r, err := s.loadRun(ctx, s.db, row.run)
	if err != nil {
		return 0, err
	}
	o := Order{Repo: r.Repo, File: r.File, Project: r.Project}
	for _, res := range r.plan.Resources.Pipelines {
		if !strings.EqualFold(res.Alias, name) || q.Get(protocol.QueryProject) != "" {
			continue
		}
		if _, err := s.resourceKey(ctx, o, res.Project, res.Source); err != nil {
			return 0, fault.New(fault.Denied, "%s.", sentence(err))
		}
		if res.Used == nil {
			return 0, fault.New(fault.NotFound, "The pipeline %s has no run yet that the resource %s could mean.", res.Source, res.Alias).
				WithNext("run it, or change branch, tags or version of the resource")
		}
		return res.Used.Number, nil
	}
	return s.specific(ctx, o, row.run, q)
}

// specific finds the run that the inputs of a download in a run name (K026).
func (s *Service) specific(ctx context.Context, o Order, run int64, q url.Values) (int64, error) {
	name := q.Get(protocol.QueryPipeline)
	key, err := s.resourceKey(ctx, o, q.Get(protocol.QueryProject), name)
	if id, aerr := strconv.ParseInt(name, 10, 64); aerr == nil {
		key, err = s.byDefinition(ctx, o, id)
	}
	if err != nil {
		return 0, fault.New(fault.NotFound, "%s.", sentence(err))
	}
	used, err := s.triggering(ctx, run, key, q)
	if err == nil && used == nil {
		used, err = s.chosenRun(ctx, key, q)
	}
	if err != nil {
		return 0, err
	}
	if used == nil {
		return 0, fault.New(fault.NotFound, "The pipeline %s has no such run.", key).WithNext("list its runs with: towpath run list")
	}
	return used.Number, nil
}

// triggering is the run that started this one, when a download prefers it and it is one of the
// pipeline.
func (s *Service) triggering(ctx context.Context, run int64, key string, q url.Values) (*plan.UsedRun, error) {
	if !strings.EqualFold(q.Get(protocol.QueryTriggering), "true") {
		return nil, nil
	}
	from, err := s.originOf(ctx, run)
	if err != nil || from == nil || from.Category != categoryPipeline || from.key() != key {
		return nil, err
	}
	return s.usedRun(ctx, `number = ?`, from.Run)
}

// chosenRun is the run of a number, or the newest with the branch, the tags and the results that
// a download wants: only those that succeeded, unless it allows others.
func (s *Service) chosenRun(ctx context.Context, key string, q url.Values) (*plan.UsedRun, error) {
	if id := q.Get(protocol.QueryRun); id != "" {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%q is no number of a run.", clip(id))
		}
		repo, file := SplitKey(key)
		return s.usedRun(ctx, `number = ? AND repo = ? AND file = ?`, n, repo, file)
	}
	res := &plan.PipelineResource{Branch: q.Get(protocol.QueryBranch)}
	if tags := q.Get(protocol.QueryTags); tags != "" {
		for tag := range strings.SplitSeq(tags, ",") {
			res.Carries = append(res.Carries, strings.TrimSpace(tag))
		}
	}
	results := []plan.Result{plan.Succeeded}
	if strings.EqualFold(q.Get(protocol.QueryPartially), "true") {
		results = append(results, plan.SucceededWithIssues)
	}
	if strings.EqualFold(q.Get(protocol.QueryFailed), "true") {
		results = append(results, plan.Failed)
	}
	return s.newest(ctx, key, res, results)
}

// byDefinition is the key of a pipeline with a number, when the pipeline of an order may use
// it.
func (s *Service) byDefinition(ctx context.Context, o Order, id int64) (string, error) {
	var key string
	err := s.db.QueryRow(ctx, `SELECT pipeline FROM pipeline_definition WHERE id = ?`, id).Scan(&key)
	if err == errNoRows {
		key = o.Project + "/" + strconv.FormatInt(id, 10)
	} else if err != nil {
		return "", err
	}
	return s.resourceKey(ctx, o, "", key)
}

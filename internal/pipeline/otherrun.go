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
	o := Order{Repo: r.Repo, Project: r.Project}
	for _, res := range r.plan.Resources.Pipelines {
		if !strings.EqualFold(res.Alias, name) || q.Get(protocol.QueryProject) != "" {
			continue
		}
		if _, err := s.resourceRepo(ctx, o, res.Project, res.Source); err != nil {
			return 0, fault.New(fault.Denied, "%s.", sentence(err))
		}
		if res.Used == nil {
			return 0, fault.New(fault.NotFound, "The pipeline %s has no run yet that the resource %s could mean.", res.Source, res.Alias).
				WithNext("run it, or change branch, tags or version of the resource")
		}
		return res.Used.Number, nil
	}
	return s.specific(ctx, o, q)
}

// specific finds the run that the inputs of a download name (K026).
func (s *Service) specific(ctx context.Context, o Order, q url.Values) (int64, error) {
	name := q.Get(protocol.QueryPipeline)
	repo, err := s.resourceRepo(ctx, o, q.Get(protocol.QueryProject), name)
	if id, aerr := strconv.ParseInt(name, 10, 64); aerr == nil {
		repo, err = s.byDefinition(ctx, o, id)
	}
	if err != nil {
		return 0, fault.New(fault.NotFound, "%s.", sentence(err))
	}
	var used *plan.UsedRun
	if id := q.Get(protocol.QueryRun); id != "" {
		n, perr := strconv.ParseInt(id, 10, 64)
		if perr != nil {
			return 0, fault.New(fault.Invalid, "%q is no number of a run.", clip(id))
		}
		used, err = s.usedRun(ctx, `number = ? AND repo = ?`, n, repo)
	} else {
		res := &plan.PipelineResource{Source: repo, Branch: q.Get(protocol.QueryBranch)}
		if tags := q.Get(protocol.QueryTags); tags != "" {
			for tag := range strings.SplitSeq(tags, ",") {
				res.Carries = append(res.Carries, strings.TrimSpace(tag))
			}
		}
		// The pipeline may use the repository, which was asked above, so its project is no
		// question any more.
		used, err = s.used(ctx, Order{Repo: repo, Project: repo[:strings.IndexByte(repo, '/')]}, res)
	}
	if err != nil {
		return 0, err
	}
	if used == nil {
		return 0, fault.New(fault.NotFound, "The pipeline %s has no such run.", repo).WithNext("list its runs with: towpath run list")
	}
	return used.Number, nil
}

// byDefinition is the repository of a pipeline's number, when the pipeline of an order may use
// it.
func (s *Service) byDefinition(ctx context.Context, o Order, id int64) (string, error) {
	var repo string
	err := s.db.QueryRow(ctx, `SELECT repo FROM pipeline_definition WHERE id = ?`, id).Scan(&repo)
	if err == errNoRows {
		repo = o.Project + "/" + strconv.FormatInt(id, 10)
	} else if err != nil {
		return "", err
	}
	return s.resourceRepo(ctx, o, "", repo)
}

package pipeline

import (
	"context"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// Pools are the agent pools.
func (s *Service) Pools() *pool.Service { return s.pools }

// Agent is an agent that has registered.
type Agent = pool.Agent

// Agents lists all agents. Every known actor may ask.
func (s *Service) Agents(ctx context.Context, a identity.Actor) ([]Agent, error) {
	return s.AgentsOf(ctx, a, "")
}

// AgentsOf lists the agents of a pool, all with "", with the jobs of projects that the actor
// may read. Every known actor may ask.
func (s *Service) AgentsOf(ctx context.Context, a identity.Actor, name string) ([]Agent, error) {
	list, err := s.pools.Agents(ctx, a, name)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT j.agent, j.run, j.stage, j.name, j.leg, r.project FROM pipeline_job j JOIN pipeline_run r ON r.number = j.run
		WHERE (j.status = 'Running' OR j.id IN (SELECT job FROM pipeline_stay WHERE ended = 0)) AND j.machine = '' ORDER BY j.run, j.position, j.id`)
	if err != nil {
		return nil, fmt.Errorf("reading the jobs of the agents: %w", err)
	}
	defer rows.Close()
	jobs, running, readable := map[string][]pool.Busy{}, map[string]int{}, map[string]bool{}
	for rows.Next() {
		var j jobRow
		var project string
		if err := rows.Scan(&j.agent, &j.run, &j.stage, &j.name, &j.leg, &project); err != nil {
			return nil, fmt.Errorf("reading the jobs of the agents: %w", err)
		}
		running[j.agent]++
		if _, asked := readable[project]; !asked {
			readable[project] = s.auth.Require(ctx, a, project, identity.Read) == nil
		}
		if readable[project] {
			jobs[j.agent] = append(jobs[j.agent], pool.Busy{Run: j.run, Job: j.path()})
		}
	}
	for i := range list {
		list[i].Jobs, list[i].Running = jobs[list[i].Name], running[list[i].Name]
		if list[i].State != "" {
			list[i].State = s.podWords(&list[i])
		}
	}
	return list, rows.Err()
}

// restricted tells checks of the pools that are closed until somebody permits a pipeline.
type restricted struct{ pools *pool.Service }

var _ check.Finder = restricted{}

// Exists reports whether the pool is closed to pipelines; all others are open as a name is.
func (r restricted) Exists(ctx context.Context, res check.Resource) (bool, error) {
	return r.pools.Closed(ctx, res.Name)
}

// place decides which agents may have a job, and completes what the agent is told.
func (sc *schedule) place(row *jobRow, job *plan.Job, values plan.Values, spec *protocol.Job) error {
	row.pool, row.demands, row.refused = "", "", ""
	if job.Pool.Server {
		row.pool, row.spec = serverPool, text(spec)
		return nil
	}
	if row.machine != "" {
		if job.Container != nil || len(job.Services) > 0 {
			row.refused = "The targets of an environment are hosts, which have no containers; leave container and services out"
		}
		row.spec = text(spec)
		return nil
	}
	expand := func(text string) string { return expr.ExpandMacros(text, values.Lookup) }
	w := pool.Wish{Project: sc.run.Project, Name: expand(job.Pool.Name), VMImage: expand(job.Pool.VMImage), Containers: job.Container != nil || len(job.Services) > 0}
	for _, d := range job.Pool.Demands {
		w.Demands = append(w.Demands, expand(d))
	}
	at, err := sc.s.pools.Place(sc.ctx, sc.tx, w)
	if err != nil {
		return err
	}
	row.pool, row.demands, row.refused = pool.Fold(at.Pool.Name), pool.Text(at.Demands), at.Refused
	if row.refused == "" && at.Pool.Settings.Restricted {
		// The stage's gate has asked for a pool that the file names; a vmImage or a macro comes
		// to one without.
		r := check.Resource{Kind: check.Pool, Project: sc.run.Project, Name: at.Pool.Name}
		ok, err := sc.s.checks.Permitted(sc.ctx, sc.tx, r, sc.run.Key())
		if err != nil {
			return err
		}
		if !ok {
			row.refused = fmt.Sprintf("The pipeline %s is not permitted to use the %s", sc.run.Repo, r)
		}
	}
	spec.Notices = at.Notices
	if row.refused == "" && at.Pool.Kind == pool.Kubernetes {
		var notices []string
		spec.Containers, notices, row.refused = pool.Contain(at.Pool.Settings, sc.s.opts.Machine, job, sc.run.plan.Resources.Containers, expand)
		spec.Notices = append(spec.Notices, notices...)
		if sc.s.pods == nil {
			row.refused = "The agents of pool " + at.Pool.Name + " are pods, and this server has no cluster: start it with towpath up"
		}
	}
	row.spec = text(spec)
	return nil
}

// shelf is where jobs lie that wait for the same: those of a pool with the same demands.
type shelf struct{ pool, demands string }

// waits says for whom a queued job waits; jobs with the same pool and demands are asked for
// once, in known.
func (s *Service) waits(ctx context.Context, j *jobRow, known map[shelf]string) (why string, err error) {
	at := shelf{pool: j.pool, demands: j.demands}
	if j.status != queued || j.machine != "" {
		return "", nil
	}
	if why, err = s.podWaits(ctx, j.id); why != "" || err != nil {
		return why, err
	}
	why, ok := known[at]
	if !ok {
		why, err = s.pools.Waits(ctx, j.pool, j.demands)
		known[at] = why
	}
	return why, err
}

// lines are the lines of a text, none for "".
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

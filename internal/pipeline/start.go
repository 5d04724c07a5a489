package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// Order is what a run is made from.
type Order struct {
	Repo       string // "project/repo"
	File       string // path of the pipeline file; "" means File
	Project    string
	Ref        string // "refs/heads/main"
	Commit     string
	Title      string
	Reason     string // Build.Reason
	Requester  string // user
	Parameters map[string]string
	Variables  map[string]string // given by who started it
	Skip       []string          // stages that are left out
	RerunOf    int64
	Pull       *PullOrder // of a pull request, else nil
	Schedule   string     // display name of the schedule, of a scheduled run
	Origin     *Origin    // what started it from outside of its repository, else nil
	// Predefined are values of predefined variables that the caller knows better than the
	// server, by their names: those of a local run's repository. They are read by StartPlan.
	Predefined map[string]string

	stay  time.Duration // for how long jobs that fail are kept
	cause string        // what made it, once; "" when it may be repeated
	actor string        // as in the logbook
	// definition and name are those of the pipeline, origin and originName of that of Origin.
	definition, origin int64
	name, originName   string
}

// predefined are the variables that the server knows of a run (P002, P006). run is 0
// while the file is compiled.
func (s *Service) predefined(o Order, run int64) []plan.Value {
	branch := strings.TrimPrefix(strings.TrimPrefix(o.Ref, "refs/heads/"), "refs/tags/")
	short := branch[strings.LastIndexByte(branch, '/')+1:]
	values := [][2]string{
		{"Build.SourceBranch", o.Ref}, {"Build.SourceBranchName", short}, {"Build.SourceVersion", o.Commit},
		{"Build.SourceVersionMessage", o.Title}, {"Build.Reason", o.Reason}, {"Build.RequestedFor", o.Requester}, {"Build.QueuedBy", o.Requester},
		{"Build.RequestedForId", o.Requester}, {"Build.QueuedById", o.Requester}, {"Build.RequestedForEmail", ""},
		{"Build.Repository.Name", o.Repo}, {"Build.Repository.ID", o.Repo}, {"Build.Repository.Provider", "TfsGit"}, {"Build.Repository.Uri", s.cloneURL(o.Repo)},
		{"Build.DefinitionName", o.name}, {"Build.DefinitionVersion", "1"}, {"Build.Repository.Clean", "False"}, {"Build.Repository.Git.SubmoduleCheckout", "False"},
		{"System.TeamProject", o.Project}, {"System.TeamProjectId", o.Project}, {"System.DefinitionId", strconv.FormatInt(o.definition, 10)}, {"System.HostType", "build"},
		{"System.CollectionUri", s.opts.URL + "/"}, {"System.TeamFoundationCollectionUri", s.opts.URL + "/"}, {"System.CollectionId", s.opts.URL},
		{"System.ServerType", "Hosted"}, {"System.Culture", "en-US"}, {"System.StageAttempt", "1"}, {"System.PhaseAttempt", "1"}, {"System.JobAttempt", "1"},
		{"Towpath.Registry", s.opts.Registry}, {"Towpath.Url", s.opts.URL},
	}
	if o.Reason == reasonSchedule {
		values = append(values, [2]string{"Build.CronSchedule.DisplayName", o.Schedule})
	}
	if o.Origin != nil {
		values = append(values, o.Origin.variables(o.origin, o.originName)...)
	}
	if o.Pull != nil {
		values = append(values, pullVariables(o.Pull, s.cloneURL(o.Repo))...)
	}
	if run > 0 {
		n := strconv.FormatInt(run, 10)
		values = append(values, [2]string{"Build.BuildId", n}, [2]string{"Build.BuildUri", "vstfs:///Build/Build/" + n}, [2]string{"Build.ContainerId", n},
			[2]string{"System.PlanId", n})
	}
	out := make([]plan.Value, len(values))
	for i, kv := range values {
		if known, ok := o.Predefined[kv[0]]; ok {
			kv[1] = known
		}
		out[i] = plan.Value{Name: kv[0], Text: kv[1], ReadOnly: true}
	}
	return out
}

func (s *Service) cloneURL(repo string) string { return s.opts.URL + "/" + repo + ".git" }

// Start is StartWith without variables and with every stage.
func (s *Service) Start(ctx context.Context, a identity.Actor, repo, ref string, parameters map[string]string) (Run, error) {
	return s.StartWith(ctx, a, repo, Request{Ref: ref, Parameters: parameters})
}

// StartWith starts a run of a pipeline, which is named by its key, by hand. ref is a branch,
// tag or full ref; "" means the default branch of the pipeline. parameters are by name; values that are no scalars are YAML text. It needs
// the write role. A file that does not compile is fault.Invalid with its errors.
func (s *Service) StartWith(ctx context.Context, a identity.Actor, key string, in Request) (Run, error) {
	repo, file := SplitKey(key)
	project, _, ok := strings.Cut(repo, "/")
	if !ok {
		return Run{}, fault.New(fault.Invalid, "%q is not the name of a repository.", repo).WithNext("write project/repo")
	}
	if err := s.auth.Require(ctx, a, project, identity.Write); err != nil {
		return Run{}, err
	}
	stay, err := s.stayTime(ctx, a, project, in.Stay)
	if err != nil {
		return Run{}, err
	}
	full, commit, title, err := s.resolve(ctx, a, key, in.Ref)
	if err != nil {
		return Run{}, err
	}
	if strings.HasPrefix(full, pullRefs) {
		return Run{}, fault.New(fault.Invalid, "%s belongs to a pull request, whose runs start by themselves.", full).
			WithNext("rerun the last one with: towpath run rerun, or start a run of the branch")
	}
	return s.order(ctx, Order{
		Repo: repo, File: file, Project: project, Ref: full, Commit: commit, Title: title, Reason: "Manual", Requester: a.Name, Parameters: in.Parameters,
		Variables: in.Variables, Skip: in.Skip, actor: a.String(), stay: stay,
	})
}

// resolve finds the commit of a ref of a pipeline; "" is that of its default branch.
func (s *Service) resolve(ctx context.Context, a identity.Actor, key, ref string) (full, commit, title string, err error) {
	d, err := findDefinition(ctx, s.db, key)
	if err != nil {
		return "", "", "", err
	}
	return s.source.Resolve(ctx, a, d.Repo, firstOf(ref, d.Branch))
}

// StartPlan starts a run of a plan that the caller has compiled from the order's commit
// himself, with the stages, jobs and steps that he wants of it. It needs the admin role,
// because nobody has looked whether the plan is that of the file.
func (s *Service) StartPlan(ctx context.Context, a identity.Actor, o Order, p *plan.Plan) (Run, error) {
	if err := s.auth.Require(ctx, a, o.Project, identity.Admin); err != nil {
		return Run{}, err
	}
	o.actor = a.String()
	return s.start(ctx, o, p)
}

// Predefined are the variables that template expressions may read in a file of the order's
// commit (T in P002 and P006).
func (s *Service) Predefined(o Order) map[string]string {
	static := map[string]string{}
	for _, v := range s.predefined(o, 0) {
		static[v.Name] = v.Text
	}
	return static
}

// order compiles and starts.
func (s *Service) order(ctx context.Context, o Order) (Run, error) {
	d, err := s.define(ctx, &o)
	if err != nil {
		return Run{}, err
	}
	if err := refuseDisabled(d); err != nil {
		return Run{}, err
	}
	p, err := s.compiled(ctx, o)
	if err != nil {
		return Run{}, err
	}
	if err := s.checkRequest(ctx, o, p); err != nil {
		return Run{}, err
	}
	return s.start(ctx, o, p)
}

// compiled is the plan of an order; a file that gives none is a fault with its errors.
func (s *Service) compiled(ctx context.Context, o Order) (*plan.Plan, error) {
	compiled, found, err := s.compile(ctx, o)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.NotFound, "The commit %.12s of %s has no %s.", o.Commit, o.Repo, o.file()).WithNext("add the file and push")
	}
	if err != nil {
		return nil, err
	}
	if found.Failed() {
		return nil, fault.New(fault.Invalid, "The pipeline does not compile:\n%s", strings.Join(messages(found), "\n")).
			WithNext("mend the file; check it with: towpath pipeline validate")
	}
	return compiled, nil
}

// Rerun starts a new run of the same commit with the same parameters. It needs the
// write role.
func (s *Service) Rerun(ctx context.Context, a identity.Actor, n int64) (Run, error) {
	return s.RerunKept(ctx, a, n, 0)
}

// RerunKept is Rerun, and jobs that fail are kept for a time, which needs the maintain role;
// see Request.Stay.
func (s *Service) RerunKept(ctx context.Context, a identity.Actor, n int64, stay time.Duration) (Run, error) {
	r, err := s.authorized(ctx, a, n, identity.Write)
	if err != nil {
		return Run{}, err
	}
	if stay, err = s.stayTime(ctx, a, r.Project, stay); err != nil {
		return Run{}, err
	}
	o := Order{
		Repo: r.Repo, File: r.File, Project: r.Project, Ref: r.Ref, Commit: r.Commit, Title: r.Title, Reason: "Manual", Requester: a.Name, RerunOf: n, actor: a.String(), stay: stay,
	}
	o.Parameters, err = s.parameters(ctx, n)
	if err != nil {
		return Run{}, err
	}
	before, err := s.loadGiven(ctx, n)
	if err != nil {
		return Run{}, err
	}
	o.Variables, o.Skip = before.Variables, before.Skip
	if o.Origin, err = s.originOf(ctx, n); err != nil {
		return Run{}, err
	}
	if r.Pull > 0 {
		// What may not deploy the first time may not the second time either.
		o.Reason = reasonPull
		if o.Pull, err = s.pullOrder(ctx, n); err != nil {
			return Run{}, err
		}
	}
	return s.order(ctx, o)
}

// start makes the rows of a run and starts what can start, in one transaction.
func (s *Service) start(ctx context.Context, o Order, p *plan.Plan) (Run, error) {
	var r runRow
	_, err := s.define(ctx, &o)
	if err != nil {
		return Run{}, err
	}
	if o.Origin != nil && o.Origin.Category == categoryPipeline {
		from, err := s.definition(ctx, o.Origin.key())
		if err != nil {
			return Run{}, err
		}
		o.origin, o.originName = from.ID, from.Name
	}
	err = s.again(ctx, func(tx *store.Tx) error {
		n, err := next(ctx, tx, "run", 1)
		if err != nil {
			return err
		}
		if done, err := s.claimCause(ctx, tx, o.cause, n); err != nil || done {
			if done {
				return errDone
			}
			return err
		}
		if r, err = s.makeRun(ctx, tx, o, p, n); err != nil {
			return err
		}
		if err := s.insertRun(ctx, tx, &r, o); err != nil {
			return err
		}
		if err := leaveOut(ctx, tx, &r, o); err != nil {
			return err
		}
		if o.stay > 0 {
			if err := setStay(ctx, tx, n, o.stay, o.actor); err != nil {
				return err
			}
		}
		if err := noteOrigin(ctx, tx, &r, o); err != nil {
			return err
		}
		if err := s.log.Append(ctx, tx, s.runFact(event.TypeRunQueued, &r, o.actor)); err != nil {
			return err
		}
		if o.Pull != nil && p.PR.AutoCancel {
			if err := s.supersede(ctx, tx, &r); err != nil {
				return err
			}
		}
		return s.advance(ctx, tx, &r)
	})
	if err == errDone {
		return Run{}, nil
	}
	return r.Run, err
}

// errDone rolls back the second attempt at a run that exists.
var errDone = fault.New(fault.Conflict, "The run has been started already.")

// makeRun names a run and evaluates its variables.
func (s *Service) makeRun(ctx context.Context, tx *store.Tx, o Order, p *plan.Plan, n int64) (runRow, error) {
	now := s.clock.Now()
	r := runRow{plan: p, Run: Run{
		Number: n, Project: o.Project, Repo: o.Repo, File: o.file(), Reason: o.Reason, Ref: o.Ref, Commit: o.Commit, Title: o.Title,
		Requester: o.Requester, RerunOf: o.RerunOf, Status: plan.Pending, Queued: now,
	}}
	if o.Pull != nil {
		r.Pull, r.Head = o.Pull.Number, o.Pull.Head
	}
	if o.Origin != nil {
		r.TriggeredBy = o.Origin.Run
	}
	values := plan.Values{}
	for _, v := range s.predefined(o, n) {
		values.Set(v)
	}
	for _, v := range pipelineVariables(p) {
		values.Set(v)
	}
	if err := ownVariables(ctx, tx, o, values); err != nil {
		return r, err
	}
	values, err := p.RootVariables(values, s.runtime(ctx, tx, o.key(), now, o.Pull != nil))
	if err != nil {
		return r, fault.Wrap(fault.Invalid, err, "The variables of the pipeline cannot be evaluated: %v.", err)
	}
	r.Name, err = plan.RunName(p.Name, now, values, func(before, after string) (int, error) {
		rev, err := next(ctx, tx, "rev:"+o.key()+"\n"+before+"\n"+after, 1)
		return int(rev), err
	})
	if err != nil {
		return r, err
	}
	values.Set(plan.Value{Name: "Build.BuildNumber", Text: r.Name, ReadOnly: true})
	r.variables, r.appends = values, p.AppendCommitMessage
	r.label()
	return r, nil
}

// runtime is what the evaluation of variables needs.
func (s *Service) runtime(ctx context.Context, tx *store.Tx, key string, started time.Time, pull bool) plan.Runtime {
	return plan.Runtime{
		StartTime: started,
		Group: func(name string) ([]plan.Value, error) {
			return s.group(ctx, tx, key, name, pull)
		},
		Counter: func(prefix string, seed int64) (int64, error) {
			return next(ctx, tx, "counter:"+key+"\n"+prefix, seed)
		},
	}
}

func (s *Service) insertRun(ctx context.Context, tx *store.Tx, r *runRow, o Order) error {
	request := ""
	if o.Pull != nil {
		request = text(o.Pull)
	}
	_, err := tx.Exec(ctx, `INSERT INTO pipeline_run (`+runColumns+`, parameters, variables, plan, request) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		r.Number, r.Project, r.Repo, r.File, r.Name, r.Reason, r.Ref, r.Commit, r.Title, r.Requester, r.RerunOf, r.Status, r.Result, r.Why, r.canceled,
		millis(r.Queued), int64(0), int64(0), r.Pull, r.Head, r.TriggeredBy, bit(r.appends), text(o.Parameters), text(r.variables), text(r.plan), request)
	if err != nil {
		return fmt.Errorf("adding run %d: %w", r.Number, err)
	}
	position := 0
	for i := range r.plan.Stages {
		stage := &r.plan.Stages[i]
		_, err := tx.Exec(ctx, `INSERT INTO pipeline_stage (run, name, position, status, result, why, requested, variables, started, finished) VALUES (?,?,?,?,'','','','',0,0)`,
			r.Number, stage.Name, i, plan.Pending)
		if err != nil {
			return fmt.Errorf("adding stage %s: %w", stage.Name, err)
		}
		for k := range stage.Jobs {
			position++
			j := &jobRow{id: s.clock.NewID(), run: r.Number, stage: stage.Name, name: stage.Jobs[k].Name, position: position, status: plan.Pending, attempt: 1}
			if env := stage.Jobs[k].Environment; env != nil && r.Pull == 0 {
				j.environment = env.Name
			}
			if err := insertJob(ctx, tx, j); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) runFact(kind string, r *runRow, actor string) event.Fact {
	return event.Fact{
		Type: kind, Subject: event.OfRun(r.Number), Project: r.Project, Actor: actor,
		Payload: event.Run{
			V: 1, Run: r.Number, Name: r.Name, Repo: r.Repo, Ref: r.Ref, Commit: r.Commit, Title: r.Title, Reason: r.Reason, Pipeline: r.File,
			Pull: r.Pull, Head: r.Head, TriggeredBy: r.TriggeredBy, Repositories: linkedRepos(r.plan, r.Project),
		},
		Links: []event.Link{{Rel: event.RelBuiltFrom, To: event.Of(event.KindCommit, r.Commit)}},
	}
}

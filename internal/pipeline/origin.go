package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// reasonResource is the Build.Reason of the runs that a resource starts (P003).
const reasonResource = "ResourceTrigger"

// The categories of what starts a pipeline from outside: resources.triggeringCategory.
const (
	categoryPipeline   = "pipeline"
	categoryContainer  = "container"
	categoryRepository = "repository"
	categoryWebhook    = "webhook"
	categoryPackage    = "package"
	categoryBuild      = "build"
)

// maxChain is how many runs may start each other in a row.
const maxChain = 20

// Origin is what started a run from outside of its repository (J005 to J007).
type Origin struct {
	Category string `json:"category"`
	Alias    string `json:"alias"` // of the resource
	// Run is the run that ended, or that pushed the image; 0 when there is none. The rest is
	// of the run that ended.
	Run     int64  `json:"run,omitempty"`
	Name    string `json:"name,omitempty"`
	Repo    string `json:"repo,omitempty"`
	File    string `json:"file,omitempty"`
	Project string `json:"project,omitempty"`
	// Image, Tag and Digest are of the image that was pushed, "shop/web".
	Image  string `json:"image,omitempty"`
	Tag    string `json:"tag,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Ref and Commit are of the push to a repository resource.
	Ref    string `json:"ref,omitempty"`
	Commit string `json:"commit,omitempty"`
	// Version is the new one of a package, or the number of a build.
	Version string `json:"version,omitempty"`
	// Payload is what a webhook brought, as JSON.
	Payload json.RawMessage `json:"payload,omitempty"`
}

// key names the pipeline of the run that ended.
func (o *Origin) key() string { return Key(o.Repo, o.File) }

// variables are those that only runs with an origin have (P002).
func (o *Origin) variables(definition int64, name string) [][2]string {
	out := [][2]string{{"resources.triggeringAlias", o.Alias}, {"resources.triggeringCategory", o.Category}}
	if o.Category != categoryPipeline {
		return out
	}
	return append(out, [2]string{"Build.TriggeredBy.BuildId", strconv.FormatInt(o.Run, 10)}, [2]string{"Build.TriggeredBy.BuildNumber", o.Name},
		[2]string{"Build.TriggeredBy.DefinitionId", strconv.FormatInt(definition, 10)}, [2]string{"Build.TriggeredBy.DefinitionName", name},
		[2]string{"Build.TriggeredBy.ProjectID", o.Project})
}

// arrival is the payload of a job that starts a run for an origin.
type arrival struct {
	Repo    string `json:"repo"` // key of the pipeline that starts
	Project string `json:"project"`
	Cause   string `json:"cause"`
	Origin  Origin `json:"origin"`
	// Before and Trigger are of the push to a repository resource: its paths are compared
	// when the run is to start.
	Before  string        `json:"before,omitempty"`
	Trigger *plan.Trigger `json:"trigger,omitempty"`
}

// watch is a resource of the file on a default branch that starts its pipeline.
type watch struct {
	pipeline, project, category, source string // the pipeline by its key
	body                                []byte
}

// into decodes the resource; rows are written by this program alone.
func (w watch) into(v any) error {
	if err := json.Unmarshal(w.body, v); err != nil {
		return fmt.Errorf("reading a trigger of %s: %w", w.pipeline, err)
	}
	return nil
}

// arrive has a run started for what a watch waited for.
func (s *Service) arrive(ctx context.Context, tx *store.Tx, w watch, cause string, a arrival) error {
	a.Repo, a.Project, a.Cause = w.pipeline, w.project, fmt.Sprintf("%s:%s:%s", cause, w.pipeline, strings.ToLower(a.Origin.Alias))
	return s.queue.Enqueue(ctx, tx, kindOrigin, a.Cause, a)
}

// onOrigin starts the run of an arrival on the default branch. It may be repeated.
func (s *Service) onOrigin(ctx context.Context, payload json.RawMessage) error {
	var a arrival
	if err := json.Unmarshal(payload, &a); err != nil {
		return fmt.Errorf("reading what starts a run: %w", err)
	}
	if a.Trigger != nil {
		c := event.CommitPushed{Repo: a.Origin.Repo, Ref: a.Origin.Ref, Before: a.Before, Commit: a.Origin.Commit}
		if ok, err := s.triggers(ctx, *a.Trigger, c); err != nil || !ok {
			return err
		}
	}
	ref, commit, title, err := s.resolve(ctx, system(), a.Repo, "")
	if fault.Is(err, fault.NotFound) {
		return nil // The repository is gone, or has no commit.
	}
	if err != nil {
		return err
	}
	repo, file := SplitKey(a.Repo)
	o := Order{
		Repo: repo, File: file, Project: a.Project, Ref: ref, Commit: commit, Title: title, Reason: reasonResource, Requester: platform, Origin: &a.Origin,
		cause: a.Cause, actor: system().String(),
	}
	circle, err := s.circle(ctx, a.Origin.Run, a.Repo)
	if err != nil {
		return err
	}
	if circle != "" {
		return s.refuseStart(ctx, o, fault.New(fault.Invalid, "%s", circle))
	}
	return s.startOrRefuse(ctx, o)
}

// circle says why a run must not start another pipeline: that pipeline stands in the chain of
// runs behind it already, so that they would start each other for ever.
func (s *Service) circle(ctx context.Context, run int64, key string) (string, error) {
	var chain []string
	for n := run; n > 0; {
		if len(chain) == maxChain {
			return fmt.Sprintf("Pipelines that start each other end after %d runs: %s", maxChain, strings.Join(chain, " ← ")), nil
		}
		var from, file string
		var before int64
		err := s.db.QueryRow(ctx, `SELECT repo, file, triggered_by FROM pipeline_run WHERE number = ?`, n).Scan(&from, &file, &before)
		if errors.Is(err, errNoRows) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("following what started run %d: %w", n, err)
		}
		from = Key(from, file)
		chain = append(chain, fmt.Sprintf("%s (run %d)", from, n))
		if from == key {
			return fmt.Sprintf("The trigger leads in a circle: %s ← %s", key, strings.Join(chain, " ← ")), nil
		}
		n = before
	}
	return "", nil
}

// used finds the run behind a pipeline resource: the one that started this run, or the newest
// that succeeded with the branch, the tags and the name that the resource asks for. It is nil
// when there is none. A pipeline of another project must have permitted this one to use its
// repository.
func (s *Service) used(ctx context.Context, o Order, res *plan.PipelineResource) (*plan.UsedRun, error) {
	key, err := s.resourceKey(ctx, o, res.Project, res.Source)
	if err != nil {
		return nil, err
	}
	if o.Origin != nil && o.Origin.Category == categoryPipeline && strings.EqualFold(o.Origin.Alias, res.Alias) && o.Origin.key() == key {
		return s.usedRun(ctx, `number = ?`, o.Origin.Run)
	}
	return s.newest(ctx, key, res, succeededResults)
}

// newest finds the newest run of a pipeline that a resource could mean.
func (s *Service) newest(ctx context.Context, key string, res *plan.PipelineResource, results []plan.Result) (*plan.UsedRun, error) {
	repo, file := SplitKey(key)
	where, args := `repo = ? AND file = ? AND pull = 0 AND status = 'Completed'`, []any{repo, file}
	if res.Version != "" {
		where, args = where+` AND name = ?`, append(args, res.Version)
	} else {
		where += ` AND result IN (?` + strings.Repeat(",?", len(results)-1) + `)`
		for _, r := range results {
			args = append(args, string(r))
		}
	}
	if res.Branch != "" {
		where, args = where+` AND ref = ?`, append(args, "refs/heads/"+strings.TrimPrefix(res.Branch, "refs/heads/"))
	}
	for _, tag := range res.Carries {
		where += ` AND EXISTS (SELECT 1 FROM pipeline_tag t WHERE t.run = pipeline_run.number AND t.folded = ?)`
		args = append(args, strings.ToLower(tag))
	}
	return s.usedRun(ctx, where, args...)
}

// sourceName is "project/name" of the pipeline that a resource of a project names: by its name,
// which may stand below its folder, by the name of its repository, or by both.
func sourceName(own, project, source string) string {
	source = source[strings.LastIndexByte(source, '\\')+1:]
	if project != "" {
		source = project + "/" + source[strings.LastIndexByte(source, '/')+1:]
	}
	return strings.ToLower(fullName(own, source))
}

// resourceKey is the key of the pipeline that a resource names, when the pipeline of an order
// may use it.
func (s *Service) resourceKey(ctx context.Context, o Order, project, source string) (string, error) {
	key := sourceName(o.Project, project, source)
	other, name, _ := strings.Cut(key, "/")
	all, err := definitions(ctx, s.db, other+"/")
	if err != nil {
		return "", err
	}
	if d, ok := pick(all, name); ok {
		key = d.Key()
	}
	repo, _ := SplitKey(key)
	_, short, _ := strings.Cut(repo, "/")
	if other == o.Project {
		return key, nil
	}
	res := check.Resource{Kind: check.Repository, Project: other, Name: short}
	if err := res.Check(); err != nil {
		return "", err
	}
	ok, err := s.checks.Permitted(ctx, s.db, res, o.key())
	if err != nil {
		return "", err
	}
	if !ok {
		// The same words for a pipeline that does not exist: nobody learns of other projects.
		return "", fmt.Errorf("there is no pipeline %s that %s may use; who maintains project %s may let it: towpath check permit repository/%s %s --project %s",
			source, o.key(), other, short, o.key(), other)
	}
	return key, nil
}

func (s *Service) usedRun(ctx context.Context, where string, args ...any) (*plan.UsedRun, error) {
	r, err := scanRun(s.db.QueryRow(ctx, `SELECT `+runColumns+` FROM pipeline_run WHERE `+where+` ORDER BY number DESC LIMIT 1`, args...))
	if errors.Is(err, errNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("finding the run of a pipeline resource: %w", err)
	}
	d, err := s.definition(ctx, r.Key())
	return &plan.UsedRun{Pipeline: d.ID, PipelineName: d.Name, Number: r.Number, Name: r.Name, Repo: r.Repo, Ref: r.Ref, Commit: r.Commit, Requester: r.Requester}, err
}

// pinResources writes into a plan which runs its pipeline resources are, and the image that
// started it.
func (s *Service) pinResources(ctx context.Context, o Order, p *plan.Plan) error {
	for i := range p.Resources.Pipelines {
		res := &p.Resources.Pipelines[i]
		used, err := s.used(ctx, o, res)
		if err != nil {
			return fmt.Errorf("the pipeline %s: %w", res.Alias, err)
		}
		res.Used = used
	}
	s.pinFeeds(ctx, o, p)
	if o.Origin != nil && o.Origin.Category == categoryContainer {
		p.UseImage(o.Origin.Alias, s.opts.Registry+"/"+o.Origin.Image+":"+o.Origin.Tag)
	}
	return nil
}

// payloads are what the webhook of an order brought, by alias.
func (o Order) payloads() map[string][]byte {
	if o.Origin == nil || o.Origin.Category != categoryWebhook {
		return nil
	}
	return map[string][]byte{o.Origin.Alias: o.Origin.Payload}
}

// noteOrigin keeps what started a run, for its second run and for who reads it.
func noteOrigin(ctx context.Context, tx *store.Tx, r *runRow, o Order) error {
	if o.Origin == nil {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE pipeline_run SET origin = ?, triggered_by = ? WHERE number = ?`, text(o.Origin), r.TriggeredBy, r.Number)
	if err != nil {
		return fmt.Errorf("noting what started run %d: %w", r.Number, err)
	}
	return nil
}

// originOf reads what started a run; nil when nothing outside of its repository did.
func (s *Service) originOf(ctx context.Context, n int64) (*Origin, error) {
	var raw string
	if err := s.db.QueryRow(ctx, `SELECT origin FROM pipeline_run WHERE number = ?`, n).Scan(&raw); err != nil {
		return nil, fmt.Errorf("reading what started run %d: %w", n, err)
	}
	if raw == "" {
		return nil, nil
	}
	var o Origin
	if err := json.Unmarshal([]byte(raw), &o); err != nil {
		return nil, fmt.Errorf("reading what started run %d: %w", n, err)
	}
	return &o, nil
}

// pushedImage is a push of an image as watches see it.
func pushedImage(p event.ImagePushed, alias string) Origin {
	return Origin{Category: categoryContainer, Alias: alias, Run: p.Run, Image: p.Repository, Tag: p.Tag, Digest: p.Digest}
}

// succeededResults are the results that let other pipelines go on.
var succeededResults = []plan.Result{plan.Succeeded, plan.SucceededWithIssues}

// succeeded reports whether a result lets other pipelines go on.
func succeeded(r plan.Result) bool {
	return slices.Contains(succeededResults, r)
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/render"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/pull"
)

// The checks that the platform reports.
const (
	checkPolicy       = "policy"
	checkDependencies = "dependencies"
)

// judge answers for pull requests what the cluster would say: it renders what each target
// environment would get, asks policy, and reports the answer as a check with a line of
// the source for every violation.
type judge struct {
	pulls    *pull.Service
	source   *source.Service
	pipeline *pipeline.Service
	deploy   *deploy.Service
	policy   *policy.Service
	cluster  string        // its name as a place
	version  func() string // of Kubernetes there, "" when unknown
	advise   advisories
}

// rendered is what one target of a pipeline would get.
type rendered struct {
	target pipeline.Target
	place  rule.Place
	result render.Result
}

// judgement is the payload of the jobs about a pull request.
type judgement struct {
	Repo   string `json:"repo"`
	Number int64  `json:"number"`
	Run    int64  `json:"run,omitempty"`
}

func judgeActor() identity.Actor  { return identity.SystemActor("policy") }
func dependActor() identity.Actor { return identity.SystemActor("dependencies") }

// judgePolicy renders and judges the head of a pull request. It may be repeated.
func (j *judge) judgePolicy(ctx context.Context, payload json.RawMessage) error {
	var in judgement
	if err := json.Unmarshal(payload, &in); err != nil {
		return fmt.Errorf("reading a pull request to judge: %w", err)
	}
	who := judgeActor()
	p, err := j.pulls.Get(ctx, who, in.Repo, in.Number)
	if fault.Is(err, fault.NotFound) || err == nil && p.State != pull.Open {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := j.pulls.Report(ctx, who, p.Repo, p.Head, pull.Check{Name: checkPolicy, State: pull.Running, Title: "rendering and judging"}); err != nil {
		return err
	}
	c, err := j.verdict(ctx, p)
	if err != nil {
		if fault.KindOf(err) == fault.Internal || ctx.Err() != nil {
			return err // Another attempt may go better.
		}
		message, next := fault.Public(err)
		c = pull.Check{Name: checkPolicy, State: pull.Error, Title: "could not be judged", Summary: strings.TrimSpace(message + "\n\n" + next)}
	}
	_, err = j.pulls.Report(ctx, who, p.Repo, p.Head, c)
	return err
}

// verdict judges every target of the pull request's head and makes a check of it.
func (j *judge) verdict(ctx context.Context, p pull.Pull) (pull.Check, error) {
	c := pull.Check{Name: checkPolicy, State: pull.Neutral, Title: "this commit deploys nothing"}
	all, err := j.render(ctx, p.Repo, p.Head, "")
	if err != nil || len(all) == 0 {
		return c, err
	}
	project, _, _ := strings.Cut(p.Repo, "/")
	var said []string
	c.State = pull.Success
	judged, refused, audited := 0, 0, 0
	for _, r := range all {
		q := policy.Question{
			Point: policy.PointPull, Actor: identity.KindUser + ":" + p.Author, Project: project, Environment: r.place.Environment,
			Judges: []event.Subject{event.Of(event.KindPull, fmt.Sprintf("%s/%d", p.Repo, p.Number)), event.Of(event.KindCommit, p.Head)},
			Commit: p.Head, Pull: p.Number, Record: policy.RecordAll,
		}
		for i := range r.result.Objects {
			o := &r.result.Objects[i]
			q.Objects = append(q.Objects, policy.Object{
				Review: o.Review(r.place), Source: policy.Source{File: o.Source.File, Line: o.Source.Line, Lines: o.Lines},
			})
		}
		if len(q.Objects) == 0 {
			continue
		}
		d, err := j.policy.Decide(ctx, q)
		if err != nil {
			return c, err
		}
		judged += len(d.Objects)
		notes, no, maybe := annotations(d)
		c.Annotations = append(c.Annotations, notes...)
		refused, audited = refused+no, audited+maybe
		said = append(said, summary(r, d))
		if !d.Allowed {
			c.State = pull.Failure
			c.URL = "/projects/" + project + "/policy/decisions/" + d.ID
		}
	}
	c.Summary = strings.Join(said, "\n")
	switch {
	case refused > 0:
		c.Title = fmt.Sprintf("%s would be refused", plural(refused, "violation"))
	case c.State == pull.Failure:
		c.Title = "a rule could not judge"
	case audited > 0:
		c.Title = fmt.Sprintf("%s allowed, %s noted", plural(judged, "object"), plural(audited, "violation"))
	default:
		c.Title = plural(judged, "object") + " allowed"
	}
	return c, nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// summary is a decision in a paragraph of Markdown.
func summary(r rendered, d policy.Decision) string {
	word := "allows"
	if !d.Allowed {
		word = "refuses"
	}
	s := fmt.Sprintf("**%s** (namespace `%s`) %s %s; policy set `%s`, decision `%s`.", r.place.Environment, r.place.Namespace, word,
		plural(len(d.Objects), "object"), d.Set, d.ID)
	for _, w := range r.result.Warnings {
		s += "\n- " + w
	}
	if len(r.result.Unknown) > 0 {
		s += "\n- Only a run knows `" + strings.Join(r.result.Unknown, "`, `") + "`: rendered with stand-ins."
	}
	return s
}

// annotations turns what a decision found into words on lines. refused counts the
// violations that refuse, audited the others.
func annotations(d policy.Decision) (out []pull.Annotation, refused, audited int) {
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			level := pull.LevelWarning
			switch {
			case v.Outcome == rule.Compliant || v.Outcome == rule.Exempt:
				continue
			case v.Refuses:
				level = pull.LevelFailure
			}
			title := v.Title + " (" + v.Assignment + " / " + v.Reference + ")"
			if v.Outcome == rule.Error {
				out = append(out, pull.Annotation{Path: fileOf(v, 0), Level: level, Title: title, Message: "could not judge: " + v.Why, Rule: v.Assignment + "/" + v.Reference})
				continue
			}
			for i, violation := range v.Violations {
				if v.Refuses {
					refused++
				} else {
					audited++
				}
				a := pull.Annotation{
					Path: fileOf(v, i), Level: level, Title: title, Fix: v.Fix, Rule: v.Assignment + "/" + v.Reference,
					Message: fmt.Sprintf("%s %s: %s", o.Kind, o.Name, violation.Message),
				}
				if violation.Path != "" {
					a.Message = fmt.Sprintf("%s %s, %s: %s", o.Kind, o.Name, violation.Path, violation.Message)
				}
				if i < len(v.At) {
					a.StartLine, a.EndLine = v.At[i].Line, v.At[i].Line
				}
				out = append(out, a)
			}
		}
	}
	return out, refused, audited
}

func fileOf(v policy.Located, i int) string {
	if i < len(v.At) && v.At[i].File != "" {
		return v.At[i].File
	}
	return pipeline.File
}

// render renders what each target of a commit's pipeline would get; environment "" means
// all of them.
func (j *judge) render(ctx context.Context, repo, commit, environment string) ([]rendered, error) {
	project, _, _ := strings.Cut(repo, "/")
	targets, err := j.pipeline.Targets(ctx, judgeActor(), repo, commit)
	if err != nil {
		return nil, err
	}
	var out []rendered
	for _, t := range targets {
		if environment != "" && t.Environment != environment {
			continue
		}
		place, err := j.place(ctx, project, t)
		if err != nil {
			return nil, err
		}
		r := rendered{target: t, place: place}
		switch {
		case t.Why != "":
			r.result.Warnings = []string{fmt.Sprintf("%s:%d is not rendered: %s", t.File, t.Line, t.Why)}
		case t.ChartPath != "":
			r.result, err = j.chart(ctx, repo, commit, t, place)
		default:
			r.result, err = j.manifests(ctx, repo, commit, t, place)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// place is where a target deploys to; an environment that is not made yet gets the
// namespace that it would be made with.
func (j *judge) place(ctx context.Context, project string, t pipeline.Target) (rule.Place, error) {
	p := rule.Place{Cluster: j.cluster, Namespace: t.Namespace, Project: project, Environment: t.Environment}
	env, err := j.deploy.Environment(ctx, judgeActor(), project, t.Environment)
	switch {
	case err == nil:
		p.Namespace = env.Namespace
	case !fault.Is(err, fault.NotFound):
		return p, err
	case p.Namespace == "":
		p.Namespace = project + "-" + t.Environment
	}
	return p, nil
}

func (j *judge) chart(ctx context.Context, repo, commit string, t pipeline.Target, place rule.Place) (render.Result, error) {
	files, err := j.folder(ctx, repo, commit, t.ChartPath)
	if err != nil {
		return render.Result{}, err
	}
	c := render.Chart{
		Files: files, Base: path.Clean(t.ChartPath), Release: t.Release, Namespace: place.Namespace, Set: t.Set, KubeVersion: j.version(),
	}
	if len(t.Unknown) > 0 || t.Reuse {
		values, err := j.deploy.Values(ctx, judgeActor(), place.Project, place.Environment, t.Release)
		if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Unavailable) {
			return render.Result{}, err
		}
		// Only digests are taken over: what else a run was given may be a secret.
		c.Reuse = digestsOnly(values)
	}
	for _, name := range t.ValueFiles {
		b, err := j.source.File(ctx, judgeActor(), repo, commit, name)
		if err != nil {
			return render.Result{}, fault.Wrap(fault.KindOf(err), err, "The values file %s of %s cannot be read.", name, t.Environment)
		}
		c.Values = append(c.Values, render.File{Name: name, Data: b})
	}
	return render.Render(ctx, c)
}

var wholeDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// digestsOnly keeps the values that are digests, and the maps that hold some.
func digestsOnly(in map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range in {
		switch v := v.(type) {
		case string:
			if wholeDigest.MatchString(v) {
				out[k] = v
			}
		case map[string]any:
			if m := digestsOnly(v); len(m) > 0 {
				out[k] = m
			}
		}
	}
	return out
}

// maxTree bounds how many files of a folder are read to render it.
const maxTree = 2000

// settled waits for the test merge of a pull request, which is made a moment after its
// head moved.
func (j *judge) settled(ctx context.Context, in judgement) (pull.Pull, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		p, err := j.pulls.Get(ctx, judgeActor(), in.Repo, in.Number)
		if err != nil || p.Test != "" || len(p.Conflicts) > 0 || p.State != pull.Open {
			return p, err
		}
		select {
		case <-ctx.Done():
			return p, errors.New("the test merge is not made yet")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

package web

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/web/page"
)

// commitsCompared is how far back the commits between two runs are looked for.
const commitsCompared = 100

// lastGreen is the run before this one of the same pipeline that succeeded: of the same
// branch, else of the default branch; 0 for none.
func (h *handler) lastGreen(r request, run pipeline.Run) (int64, error) {
	refs := []string{run.Ref}
	if repo, err := h.Source.Repo(r.Context(), r.actor, run.Repo); err == nil && "refs/heads/"+repo.DefaultBranch != run.Ref {
		refs = append(refs, "refs/heads/"+repo.DefaultBranch)
	}
	for _, ref := range refs {
		list, err := h.Pipeline.Runs(r.Context(), r.actor, pipeline.Filter{Project: run.Project, Repo: run.Repo, Ref: ref, Result: plan.Succeeded, Before: run.Number, Limit: 20})
		if err != nil {
			return 0, err
		}
		for _, other := range list {
			if other.File == run.File && other.Number < run.Number {
				return other.Number, nil
			}
		}
	}
	return 0, nil
}

// compareRuns compares a run with another one of its project, the last green one when the
// address names none.
func (h *handler) compareRuns(r request, d *pipeline.Detail, v *page.RunView) error {
	with := v.Base
	if n, err := strconv.ParseInt(r.query("with"), 10, 64); err == nil && n > 0 {
		with = n
	}
	if with == 0 {
		return nil
	}
	base, err := h.Pipeline.Show(r.Context(), r.actor, with)
	if err != nil {
		return err
	}
	if base.Project != d.Project {
		return fault.New(fault.Invalid, "Run %d belongs to another project.", with).WithNext("compare with a run of %s", d.Project)
	}
	c := &page.RunComparison{Base: runOf(base.Run), Rows: compareSteps(base, d)}
	if err := h.compareGiven(r, base, d, c); err != nil {
		return err
	}
	if err := h.compareCommits(r, base, d, c); err != nil {
		return err
	}
	v.Compared = c
	return h.compareTests(r, base, d, c)
}

// timed is a step or a job with its duration.
type timed struct {
	title string
	took  time.Duration
	state page.State
	word  string
}

// durations lists the jobs and steps of a run by a key that the same one of another run has.
func durations(d *pipeline.Detail) (keys []string, by map[string]timed) {
	by = map[string]timed{}
	add := func(key, title string, status plan.Status, result plan.Result, started, finished time.Time) {
		for n := 2; by[key].title != ""; n++ {
			key = strings.TrimRight(key, "0123456789") + strconv.Itoa(n)
		}
		t := timed{title: title, took: -1}
		t.state, t.word = state(status, result)
		if !started.IsZero() && !finished.IsZero() {
			t.took = finished.Sub(started)
		}
		keys, by[key] = append(keys, key), t
	}
	for _, st := range d.Stages {
		for _, j := range st.Jobs {
			add(j.Path+"\x00", jobTitle(st, j), j.Status, j.Result, j.Started, j.Finished)
			for _, s := range j.Steps {
				name := orElse(s.DisplayName, s.Task)
				add(j.Path+"\x00"+name+"\x00", name, s.Status, s.Result, s.Started, s.Finished)
			}
		}
	}
	return keys, by
}

// compareSteps pairs the jobs and steps of two runs, in the order of the newer one; what
// only the older one had stands at the end.
func compareSteps(base, d *pipeline.Detail) []page.CompareRow {
	oldKeys, old := durations(base)
	keys, now := durations(d)
	var out []page.CompareRow
	row := func(key string) {
		a, was := old[key]
		b, is := now[key]
		one := page.CompareRow{Title: b.title, Job: strings.Count(key, "\x00") == 1, State: b.state, Word: b.word, Before: a.took, Now: b.took, Was: a.state, WasWord: a.word}
		switch {
		case !was:
			one.Only, one.Before = "new", -1
		case !is:
			one.Only, one.Title, one.Now, one.State, one.Word = "gone", a.title, -1, page.Wait, "gone"
		}
		out = append(out, one)
	}
	for _, k := range keys {
		row(k)
	}
	for _, k := range oldKeys {
		if _, is := now[k]; !is {
			row(k)
		}
	}
	return out
}

func (h *handler) compareGiven(r request, base, d *pipeline.Detail, c *page.RunComparison) error {
	before, err := h.Pipeline.Given(r.Context(), r.actor, base.Number)
	if err != nil {
		return err
	}
	now, err := h.Pipeline.Given(r.Context(), r.actor, d.Number)
	if err != nil {
		return err
	}
	c.Given = append(changes("parameter", before.Parameters, now.Parameters), changes("variable", before.Variables, now.Variables)...)
	return nil
}

// changes lists what differs between two sets of values, by name.
func changes(kind string, before, now map[string]string) []page.GivenChange {
	var out []page.GivenChange
	names := map[string]bool{}
	for n := range before {
		names[n] = true
	}
	for n := range now {
		names[n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		a, was := before[n]
		b, is := now[n]
		if a != b || was != is {
			out = append(out, page.GivenChange{Kind: kind, Name: n, Before: a, Now: b, Was: was, Is: is})
		}
	}
	return out
}

// compareCommits lists the commits that the newer run has and the older one has not.
func (h *handler) compareCommits(r request, base, d *pipeline.Detail, c *page.RunComparison) error {
	if base.Repo != d.Repo || base.Commit == d.Commit {
		return nil
	}
	list, _, err := h.Source.Commits(r.Context(), r.actor, d.Repo, d.Commit, "", 1, commitsCompared)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return nil // The commit was on a branch that is gone.
		}
		return err
	}
	for _, one := range list {
		if one.Hash == base.Commit {
			c.Joined = true
			break
		}
		c.Commits = append(c.Commits, one)
	}
	return nil
}

// compareTests finds the tests that fail now and did not then, and the other way round.
func (h *handler) compareTests(r request, base, d *pipeline.Detail, c *page.RunComparison) error {
	failures := func(n int64) (map[string]page.Failure, error) {
		sets, err := h.Pipeline.Tests(r.Context(), r.actor, n)
		out := map[string]page.Failure{}
		for _, set := range sets {
			for _, f := range set.Failures {
				out[f.Suite+"\x00"+f.Name] = page.Failure{Set: set.Title, Failure: f}
			}
		}
		return out, err
	}
	was, err := failures(base.Number)
	if err != nil {
		return err
	}
	is, err := failures(d.Number)
	if err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(is)) {
		if _, before := was[k]; before {
			c.StillFailing++
		} else {
			c.NewlyFailing = append(c.NewlyFailing, is[k])
		}
	}
	for k := range was {
		if _, now := is[k]; !now {
			c.Mended++
		}
	}
	return nil
}

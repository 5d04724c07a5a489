package web

import (
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/web/page"
)

// barsOf are the rows of a run's timeline: each job with its steps below it.
func barsOf(d *pipeline.Detail) []page.Lane {
	var out []page.Lane
	for _, st := range d.Stages {
		if !st.Held.IsZero() {
			out = append(out, page.Lane{Title: orElse(st.DisplayName, st.Name), State: page.Held, Word: "held", Queued: st.Held, Hold: true})
		}
		for _, j := range st.Jobs {
			s, word := state(j.Status, j.Result)
			bar := page.Lane{Title: jobTitle(st, j), State: s, Word: word, Queued: j.Queued, Started: j.Started, Finished: j.Finished, Agent: j.Agent, Job: j.Path}
			for _, p := range j.Steps {
				s, word := state(p.Status, p.Result)
				bar.Steps = append(bar.Steps, page.Lane{Title: orElse(p.DisplayName, p.Task), State: s, Word: word, Started: p.Started, Finished: p.Finished, Job: j.Path, Step: p.Number})
			}
			out = append(out, bar)
		}
	}
	return out
}

package plan

import (
	"slices"
	"strings"
)

// inlineScheme begins the repository of a checkout that no resource declares:
// "git://PROJECT/REPO" or "git://PROJECT/REPO@REF"
// (learn.microsoft.com/azure/devops/pipelines/repos/multi-repo-checkout, inline syntax checkout).
const inlineScheme = "git://"

// inline declares the repositories that checkouts name in that way, by the whole text as their
// alias: what holds for resources, that they are pinned, permitted and lent, holds for them.
func (p *Plan) inline() {
	for i := range p.Stages {
		for k := range p.Stages[i].Jobs {
			job := &p.Stages[i].Jobs[k]
			p.inlineOf(job.Steps)
			if job.Strategy == nil {
				continue
			}
			for _, h := range job.Strategy.Hooks {
				p.inlineOf(h.Steps)
			}
		}
	}
}

func (p *Plan) inlineOf(steps []Step) {
	for _, s := range steps {
		text := s.Inputs["repository"]
		rest, ok := strings.CutPrefix(text, inlineScheme)
		if s.Task != TaskCheckout || !ok || slices.ContainsFunc(p.Resources.Repositories, func(r Repository) bool { return strings.EqualFold(r.Alias, text) }) {
			continue
		}
		name, ref, _ := strings.Cut(rest, "@")
		p.Resources.Repositories = append(p.Resources.Repositories, Repository{Alias: text, Type: "git", Name: strings.Trim(name, "/"), Ref: ref})
	}
}

// Inline reports whether a checkout alone declares the repository.
func (r *Repository) Inline() bool { return strings.HasPrefix(r.Alias, inlineScheme) }

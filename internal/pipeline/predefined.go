package pipeline

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// pipelineVariables are those about the runs behind pipeline resources (P008):
// resources.pipeline.ALIAS.projectID, .projectName, .pipelineName, .pipelineID, .runName,
// .runID, .runURI, .sourceBranch, .sourceCommit, .sourceProvider, .requestedFor and
// .requestedForID. A resource without a run has none.
func pipelineVariables(p *plan.Plan) []plan.Value {
	var out []plan.Value
	for _, r := range p.Resources.Pipelines {
		u := r.Used
		if u == nil {
			continue
		}
		project := projectOf(u.Repo)
		n := strconv.FormatInt(u.Number, 10)
		for _, kv := range [][2]string{
			{"projectID", project}, {"projectName", project}, {"pipelineName", u.PipelineName}, {"pipelineID", strconv.FormatInt(u.Pipeline, 10)}, {"runName", u.Name}, {"runID", n},
			{"runURI", "vstfs:///Build/Build/" + n}, {"sourceBranch", u.Ref}, {"sourceCommit", u.Commit}, {"sourceProvider", "TfsGit"},
			{"requestedFor", u.Requester}, {"requestedForID", u.Requester},
		} {
			out = append(out, plan.Value{Name: "resources.pipeline." + r.Alias + "." + kv[0], Text: kv[1], ReadOnly: true})
		}
	}
	return out
}

// resourceVariables are the variables about the containers and the repositories that the
// pipeline names as resources (P008): resources.container.ALIAS.image and its parts,
// resources.repositories.ALIAS.name, .ref, .id, .type, .url and, where it is pinned, .version.
func (s *Service) resourceVariables(p *plan.Plan, project string) []plan.Value {
	var out []plan.Value
	add := func(name, text string) {
		out = append(out, plan.Value{Name: name, Text: text, ReadOnly: true})
	}
	for _, c := range p.Resources.Containers {
		registry, repository, tag, digest := splitImage(c.Container.Image)
		at := "resources.container." + c.Alias + "."
		for _, kv := range [][2]string{
			{"image", c.Container.Image}, {"uri", c.Container.Image}, {"registry", registry}, {"repository", repository}, {"tag", tag}, {"digest", digest},
		} {
			add(at+kv[0], kv[1])
		}
	}
	for _, r := range p.Resources.Repositories {
		if r.Inline() {
			continue // It has no alias that a variable could be called by.
		}
		name := r.Name
		if !strings.Contains(name, "/") {
			name = project + "/" + name
		}
		at := "resources.repositories." + r.Alias + "."
		for _, kv := range [][2]string{{"name", r.Name}, {"id", name}, {"ref", r.Ref}, {"type", r.Type}, {"url", s.cloneURL(name)}, {"version", r.Commit}} {
			add(at+kv[0], kv[1])
		}
	}
	return out
}

// splitImage takes the name of an image apart: "host:5000/shop/web:1.2@sha256:…".
func splitImage(image string) (registry, repository, tag, digest string) {
	image, digest, _ = strings.Cut(image, "@")
	if host, rest, ok := strings.Cut(image, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		registry, image = host, rest
	}
	if at := strings.LastIndexByte(image, ':'); at >= 0 {
		return registry, image[:at], image[at+1:], digest
	}
	if digest == "" {
		tag = "latest"
	}
	return registry, image, tag, digest
}

package azure

import (
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// toDefinition shows a pipeline, for build/definitions and pipelines alike.
func (s *server) toDefinition(d pipeline.Definition) map[string]any {
	project, _, _ := strings.Cut(d.Repo, "/")
	queue := "enabled"
	if d.Disabled {
		queue = "disabled"
	}
	at := s.path(project, fmt.Sprintf("pipelines/%d", d.ID))
	return map[string]any{
		"id": d.ID, "name": d.Name, "folder": d.Folder, "path": d.Folder, "revision": 1, "url": at, "type": "build", "queueStatus": queue, "project": ref{ID: project, Name: project},
		"configuration": map[string]any{"type": "yaml", "path": "/" + d.File, "repository": ref{ID: d.Repo, Type: "azureReposGit"}},
		"_links":        map[string]link{"self": {at}, "web": {s.url + "/projects/" + project + "/runs"}},
	}
}

func (s *server) definitions(c *call) (any, error) {
	got, err := s.pipeline.Definitions(c.ctx, c.actor, c.project)
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	name := c.r.URL.Query().Get("name")
	for _, d := range got {
		if name == "" || strings.EqualFold(name, d.Name) {
			out = append(out, s.toDefinition(d))
		}
	}
	return list(out), nil
}

func (s *server) pipelines(c *call) (any, error) { return s.definitions(c) }

func (s *server) definition(c *call) (any, error) {
	d, err := s.pipeline.Definition(c.ctx, c.actor, c.project, c.r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return s.toDefinition(d), nil
}

// toRun shows a run as pipelines/N/runs does.
func (s *server) toRun(r pipeline.Run, d pipeline.Definition) map[string]any {
	at := s.path(r.Project, fmt.Sprintf("pipelines/%d/runs/%d", d.ID, r.Number))
	out := map[string]any{
		"id": r.Number, "name": r.Name, "state": "inProgress", "createdDate": r.Queued, "url": at,
		"pipeline":  map[string]any{"id": d.ID, "name": d.Name, "folder": d.Folder, "revision": 1, "url": s.path(r.Project, fmt.Sprintf("pipelines/%d", d.ID))},
		"resources": map[string]any{"repositories": map[string]any{"self": map[string]any{"refName": r.Ref, "version": r.Commit, "repository": ref{ID: r.Repo, Type: "azureReposGit"}}}},
		"_links":    map[string]link{"self": {at}, "web": {fmt.Sprintf("%s/projects/%s/runs/%d", s.url, r.Project, r.Number)}},
	}
	if r.Status == plan.Completed {
		out["state"], out["finishedDate"], out["result"] = "completed", r.Finished, lower(string(r.Result))
		if r.Result == plan.SucceededWithIssues {
			out["result"] = "succeeded" // This part of the API has no other word for it.
		}
	}
	return out
}

func (s *server) runs(c *call) (any, error) {
	d, err := s.pipeline.Definition(c.ctx, c.actor, c.project, c.r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	got, err := s.pipeline.Runs(c.ctx, c.actor, pipeline.Filter{Repo: d.Repo, File: d.File, Limit: 200})
	if err != nil {
		return nil, err
	}
	out := make([]map[string]any, len(got))
	for i, r := range got {
		out[i] = s.toRun(r, d)
	}
	return list(out), nil
}

func (s *server) run(c *call) (any, error) {
	d, err := s.pipeline.Definition(c.ctx, c.actor, c.project, c.r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	r, err := s.detail(c, "run")
	if err != nil {
		return nil, err
	}
	if r.Key() != d.Key() {
		return nil, fault.New(fault.NotFound, "The pipeline %s has no run %d.", d.Name, r.Number)
	}
	return s.toRun(r.Run, d), nil
}

// queueRun starts a run of a pipeline.
func (s *server) queueRun(c *call) (any, error) {
	var in struct {
		PreviewRun bool `json:"previewRun"`
		Resources  struct {
			Repositories map[string]struct {
				RefName string `json:"refName"`
			} `json:"repositories"`
		} `json:"resources"`
		TemplateParameters map[string]any `json:"templateParameters"`
		Variables          map[string]struct {
			Value    string `json:"value"`
			IsSecret bool   `json:"isSecret"`
		} `json:"variables"`
		StagesToSkip []string `json:"stagesToSkip"`
		YamlOverride string   `json:"yamlOverride"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	if in.PreviewRun || in.YamlOverride != "" {
		return nil, fault.New(fault.Invalid, "A preview of a run is not made here.").WithNext("expand the file: towpath pipeline expand FILE")
	}
	request := pipeline.Request{Ref: in.Resources.Repositories["self"].RefName, Parameters: texts(in.TemplateParameters), Variables: map[string]string{}, Skip: in.StagesToSkip}
	for name, v := range in.Variables {
		if v.IsSecret {
			return nil, fault.New(fault.Invalid, "The variable %s is a secret, and a run keeps what it was given.", clip(name)).WithNext("put it into a variable group")
		}
		request.Variables[name] = v.Value
	}
	return s.start(c, c.r.PathValue("id"), request, func(r pipeline.Run, d pipeline.Definition) any { return s.toRun(r, d) })
}

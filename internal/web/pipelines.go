package web

import (
	"net/http"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/web/page"
)

// pipelineRoutes are the addresses of the pipelines of a project, of the tests that they ran and
// of how long their runs stay.
func (h *handler) pipelineRoutes() {
	const at = "/projects/{project}"
	h.page("GET "+at+"/pipelines", h.pipelines)
	h.form("POST "+at+"/pipelines", h.createPipeline)
	h.form("POST "+at+"/pipelines/{pipeline}", h.changePipeline)
	h.form("POST "+at+"/pipelines/{pipeline}/delete", h.deletePipeline)
	h.page("GET "+at+"/pipelines/{pipeline}/badge.svg", h.pipelineBadge)
	h.page("GET "+at+"/tests", h.tests)
	h.page("GET "+at+"/tests/{test}", h.test)
	h.page("GET "+at+"/retention", h.retention)
	h.form("POST "+at+"/retention", h.setRetention)
	h.form("POST "+at+"/runs/{run}/keep", h.keepRun)
	h.form("POST "+at+"/pools", h.createPool)
	h.form("POST "+at+"/agents/{agent}", h.switchAgent)
}

// pipelines lists the pipelines of the project.
func (h *handler) pipelines(w http.ResponseWriter, r request) error {
	list, err := h.Definitions.Definitions(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	v := page.PipelineList{Maintain: h.holds(r, identity.Maintain), Add: r.query("add") != ""}
	for _, d := range list {
		v.Pipelines = append(v.Pipelines, pipelineOf(d))
	}
	if v.Add {
		repos, err := h.Source.Repos(r.Context(), r.actor, r.project())
		if err != nil {
			return err
		}
		for _, repo := range repos {
			v.Repos = append(v.Repos, repo.FullName())
		}
	}
	s := h.room(w, r, "runs", "Pipelines", page.Crumb{Text: "runs", Href: "/projects/" + r.project() + "/runs"}, page.Crumb{Text: "pipelines"})
	return h.render(w, r, page.PipelinesPage(s, v))
}

// pipelineOf is a pipeline as pages show it.
func pipelineOf(d pipeline.Definition) page.Pipeline {
	out := page.Pipeline{Definition: d, State: page.Wait, Word: "never ran"}
	if d.Last != nil {
		out.Last = runOf(*d.Last)
		out.State, out.Word = out.Last.State, out.Last.Word
	}
	return out
}

func pipelinesPath(r request) string { return "/projects/" + r.project() + "/pipelines" }

func (h *handler) createPipeline(w http.ResponseWriter, r request) error {
	f := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	d, err := h.Definitions.CreateDefinition(r.Context(), r.actor, r.project(), pipeline.Definition{
		Name: f("name"), Repo: f("repo"), File: f("file"), Folder: f("folder"), Branch: f("branch"),
	})
	if err != nil {
		return err
	}
	return done(w, r, pipelinesPath(r), "The pipeline "+d.Name+" is there. Pushes start it from now on, as its trigger says.")
}

// changePipeline renames a pipeline, or disables or enables it.
func (h *handler) changePipeline(w http.ResponseWriter, r request) error {
	var c pipeline.DefinitionChange
	if name := strings.TrimSpace(r.PostForm.Get("name")); name != "" {
		c.Name = &name
	}
	if r.PostForm.Has("disabled") {
		off := r.PostForm.Get("disabled") == "true"
		c.Disabled = &off
	}
	d, err := h.Definitions.ChangeDefinition(r.Context(), r.actor, r.project(), r.PathValue("pipeline"), c)
	if err != nil {
		return err
	}
	said := "The pipeline is called " + d.Name + "."
	if c.Disabled != nil && d.Disabled {
		said = "The pipeline " + d.Name + " is disabled: nothing starts a run of it."
	} else if c.Disabled != nil {
		said = "The pipeline " + d.Name + " runs again."
	}
	return done(w, r, pipelinesPath(r), said)
}

func (h *handler) deletePipeline(w http.ResponseWriter, r request) error {
	if err := h.Definitions.RemoveDefinition(r.Context(), r.actor, r.project(), r.PathValue("pipeline")); err != nil {
		return err
	}
	return done(w, r, pipelinesPath(r), "The pipeline is deleted, with its variables and permissions. Its runs stay as the rules of retention say.")
}

// pipelineBadge draws the state of the newest run. Like every page it is for who may read the
// project.
func (h *handler) pipelineBadge(w http.ResponseWriter, r request) error {
	d, err := h.Definitions.Definition(r.Context(), r.actor, r.project(), r.PathValue("pipeline"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/svg+xml; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	return ignoreGone(page.PipelineBadge(pipelineOf(d)).Render(r.Context(), w))
}

// tests lists the tests of a pipeline over its newest runs.
func (h *handler) tests(w http.ResponseWriter, r request) error {
	v := page.TestList{Branch: r.query("branch"), Show: r.query("show"), Query: r.query("q")}
	var err error
	if v.Pipelines, err = h.Definitions.Definitions(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	v.Pipeline, err = h.testedPipeline(r, v.Pipelines)
	if err != nil {
		return err
	}
	if v.Pipeline.ID > 0 {
		list, err := h.Tests.TestCases(r.Context(), r.actor, pipeline.TestFilter{Pipeline: v.Pipeline.Key(), Branch: v.Branch, Flaky: v.Show == "flaky", Failed: v.Show == "failed"})
		if err != nil {
			return err
		}
		for _, c := range list {
			if matches(v.Query, c.Suite, c.Name) {
				v.Tests = append(v.Tests, c)
			}
		}
	}
	s := h.testShell(w, r, "Tests")
	for _, f := range []struct{ key, text string }{{"", "All"}, {"failed", "Failed last"}, {"flaky", "Flaky"}} {
		v.Filters = append(v.Filters, page.Filter{Key: f.key, Text: f.text, Count: -1, On: f.key == v.Show,
			Href: s.At("/tests" + page.Query("pipeline", strconv.FormatInt(v.Pipeline.ID, 10), "branch", v.Branch, "show", f.key, "q", v.Query))})
	}
	return h.render(w, r, page.TestsPage(s, v))
}

func (h *handler) testShell(w http.ResponseWriter, r request, title string, crumbs ...page.Crumb) page.Shell {
	at := "/projects/" + r.project()
	return h.room(w, r, "runs", title, append([]page.Crumb{{Text: "runs", Href: at + "/runs"}, {Text: "tests", Href: at + "/tests"}}, crumbs...)...)
}

// testedPipeline is the pipeline that the address names, or the first; zero when there is none.
func (h *handler) testedPipeline(r request, all []pipeline.Definition) (pipeline.Definition, error) {
	if name := r.query("pipeline"); name != "" {
		return h.Definitions.Definition(r.Context(), r.actor, r.project(), name)
	}
	if len(all) > 0 {
		return all[0], nil
	}
	return pipeline.Definition{}, nil
}

// perHistory is how many outcomes of a test a page shows.
const perHistory = 100

// test shows how a test went, run by run.
func (h *handler) test(w http.ResponseWriter, r request) error {
	d, err := h.testedPipeline(r, nil)
	if err == nil && d.ID == 0 {
		d, err = h.Definitions.Definition(r.Context(), r.actor, r.project(), r.query("pipeline"))
	}
	if err != nil {
		return err
	}
	v := page.TestView{Pipeline: d, Branch: r.query("branch"), Name: r.PathValue("test")}
	if v.Outcomes, err = h.Tests.TestHistory(r.Context(), r.actor, d.Key(), v.Name, v.Branch, perHistory); err != nil {
		return err
	}
	cases, err := h.Tests.TestCases(r.Context(), r.actor, pipeline.TestFilter{Pipeline: d.Key(), Branch: v.Branch, Limit: 2000})
	if err != nil {
		return err
	}
	for _, c := range cases {
		if strconv.FormatInt(c.ID, 10) == v.Name || c.Suite+"/"+c.Name == v.Name {
			v.Test, v.Name = c, c.Name
		}
	}
	return h.render(w, r, page.TestPage(h.testShell(w, r, v.Name, page.Crumb{Text: v.Name}), v))
}

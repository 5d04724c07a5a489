package azure_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// build is what the tests read of a build.
type build struct {
	ID            int64
	Status        string
	Result        string
	Reason        string
	SourceBranch  string
	SourceVersion string
	KeepForever   bool
	Tags          []string
	Definition    struct {
		ID   int64
		Name string
	}
	RequestedFor struct{ DisplayName string }
}

// refusal is an error in the service's form.
type refusal struct {
	Message string
	TypeKey string
}

// queued starts a build.
func (w *world) queued(body string) build {
	w.t.Helper()
	var b build
	w.into(w.do("ada", http.MethodPost, "build/builds?api-version=7.1", body), http.StatusOK, &b)
	return b
}

func TestQueueABuildJ012(t *testing.T) {
	w := newWorld(t)
	b := w.queued(`{"definition": {"id": 1}, "sourceBranch": "refs/heads/other", "templateParameters": {"word": "moin", "list": ["a", "b"]}}`)
	if b.ID != 1 || b.Status != "notStarted" || b.Reason != "manual" || b.SourceBranch != "refs/heads/other" || b.SourceVersion != strings.Repeat("c", 40) || b.Definition.Name != "web" || b.RequestedFor.DisplayName != "ada" {
		t.Errorf("%+v", b)
	}
	j := w.claim()
	if got := j.Phases[0].Steps[0].Inputs["script"]; got != "echo moin a,b" {
		t.Errorf("the parameters did not arrive: %q", got)
	}
	w.into(w.do("rita", http.MethodGet, "build/builds/1", ""), http.StatusOK, &b)
	if b.Status != "inProgress" || b.Result != "" {
		t.Errorf("a running build: %+v", b)
	}
	w.complete(j, plan.Succeeded)
	w.complete(w.claim(), plan.SucceededWithIssues)
	w.into(w.do("rita", http.MethodGet, "build/builds/1", ""), http.StatusOK, &b)
	if b.Status != "completed" || b.Result != "partiallySucceeded" {
		t.Errorf("a completed build: %+v", b)
	}
	// By the name of its definition, and on the default branch.
	if b = w.queued(`{"definition": {"name": "web"}}`); b.ID != 2 || b.SourceBranch != "refs/heads/main" {
		t.Errorf("%+v", b)
	}
}

func TestQueueARunJ012(t *testing.T) {
	w := newWorld(t)
	var run struct {
		ID        int64
		State     string
		Result    string
		Resources struct {
			Repositories map[string]struct{ RefName, Version string }
		}
	}
	body := `{"resources": {"repositories": {"self": {"refName": "refs/heads/other"}}}, "templateParameters": {"word": "hi"}, "stagesToSkip": ["Deploy"]}`
	w.into(w.do("ada", http.MethodPost, "pipelines/web/runs", body), http.StatusOK, &run)
	if run.ID != 1 || run.State != "inProgress" || run.Resources.Repositories["self"].RefName != "refs/heads/other" {
		t.Errorf("%+v", run)
	}
	w.complete(w.claim(), plan.Succeeded) // The second stage is left out.
	w.into(w.do("rita", http.MethodGet, "pipelines/1/runs/1", ""), http.StatusOK, &run)
	if run.State != "completed" || run.Result != "succeeded" {
		t.Errorf("%+v", run)
	}
	var all struct {
		Count int
		Value []struct{ ID int64 }
	}
	w.into(w.do("rita", http.MethodGet, "pipelines/1/runs", ""), http.StatusOK, &all)
	if all.Count != 1 || all.Value[0].ID != 1 {
		t.Errorf("%+v", all)
	}
}

func TestChangeABuildJ012(t *testing.T) {
	w := newWorld(t)
	w.queued(`{"definition": {"id": 1}}`)
	patch := func(body string) build {
		t.Helper()
		var b build
		w.into(w.do("ada", http.MethodPatch, "build/builds/1", body), http.StatusOK, &b)
		return b
	}
	if b := patch(`{"keepForever": true}`); !b.KeepForever || b.Status != "notStarted" {
		t.Errorf("a build that is kept: %+v", b)
	}
	if b := patch(`{"keepForever": false}`); b.KeepForever {
		t.Errorf("a build that is let go: %+v", b)
	}
	if b := patch(`{"status": "Cancelling"}`); b.Status != "completed" || b.Result != "canceled" {
		t.Errorf("a build that was cancelled: %+v", b)
	}
	// It cannot be cancelled again.
	var r refusal
	w.into(w.do("ada", http.MethodPatch, "build/builds/1", `{"status": "cancelling"}`), http.StatusConflict, &r)
	if want := "Run 1 has ended already: canceled."; r.Message != want {
		t.Errorf("got %q, want %q", r.Message, want)
	}
}

func TestArtifactsAsZipJ012(t *testing.T) {
	w := newWorld(t)
	w.queued(`{"definition": {"id": 1}}`)
	j := w.claim()
	w.agent(http.MethodPut, "jobs/"+j.ID+"/artifacts/drop", j.Lease, archive(t, "a.txt", "one", "dir/b.txt", strings.Repeat("two", 1000)), nil)
	w.agent(http.MethodPut, "jobs/"+j.ID+"/artifacts/my logs", j.Lease, archive(t, "../../etc/passwd", "no"), nil)
	w.complete(j, plan.Succeeded)
	var all struct {
		Count int
		Value []struct {
			Name     string
			Source   string
			Resource struct{ Type, DownloadURL string }
		}
	}
	w.into(w.do("rita", http.MethodGet, "build/builds/1/artifacts", ""), http.StatusOK, &all)
	if all.Count != 2 || all.Value[0].Name != "drop" || all.Value[0].Source != "Build.Go" || all.Value[0].Resource.Type != "PipelineArtifact" {
		t.Fatalf("%+v", all)
	}
	_, at, _ := strings.Cut(all.Value[0].Resource.DownloadURL, "/shop/_apis/")
	a := w.do("rita", http.MethodGet, at, "")
	if got := a.header.Get("Content-Disposition"); a.status != http.StatusOK || a.header.Get("Content-Type") != "application/zip" || got != "attachment; filename=drop.zip" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if got := unzipped(t, a.body); !slices.Equal(got, []string{"drop/a.txt -rwxr-xr-x one", "drop/dir/b.txt -rwxr-xr-x " + strings.Repeat("two", 1000)}) {
		t.Errorf("the zip has %.200q", got)
	}
	// No name leads out of the folder of the artifact, whoever packed it; Accept asks for a zip, too.
	a = w.do("rita", http.MethodGet, "build/builds/1/artifacts?artifactName=MY%20LOGS", "", "Accept", "application/zip")
	if got := unzipped(t, a.body); !slices.Equal(got, []string{"my logs/etc/passwd -rwxr-xr-x no"}) {
		t.Errorf("the zip has %q", got)
	}
	var r refusal
	w.into(w.do("rita", http.MethodGet, "build/builds/1/artifacts?artifactName=none&$format=zip", ""), http.StatusNotFound, &r)
	if want := `The run 1 has no artifact "none".`; r.Message != want {
		t.Errorf("got %q, want %q", r.Message, want)
	}
}

// unzipped are the files of a zip, each "name mode content", by name.
func unzipped(t *testing.T, data []byte) []string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("%v in %.100q", err, data)
	}
	var out []string
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s %s", f.Name, f.Mode(), content))
	}
	slices.Sort(out)
	return out
}

func TestListsOfBuildsJ012(t *testing.T) {
	w := newWorld(t)
	for _, branch := range []string{"main", "other", "main"} {
		w.queued(`{"definition": {"id": 1}, "sourceBranch": "refs/heads/` + branch + `"}`)
	}
	w.complete(w.claim(), plan.Failed)
	for query, want := range map[string][]int64{
		"":                             {3, 2, 1},
		"?branchName=refs/heads/other": {2},
		"?$top=2":                      {3, 2},
		"?$top=2&continuationToken=2":  {1},
		"?resultFilter=failed":         {1},
		"?statusFilter=completed":      {1},
		"?statusFilter=notStarted":     {3, 2},
		"?definitions=1&maxBuildsPerDefinition=1":          {3},
		"?reasonFilter=manual&buildNumber=none":            {},
		"?repositoryId=web&queryOrder=queueTimeDescending": {3, 2, 1},
	} {
		var all struct{ Value []build }
		a := w.do("rita", http.MethodGet, "build/builds"+query, "")
		w.into(a, http.StatusOK, &all)
		got := []int64{}
		for _, b := range all.Value {
			got = append(got, b.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s lists %v, want %v", query, got, want)
		}
		if token := a.header.Get("X-MS-ContinuationToken"); query == "?$top=2" && token != "2" {
			t.Errorf("the list goes on at %q", token)
		}
	}
}

func TestTimelineAndLogsJ012(t *testing.T) {
	w := newWorld(t)
	w.queued(`{"definition": {"id": 1}}`)
	j := w.claim()
	w.agent(http.MethodPost, "jobs/"+j.ID+"/steps", j.Lease, protocol.Update{Steps: []protocol.StepUpdate{{Number: 1, Status: plan.Completed, Result: plan.Failed, Why: "it broke"}}}, nil)
	w.complete(j, plan.Failed)
	var line struct {
		Records []struct {
			ID, Type, Name, State string
			ParentID, Result      *string
			Issues                []struct{ Message string }
		}
	}
	w.into(w.do("rita", http.MethodGet, "build/builds/1/timeline", ""), http.StatusOK, &line)
	known, got := map[string]string{}, []string{}
	for _, r := range line.Records {
		known[r.ID] = r.Type
		text := r.Type
		if r.ParentID != nil {
			text = known[*r.ParentID] + "/" + text
		}
		if r.Result != nil {
			text += " " + *r.Result
		}
		if len(r.Issues) > 0 {
			text += " " + r.Issues[0].Message
		}
		got = append(got, text)
	}
	want := []string{
		"Stage failed", "Stage/Phase failed", "Phase/Job failed", "Job/Task failed it broke",
		"Stage skipped", "Stage/Phase skipped", "Phase/Job skipped", "Job/Task skipped",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the timeline is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for path, status := range map[string]int{"logs/9": 404, "logs/0": 400, "logs/1?startLine=x": 400, "logs/1?endLine=-1": 400} {
		if a := w.do("rita", http.MethodGet, "build/builds/1/"+path, ""); a.status != status {
			t.Errorf("%s was answered with %d %s, want %d", path, a.status, a.body, status)
		}
	}
}

func TestRefusalsJ012(t *testing.T) {
	w := newWorld(t)
	w.queued(`{"definition": {"id": 1}}`)
	for _, c := range []struct {
		name, user, method, path, body string
		status                         int
		want                           string
	}{
		{"J012 a reader starts nothing", "rita", "POST", "build/builds", `{"definition": {"id": 1}}`, 403, "You may not."},
		{"J012 a reader cancels nothing", "rita", "PATCH", "build/builds/1", `{"status": "cancelling"}`, 403, "You may not."},
		{"J012 a stranger", "eve", "GET", "build/builds", "", 401, "Sign in"},
		{"J012 a definition that is not there", "ada", "POST", "build/builds", `{"definition": {"id": 7}}`, 404, `has no pipeline "7"`},
		{"J012 a branch that is not there", "ada", "POST", "build/builds", `{"definition": {"id": 1}, "sourceBranch": "refs/heads/none"}`, 404, "There is no branch none."},
		{"J012 a parameter that is not declared", "ada", "POST", "build/builds", `{"definition": {"id": 1}, "templateParameters": {"wrd": "a"}}`, 400, "Unexpected parameter 'wrd'"},
		{"J012 variables that are no JSON", "ada", "POST", "build/builds", `{"definition": {"id": 1}, "parameters": "a=b"}`, 400, "as JSON in a text"},
		{"J012 a variable that nobody may set", "ada", "POST", "build/builds", `{"definition": {"id": 1}, "parameters": "{\"a\": \"b\"}"}`, 400, "a"},
		{"J012 no JSON", "ada", "POST", "build/builds", `definition=1`, 400, "not the JSON"},
		{"J012 a body that is too large", "ada", "POST", "build/builds", `{"sourceBranch": "` + strings.Repeat("a", 300<<10) + `"}`, 400, "not the JSON"},
		{"J012 another change of a build", "ada", "PATCH", "build/builds/1", `{"buildNumber": "x"}`, 400, "status can become cancelling"},
		{"J012 a build that is not there", "ada", "GET", "build/builds/99", "", 404, "no run 99"},
		{"J012 a build that is no number", "ada", "GET", "build/builds/last", "", 400, `"last" is no number`},
		{"J012 a filter that is not known", "ada", "GET", "build/builds?requestedFor=ada", "", 400, "The filter requestedFor of builds is not known here."},
		{"J012 a status that is none", "ada", "GET", "build/builds?statusFilter=odd", "", 400, "The statusFilter is"},
		{"J012 a number that is none", "ada", "GET", "build/builds?$top=many", "", 400, "The value of $top is no number."},
		{"J012 a preview", "ada", "POST", "pipelines/1/runs", `{"previewRun": true}`, 400, "towpath pipeline expand FILE"},
		{"J012 a secret of a run", "ada", "POST", "pipelines/1/runs", `{"variables": {"p": {"value": "x", "isSecret": true}}}`, 400, "put it into a variable group"},
		{"J012 a part of the API that is not here", "ada", "GET", "wit/workitems", "", 404, "Towpath has no GET _apis/wit/workitems"},
		{"J012 a method that is not here", "ada", "DELETE", "build/builds/1", "", 404, "Towpath has no DELETE _apis/build/builds/1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r refusal
			w.into(w.do(c.user, c.method, c.path, c.body), c.status, &r)
			if !strings.Contains(r.Message, c.want) || r.TypeKey == "" {
				t.Errorf("got %+v, want %q", r, c.want)
			}
		})
	}
	// A cookie alone changes nothing: another site's page could have sent it.
	a := w.send(http.MethodPatch, "/shop/_apis/build/builds/1", strings.NewReader(`{"status": "cancelling"}`), "Cookie", "session=ada")
	if a.status != http.StatusUnauthorized || !strings.Contains(string(a.body), "needs a token in the header Authorization") {
		t.Errorf("a change with a cookie was answered with %d %s", a.status, a.body)
	}
	if a = w.send(http.MethodGet, "/other/_apis/build/builds", nil, "Authorization", "Bearer ada"); a.status != http.StatusNotFound {
		t.Errorf("another project was answered with %d %s", a.status, a.body)
	}
}

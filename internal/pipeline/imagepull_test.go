package pipeline_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// private is a job whose container, service and target are images of private registries.
const private = `
resources:
  containers:
  - {container: tools, image: r.example.com/tools:1, endpoint: hub}
  - {container: db, image: r.example.com/db:1, endpoint: HUB}
  - {container: more, image: s.example.com/more:1, endpoint: second}
pool: Kubernetes
jobs:
- job: one
  container: tools
  services: {db: db}
  steps:
  - checkout: none
  - bash: 'true'
    target: more
`

// withConnections is a world of pods whose project has the connections hub and second of
// registries, and one that is none.
func withConnections(t *testing.T) (*world, *pods) {
	t.Helper()
	w, p := podWorld(t)
	for _, c := range []library.Connection{
		{Name: "Hub", Type: library.DockerRegistry, URL: "https://r.example.com", Parameters: []library.Value{{Name: "username", Value: "robot"}, {Name: "password", Value: secretText, Secret: true}}},
		{Name: "second", Type: library.DockerRegistry, URL: "https://s.example.com", Parameters: []library.Value{{Name: "username", Value: "other"}, {Name: "password", Value: secretText + "-2", Secret: true}}},
		{Name: "rest", Type: library.Generic, URL: "https://x.example.com"},
	} {
		if _, err := w.svc.Library().CreateConnection(t.Context(), ada, "shop", c, false); err != nil {
			t.Fatal(err)
		}
	}
	return w, p
}

func (w *world) permitConnection(name string, allowed bool) {
	w.t.Helper()
	if err := w.svc.Checks().Permit(w.t.Context(), ada, check.Resource{Kind: check.Connection, Project: "shop", Name: name}, repoName, allowed); err != nil {
		w.t.Fatal(err)
	}
}

// The cluster gets what opens the registries of a job's containers once the pipeline may use
// the connections; the agent, and so the steps, never do.
func TestEndpointsOfContainersY065_Y177(t *testing.T) {
	w, p := withConnections(t)
	d, _ := w.held(w.push("azure-pipelines.yml", private))
	if made := p.wait(t, "none while the stage is held", number(0)); len(made) != 0 {
		t.Fatal(made)
	}
	w.permitConnection("hub", true)
	w.permitConnection("second", true)
	made := p.wait(t, "one for the job", number(1))
	want := []pool.Pull{{Server: "https://r.example.com", User: "robot", Password: secretText}, {Server: "https://s.example.com", User: "other", Password: secretText + "-2"}}
	if diff := cmp.Diff(want, made[0].Pulls); diff != "" {
		t.Error(diff)
	}
	job := w.comes(made[0])
	raw, err := json.Marshal(job)
	if err != nil || strings.Contains(string(raw), secretText) || len(job.Connections) != 0 {
		t.Errorf("the agent gets %s %v", raw, err)
	}
	if status, body := w.ask(made[0].Token, "jobs/"+job.ID+"/complete", job.Lease, protocol.Complete{Result: plan.Succeeded}); status != http.StatusOK {
		t.Fatal(status, body)
	}
	if n := w.lent(d); n != 1 {
		t.Errorf("the logbook has %d loans", n)
	}
	w.nowhere(secretText)
}

func TestEndpointsThatCannotBe(t *testing.T) {
	w, p := withConnections(t)
	w.permitConnection("rest", true)
	d := w.finish("pool: Kubernetes\ncontainer: {image: a:1, endpoint: rest}\nsteps: [{bash: 'true'}]\n")
	if why := find(d, "__default.Job").Why; why != "The service connection rest is of the type generic; the endpoint of a container is one of the type dockerregistry" {
		t.Error(why)
	}
	if made := p.wait(t, "none", number(0)); len(made) != 0 {
		t.Errorf("made %+v", made)
	}
}

package pipeline_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// callee is the outside as jobs without an agent see it.
type callee struct {
	check.Outside
	mu     sync.Mutex
	got    []check.Request
	status int
	body   string
	err    error
}

func (c *callee) Invoke(_ context.Context, r check.Request) (int, []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, r)
	return c.status, []byte(c.body), c.err
}

// hall is a world without any agent.
func hall(t *testing.T, c *callee) *world {
	t.Helper()
	w := newWorld(t, func(w *world) { w.outside = c })
	_, err := w.svc.Library().CreateConnection(t.Context(), ada, "shop", library.Connection{Name: "gate", Type: library.Generic, URL: "https://gate.example.com/v1/", Parameters: []library.Value{
		{Name: "username", Value: "deployer"}, {Name: "password", Value: "gate-secret-1234", Secret: true},
	}}, true)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

const validated = `
jobs:
- job: wait
  pool: server
  timeoutInMinutes: 100
  steps:
  - task: delay@1
    inputs: {DELAYFORMINUTES: 0}
  - task: ManualValidation@1
    displayName: Is it good?
    timeoutInMinutes: %d
    inputs: {notifyUsers: ada, instructions: Look at $(Build.BuildId), onTimeout: %s}
  - task: Delay@1
    inputs: {delayForMinutes: 0}
`

// question waits until a validation of a run waits for an answer.
func (w *world) question(commit string) pipeline.Hold {
	w.t.Helper()
	for range 600 {
		holds, err := w.svc.Holds(w.t.Context(), ada, "shop")
		if err != nil {
			w.t.Fatal(err)
		}
		for _, h := range holds {
			if h.Commit == commit {
				return h
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.t.Fatal("nobody is asked")
	return pipeline.Hold{}
}

func TestManualValidationC015(t *testing.T) {
	w := hall(t, &callee{})
	commit := w.pipeline(fmt.Sprintf(validated, 0, "reject"))
	q := w.question(commit)
	if q.Name != "Is it good?" || q.For != "job/__default.wait" || !strings.HasPrefix(q.Approval.Instructions, "Look at 1") || strings.Join(q.Waits, ",") != "role:write" {
		t.Errorf("%+v", q)
	}
	if _, err := w.svc.Approve(t.Context(), identity.Actor{Kind: identity.KindRun, Name: "1", Cap: identity.Write}, q.Entry.Entry, "", time.Time{}); !fault.Is(err, fault.Denied) {
		t.Errorf("a run answers: %v", err)
	}
	w.down()
	w.up()
	if _, err := w.svc.Approve(t.Context(), ada, q.Entry.Entry, "fine", time.Time{}); err != nil {
		t.Fatal(err)
	}
	d := w.wait(commit, over)
	// The end of a log that a restart cut in two is read once the log is closed.
	for range 200 {
		if strings.Contains(w.everything(d), "Resumed: approved by ada") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if log := w.everything(d); d.Result != plan.Succeeded || !strings.Contains(log, "Resumed: approved by ada") || d.Stages[0].Jobs[0].Agent != "server" {
		t.Errorf("%s: %s\n%s", d.Result, d.Why, log)
	}
	commit = w.pipeline(fmt.Sprintf(validated, 0, "reject"))
	if _, err := w.svc.Reject(t.Context(), ada, w.question(commit).Entry.Entry, "not yet"); err != nil {
		t.Fatal(err)
	}
	if d := w.wait(commit, over); d.Result != plan.Failed || !strings.Contains(d.Why, "rejected by ada: not yet") || d.Stages[0].Jobs[0].Steps[2].Result != plan.Skipped {
		t.Errorf("%s: %s", d.Result, d.Why)
	}
}

func TestCancellingAJobWithoutAnAgentK030(t *testing.T) {
	w := hall(t, &callee{})
	commit := w.pipeline(fmt.Sprintf(validated, 0, "reject"))
	q := w.question(commit)
	if err := w.svc.Cancel(t.Context(), ada, q.Run); err != nil {
		t.Fatal(err)
	}
	if d := w.wait(commit, over); d.Result != plan.Canceled || d.Stages[0].Jobs[0].Steps[1].Result != plan.Canceled {
		t.Errorf("%s: %+v", d.Result, d.Stages[0].Jobs[0].Steps)
	}
	if holds, err := w.svc.Holds(t.Context(), ada, "shop"); err != nil || len(holds) > 0 {
		t.Errorf("%v, %v", holds, err)
	}
}

const called = `
variables: {word: hello}
jobs:
- job: call
  pool: server
  steps:
  - task: InvokeRESTAPI@1
    inputs:
      connectedservicename: Gate
      urlSuffix: runs/$(Build.BuildId)?x=1
      headers: '{"X-Word": "$(word)", "content-type": "text/plain"}'
      body: '{"id": "$(Build.BuildId)"}'
%s`

func TestInvokeRESTAPI(t *testing.T) {
	for _, c := range []struct {
		name, more string
		callee     *callee
		result     plan.Result
		says       string
	}{
		{name: "K030 a status is enough", callee: &callee{status: 202, body: "taken gate-secret-1234"}, result: plan.Succeeded, says: "Answer 202: taken ***"},
		{name: "K030 success criteria", more: "      successCriteria: eq(root['state'], 'ok')\n", callee: &callee{status: 200, body: `{"state": "ok"}`}, result: plan.Succeeded},
		{name: "K030 unfulfilled criteria", more: "      successCriteria: eq(root['state'], 'ok')\n", callee: &callee{status: 200, body: `{"state": "no"}`}, result: plan.Failed, says: "does not fulfil"},
		{name: "K030 a wrong status", callee: &callee{status: 500}, result: plan.Failed, says: "the answer has the status 500"},
		{name: "K030 an address that is not public", callee: &callee{err: fault.New(fault.Denied, "gate.example.com is not a public address.")}, result: plan.Failed, says: "not a public address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := hall(t, c.callee)
			d := w.finish(fmt.Sprintf(called, c.more))
			log := w.everything(d)
			if d.Result != c.result || !strings.Contains(log, c.says) || strings.Contains(log, "gate-secret") {
				t.Fatalf("%s: %s\n%s", d.Result, d.Why, log)
			}
			r := c.callee.got[0]
			if r.Method != "POST" || r.URL != "https://gate.example.com/v1/runs/1?x=1" || r.Body != `{"id": "1"}` || r.Headers["X-Word"] != "hello" ||
				r.Headers["content-type"] != "text/plain" || r.Headers["Content-Type"] != "" || !strings.HasPrefix(r.Headers["Authorization"], "Basic ") {
				t.Errorf("%+v", r)
			}
			w.nowhere("gate-secret-1234")
		})
	}
}

// What is called ends the step later, and only for its own job.
func TestCallbackK030(t *testing.T) {
	c := &callee{status: 200}
	w := hall(t, c)
	commit := w.pipeline(fmt.Sprintf(called, "      waitForCompletion: true\n"))
	d := w.wait(commit, func(d *pipeline.Detail) bool {
		return d.Stages[0].Jobs[0].Steps[0].Status == plan.Running && d.Stages[0].Jobs[0].Steps[0].Lines > 1
	})
	id := w.jobID(d.Number)
	own := identity.Actor{Kind: identity.KindRun, Job: identity.JobClaims{Project: "shop", Run: d.Number, Stage: "__default", Job: "call"}}
	other := own
	other.Job.Run++
	for name, a := range map[string]identity.Actor{"a user": ada, "another run": other} {
		if err := w.svc.Callback(t.Context(), a, id, "succeeded", ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.svc.Callback(t.Context(), own, id, "failed", "the tests were red"); err != nil {
		t.Fatal(err)
	}
	if d := w.wait(commit, over); d.Result != plan.Failed || !strings.Contains(d.Why, "the tests were red") {
		t.Errorf("%s: %s", d.Result, d.Why)
	}
}

func (w *world) jobID(run int64) (id string) {
	w.t.Helper()
	if err := w.db.QueryRow(w.t.Context(), `SELECT id FROM pipeline_job WHERE run = ?`, run).Scan(&id); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func TestTasksInTheWrongJob(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ name, yaml, want string }{
		{"K030 a server task with an agent", "steps:\n- task: Delay@1\n", "runs without an agent; put it into a job of its own with 'pool: server'"},
		{"K030 a script without an agent", "jobs:\n- job: a\n  pool: server\n  steps:\n  - bash: echo\n", "'bash' needs an agent"},
		{"K030 a task without an agent", "jobs:\n- job: a\n  pool: server\n  steps:\n  - task: CopyFiles@2\n    inputs: {targetFolder: x}\n", "The task 'CopyFiles@2' needs an agent"},
		{"K030 no service bus", "jobs:\n- job: a\n  pool: server\n  steps:\n  - task: PublishToAzureServiceBus@1\n    inputs: {azureSubscription: x}\n", "There is no 'PublishToAzureServiceBus@1' in Towpath"},
		{"C008 no Azure function", "jobs:\n- job: a\n  pool: server\n  steps:\n  - task: AzureFunction@1\n    inputs: {function: x, key: y}\n", "call the address of the function with InvokeRESTAPI@1"},
		{"K032 no key vault", "steps:\n- task: AzureKeyVault@2\n  inputs: {azureSubscription: x, KeyVaultName: y}\n", "keep the secrets in a variable group"},
		{"K032 no command line of Azure", "steps:\n- task: AzureCLI@2\n  inputs: {azureSubscription: x, scriptType: bash}\n", "There is no 'AzureCLI@2' in Towpath"},
		{"K033 no Advanced Security", "steps:\n- task: AdvancedSecurity-Codeql-Init@1\n", "scanned by Towpath itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := w.refusal(w.pipeline(c.yaml)); !strings.Contains(got, c.want) {
				t.Errorf("%s, want %q", got, c.want)
			}
		})
	}
}

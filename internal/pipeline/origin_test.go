package pipeline_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// say appends a fact of another domain.
func (w *world) say(f event.Fact) {
	w.t.Helper()
	f.Project = "shop"
	if f.Actor == "" {
		f.Actor = "user:ada"
	}
	if err := w.db.Tx(w.t.Context(), func(tx *store.Tx) error { return w.log.Append(w.t.Context(), tx, f) }); err != nil {
		w.t.Fatal(err)
	}
}

// library makes the repository shop/lib with a pipeline and says that it was pushed.
func (w *world) libraryRepo(yaml string) (push func()) {
	w.t.Helper()
	commit := w.other("lib", "azure-pipelines.yml", yaml)
	return func() {
		w.say(event.Fact{Type: event.TypeCommitPushed, Subject: event.Of(event.KindCommit, commit),
			Payload: event.CommitPushed{V: 1, Repo: "shop/lib", Ref: "refs/heads/main", Before: strings.Repeat("0", 40), Commit: commit, Title: "of the library"}})
	}
}

// ofRepo are the runs of a repository, oldest first.
func (w *world) ofRepo(repo string) []pipeline.Run {
	w.t.Helper()
	list, err := w.svc.Runs(w.t.Context(), ada, pipeline.Filter{Repo: repo})
	if err != nil {
		w.t.Fatal(err)
	}
	for i, k := 0, len(list)-1; i < k; i, k = i+1, k-1 {
		list[i], list[k] = list[k], list[i]
	}
	return list
}

const upstream = `
stages:
- stage: Build
  jobs:
  - job: B
    steps:
    - checkout: none
    - bash: |
        mkdir out && echo made by the library > out/part.txt
        echo "##vso[build.addbuildtag]verified"
    - publish: out
      artifact: parts
- stage: Check
  jobs: [{job: C, steps: [{checkout: none}, {bash: "true"}]}]
`

const downstream = `
trigger: none
resources:
  pipelines:
  - pipeline: up
    source: lib
    trigger: TRIGGER
steps:
- checkout: none
- download: up
- bash: |
    cat "$(Pipeline.Workspace)/up/parts/part.txt"
    echo "reason=$(Build.Reason) by=$(Build.TriggeredBy.BuildId) $(Build.TriggeredBy.DefinitionName) alias=$(resources.triggeringAlias) $(resources.triggeringCategory)"
    echo "run=$(resources.pipeline.up.runID) pipeline=$(resources.pipeline.up.pipelineName) branch=$(resources.pipeline.up.sourceBranch) project=$(resources.pipeline.up.projectName)"
`

func TestJ005_P008_P003APipelineStartsAnother(t *testing.T) {
	for _, tt := range []struct {
		name, trigger string
		starts        bool
	}{
		{"J005 true", "true", true},
		{"J005 branches and tags that pass", "{branches: {include: [main]}, tags: [Verified]}", true},
		{"J005 stages", "{stages: [Build]}", true},
		{"J005 another branch", "{branches: {exclude: [main]}}", false},
		{"J005 a tag that is not there", "{tags: [verified, released]}", false},
		{"J005 a stage that is not there", "{stages: [Build, Ship]}", false},
		{"J005 none", "none", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.agent()
			push := w.libraryRepo(upstream)
			w.pipeline(strings.Replace(downstream, "TRIGGER", tt.trigger, 1))
			w.settled()
			push()
			w.until("the run of the library", func() bool { return len(w.ofRepo("shop/lib")) == 1 })
			up := w.ends(w.ofRepo("shop/lib")[0].Number)
			if up.Result != plan.Succeeded {
				t.Fatal(up.Why)
			}
			if !tt.starts {
				w.settled()
				if n := len(w.ofRepo(repoName)); n != 0 {
					t.Errorf("%d runs began", n)
				}
				return
			}
			w.until("the triggered run", func() bool { return len(w.ofRepo(repoName)) == 1 })
			d := w.ends(w.ofRepo(repoName)[0].Number)
			log := w.everything(d)
			for _, want := range []string{
				"made by the library", fmt.Sprintf("reason=ResourceTrigger by=%d lib alias=up pipeline", up.Number),
				fmt.Sprintf("run=%d pipeline=lib branch=refs/heads/main project=shop", up.Number),
			} {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q:\n%s", want, log)
				}
			}
			if d.TriggeredBy != up.Number {
				t.Errorf("triggered by %d", d.TriggeredBy)
			}
			w.settled()
			if n := len(w.ofRepo(repoName)); n != 1 {
				t.Errorf("%d runs for one", n)
			}
		})
	}
}

// settled waits until the events that are there and the work that they made are done.
func (w *world) settled() {
	w.t.Helper()
	w.until("quiet", func() bool {
		return w.number(`SELECT (SELECT COUNT(*) FROM job) + (SELECT COUNT(*) FROM event WHERE seq > (SELECT COALESCE(MIN(seq), 0) FROM event_cursor WHERE consumer = 'pipeline'))`) == 0
	})
}

func TestJ005ACircleEnds(t *testing.T) {
	w := newWorld(t)
	w.agent()
	back := "resources: {pipelines: [{pipeline: p, source: web, trigger: true}]}\nsteps: [{checkout: none}, {bash: 'true'}]\n"
	push := w.libraryRepo(back)
	push()
	w.until("the library runs", func() bool { return len(w.ofRepo("shop/lib")) == 1 })
	w.ends(w.ofRepo("shop/lib")[0].Number)
	commit := w.pipeline(strings.Replace(back, "source: web", "source: lib", 1))
	first := w.wait(commit, over)
	w.until("the library runs again", func() bool { return len(w.ofRepo("shop/lib")) == 2 })
	d := w.ends(w.ofRepo("shop/lib")[1].Number)
	if d.TriggeredBy != first.Number {
		t.Errorf("triggered by %d, want %d", d.TriggeredBy, first.Number)
	}
	if why := w.refusal(commit); !strings.Contains(why, "circle") {
		t.Errorf("refused: %s", why)
	}
	if n := len(w.ofRepo(repoName)); n != 1 {
		t.Errorf("%d runs", n)
	}
}

const imaged = `
trigger: none
resources:
  containers:
  - container: base
    image: localhost:7080/shop/base:1.0
    trigger: {tags: {include: [2.*], exclude: [2.9]}}
steps:
- checkout: none
- bash: echo "by $(resources.triggeringCategory) tag=$(resources.container.base.tag) image=$(resources.container.base.image)"
`

func TestJ006ATagOfAnImageStartsAPipeline(t *testing.T) {
	w := newWorld(t)
	w.agent()
	w.pipeline(imaged)
	w.settled()
	for i, tag := range []string{"1.1", "2.9", "", "2.1"} {
		w.say(event.Fact{Type: event.TypeImagePushed, Subject: event.Of(event.KindImage, fmt.Sprintf("sha256:%064d", i)),
			Payload: event.ImagePushed{V: 1, Repository: "shop/base", Digest: fmt.Sprintf("sha256:%064d", i), Tag: tag}})
	}
	w.until("a run", func() bool { return len(w.ofRepo(repoName)) > 0 })
	d := w.ends(w.ofRepo(repoName)[0].Number)
	if log := w.everything(d); !strings.Contains(log, "by container tag=2.1 image=localhost:7080/shop/base:2.1") || d.Reason != "ResourceTrigger" {
		t.Errorf("%s\n%s", d.Reason, log)
	}
	// An image that a run of the pipeline itself pushed starts no further run.
	w.say(event.Fact{Type: event.TypeImagePushed, Subject: event.Of(event.KindImage, "sha256:"+strings.Repeat("b", 64)),
		Payload: event.ImagePushed{V: 1, Repository: "shop/base", Digest: "sha256:" + strings.Repeat("b", 64), Tag: "2.2", Run: d.Number}})
	w.settled()
	if n := len(w.ofRepo(repoName)); n != 1 {
		t.Errorf("%d runs", n)
	}
}

const hooked = `
trigger: none
resources:
  webhooks:
  - webhook: deck
    connection: Deck
    filters:
    - path: action
      value: created
    - path: $.items[0].size
      value: 3
steps:
- checkout: none
- bash: echo "$WHO"
  env: {WHO: "${{ parameters.deck.items[0]['full.name'] }} of ${{ parameters.deck.action }}"}
- ${{ if eq(parameters.deck.urgent, true) }}:
  - bash: echo it is urgent
`

func TestJ007WebhooksStartPipelines(t *testing.T) {
	w := newWorld(t)
	w.agent()
	secret := "a secret of some length"
	conn := library.Connection{Name: "deck", Type: "incomingwebhook", Parameters: []library.Value{{Name: "secret", Value: secret, Secret: true}, {Name: "header", Value: "X-Sign"}}}
	if _, err := w.svc.Library().CreateConnection(t.Context(), ada, "shop", conn, false); err != nil {
		t.Fatal(err)
	}
	w.pipeline(hooked)
	w.settled()
	mac := hmac.New(sha256.New, []byte(secret))
	old := hmac.New(sha1.New, []byte(secret))
	body := []byte(`{"action": "created", "urgent": true, "items": [{"size": 3, "full.name": "ada \ud83d\ude00"}]}`)
	mac.Write(body)
	good := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	call := func(project, name, signature string, body []byte) (pipeline.HookAnswer, error) {
		return w.svc.Webhook(t.Context(), project, name, http.Header{"X-Sign": {signature}}, body)
	}
	for name, try := range map[string]func() (pipeline.HookAnswer, error){
		"no signature":     func() (pipeline.HookAnswer, error) { return call("shop", "deck", "", body) },
		"another payload":  func() (pipeline.HookAnswer, error) { return call("shop", "deck", good, []byte("{}")) },
		"no such webhook":  func() (pipeline.HookAnswer, error) { return call("shop", "desk", good, body) },
		"no such project":  func() (pipeline.HookAnswer, error) { return call("../x", "deck", good, body) },
		"half a signature": func() (pipeline.HookAnswer, error) { return call("shop", "deck", good[:20], body) },
	} {
		if _, err := try(); !fault.Is(err, fault.Unauthentic) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := call("shop", "deck", good, make([]byte, pipeline.MaxWebhook+1)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a large payload: %v", err)
	}
	// Nobody has let the pipeline use the connection.
	sign := func(body string) string {
		old.Reset()
		old.Write([]byte(body))
		return "sha1=" + hex.EncodeToString(old.Sum(nil))
	}
	first := `{"action":"created","items":[{"size":3}],"n":1}`
	if got, err := call("shop", "deck", sign(first), []byte(first)); err != nil || len(got.Pipelines) != 0 || len(got.Held) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	if err := w.svc.Checks().Permit(t.Context(), ada, check.Resource{Kind: check.Connection, Project: "shop", Name: "deck"}, repoName, true); err != nil {
		t.Fatal(err)
	}
	other := `{"action":"deleted","items":[{"size":3}]}`
	if got, err := call("shop", "deck", sign(other), []byte(other)); err != nil || len(got.Pipelines) != 0 {
		t.Errorf("a filter does not hold, and yet: %+v %v", got, err)
	}
	if got, err := call("shop", "DECK", good, body); err != nil || len(got.Pipelines) != 1 || got.Replayed {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := call("shop", "deck", good, body); err != nil || !got.Replayed || len(got.Pipelines) != 0 {
		t.Errorf("the same again: %+v %v", got, err)
	}
	w.settled()
	runs := w.ofRepo(repoName)
	if len(runs) != 1 {
		t.Fatalf("%d runs", len(runs))
	}
	d := w.ends(runs[0].Number)
	if log := w.everything(d); !strings.Contains(log, "ada 😀 of created") || !strings.Contains(log, "it is urgent") {
		t.Errorf("the log:\n%s", log)
	}
	again, err := w.svc.Rerun(t.Context(), ada, d.Number)
	if err != nil {
		t.Fatal(err)
	}
	if log := w.everything(w.ends(again.Number)); !strings.Contains(log, "ada 😀 of created") {
		t.Errorf("the second run has another payload:\n%s", log)
	}
	w.nowhere(secret)
}

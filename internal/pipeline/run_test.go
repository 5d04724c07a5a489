package pipeline_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/plan"
)

func TestPushRunsBashSteps(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(`
variables:
  who: world
steps:
- bash: |
    echo "hello $(who) $WHO $(Build.BuildId)"
    ls
  displayName: Greet
- script: id -un; pwd
`)
	if d.Result != plan.Succeeded {
		t.Fatalf("%s %s\n%s", d.Result, d.Why, w.everything(d))
	}
	if got := w.text(d, "__default.Job", 2); !strings.HasPrefix(got, "hello world world 1\nazure-pipelines.yml\n") {
		t.Errorf("log %q", got)
	}
}

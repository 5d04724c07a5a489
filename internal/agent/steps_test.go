package agent_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// TestSteps runs jobs whose steps differ in one setting.
func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name    string
		scripts []string
		change  func(j *protocol.Job)
		result  plan.Result
		steps   string // results of the steps
		says    string // in the log of the last step
	}{
		{name: "X113 a condition that fails fails its step", scripts: []string{"echo a", "echo never", "echo after"}, change: func(j *protocol.Job) {
			j.Phases[0].Steps[1].Condition, j.Phases[0].Steps[2].Condition = "eq(variables.a", "failed()"
		}, result: plan.Failed, steps: "Succeeded Failed Succeeded", says: "after"},
		{name: "X114 conditions hold again when the job is cancelled", scripts: []string{"sleep 1000", "echo no", "echo always", "echo cancelled", "echo failed"}, change: func(j *protocol.Job) {
			j.TimeoutSeconds, j.CancelSeconds = 0.3, 30
			s := j.Phases[0].Steps
			s[2].Condition, s[3].Condition, s[4].Condition = "always()", "canceled()", "failed()"
		}, result: plan.Failed, steps: "Canceled Canceled Succeeded Succeeded Canceled"},
		{name: "X114 a step that runs always is not stopped by the cancellation", scripts: []string{"echo a", "sleep 1; echo whole"}, change: func(j *protocol.Job) {
			j.TimeoutSeconds, j.CancelSeconds = 0.5, 30
			j.Phases[0].Steps[1].Condition = "always()"
		}, result: plan.Failed, steps: "Succeeded Succeeded", says: "whole"},
		{name: "V010 retries until it succeeds", scripts: []string{"if [ -e x ]; then echo fine; else touch x; exit 1; fi"}, change: func(j *protocol.Job) { j.Phases[0].Steps[0].Retries = 3 },
			result: plan.Succeeded, steps: "Succeeded", says: "trying again in 1s (1 of 3)"},
		{name: "V002 continueOnError", scripts: []string{"exit 1", "echo on"}, change: func(j *protocol.Job) { j.Phases[0].Steps[0].ContinueOnError = true },
			result: plan.SucceededWithIssues, steps: "SucceededWithIssues Succeeded", says: "on"},
		{name: "a step that is switched off", scripts: []string{"exit 1", "echo on"}, change: func(j *protocol.Job) { j.Phases[0].Steps[0].Enabled = false },
			result: plan.Succeeded, steps: "Skipped Succeeded", says: "on"},
		{name: "settableVariables", scripts: []string{"echo '##vso[task.setvariable variable=a]1'; echo '##vso[task.setvariable variable=b]1'", "echo '[$(a)]' '[$(b)]'"}, change: func(j *protocol.Job) {
			j.Phases[0].Steps[0].Target = &plan.Target{SettableRestricted: true, Settable: []string{"A"}}
		}, result: plan.Succeeded, steps: "Succeeded Succeeded", says: "[1] [$(b)]"},
		{name: "V008 outputs have the name of their step, variables come with the next step", scripts: []string{
			"echo '##vso[task.setvariable variable=o;isOutput=true]1'; echo '##vso[task.setvariable variable=p]2'; test '$(p)' = '$''(p)'",
			"echo '[$(calc.o)] [$(o)] [$(p)]'",
		}, change: func(j *protocol.Job) { j.Phases[0].Steps[0].Name = "calc" }, result: plan.Succeeded, steps: "Succeeded Succeeded", says: "[1] [$(o)] [2]"},
		{name: "X049 names in the environment", scripts: []string{
			"echo '##vso[task.setvariable variable=keep.Case;preservecase=true]y'", `echo "[$MY_VAR_NAME] [$keep_Case] [$KEEP_CASE]"`,
		}, change: func(j *protocol.Job) {
			j.Variables = append(j.Variables, plan.Value{Name: "my.Var name", Text: "x"})
		}, result: plan.Succeeded, steps: "Succeeded Succeeded", says: "[x] [y] []"},
		{name: "X048 variables with reserved prefixes are not exported", scripts: []string{`echo "[$ENDPOINT_A$INPUTB$SECRETC$SECUREFILE_D] [$PLAIN]"`}, change: func(j *protocol.Job) {
			for _, name := range []string{"endpoint.a", "inputB", "secretC", "SecureFile_d", "plain"} {
				j.Variables = append(j.Variables, plan.Value{Name: name, Text: name})
			}
		}, result: plan.Succeeded, steps: "Succeeded", says: "[] [plain]"},
		{name: "settableVariables: none", scripts: []string{"echo '##vso[task.setvariable variable=a]1'", "echo '[$(a)]'"}, change: func(j *protocol.Job) {
			j.Phases[0].Steps[0].Target = &plan.Target{SettableRestricted: true}
		}, result: plan.Succeeded, steps: "Succeeded Succeeded", says: "[$(a)]"},
		{name: "L033 the shortest secret is a setting of the job", scripts: []string{"echo '##vso[task.setsecret]abcde'; echo '##vso[task.setsecret]uvwxyz'; echo abcde uvwxyz"}, change: func(j *protocol.Job) {
			j.Variables = append(j.Variables, plan.Value{Name: "AZP_IGNORE_SECRETS_SHORTER_THAN", Text: "100"})
		}, result: plan.Succeeded, steps: "Succeeded", says: "abcde ***"},
		{name: "X045 a variable that holds a secret is one", scripts: []string{`echo "[$url]" '$(URL)'`}, change: func(j *protocol.Job) {
			j.Variables = append(j.Variables, plan.Value{Name: "pw", Text: "sesame", Secret: true}, plan.Value{Name: "url", Text: "x:$(pw)@y"})
		}, result: plan.Succeeded, steps: "Succeeded", says: "[] ***"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &server{}
			got := run(t, s, c.change, c.scripts...)
			var steps []string
			for i := range c.scripts {
				steps = append(steps, string(s.steps[i+1].Result))
			}
			if got.Result != c.result || strings.Join(steps, " ") != c.steps {
				t.Errorf("%s (%s): %v, want %s: %s\n%v", got.Result, got.Why, steps, c.result, c.steps, s.log)
			}
			if last := s.log[string(rune('0'+len(c.scripts)))]; !strings.Contains(last, c.says) {
				t.Errorf("the last step does not say %q\n%s", c.says, last)
			}
		})
	}
}

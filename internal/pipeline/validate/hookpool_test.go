package validate_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/validate"
)

func TestPoolsOfHooks(t *testing.T) {
	const deployment = "  environment: e\n  strategy:\n    runOnce:\n"
	const delay = "{task: Delay@1, inputs: {delayForMinutes: 0}}"
	for name, c := range map[string]struct{ pool, hooks, want string }{
		"Y224 all name one":                    {"", "      preDeploy: {pool: A, steps: [bash: x]}\n      deploy: {pool: {name: a}, steps: [bash: x]}\n", ""},
		"Y224 one names another":               {"  pool: A\n", "      preDeploy: {pool: B, steps: [bash: x]}\n      deploy: {steps: [bash: x]}\n      on: {failure: {pool: {vmImage: b}, steps: [bash: x]}}\n", ""},
		"D001 one needs no agent":              {"", "      preDeploy: {pool: server, steps: [" + delay + "]}\n      deploy: {steps: [bash: x]}\n", ""},
		"D001 none needs an agent":             {"  pool: server\n", "      deploy: {steps: [" + delay + "]}\n", ""},
		"D001 a script has no agent":           {"", "      preDeploy: {pool: server, steps: [bash: x]}\n      deploy: {steps: [bash: x]}\n", "(Line: 6, Col: 41): 'bash' needs an agent, and the job has none (pool: server)"},
		"D001 a script inherits the server":    {"  pool: server\n", "      deploy: {steps: [bash: x]}\n", "'bash' needs an agent"},
		"D001 one below the server has a pool": {"  pool: server\n", "      deploy: {pool: A, steps: [bash: x]}\n", ""},
		"D001 a task of the server has none":   {"", "      deploy: {pool: A, steps: [" + delay + "]}\n", "runs without an agent"},
	} {
		t.Run(name, func(t *testing.T) {
			root, found := parse.Parse("f.yml", []byte("jobs:\n- deployment: d\n"+c.pool+deployment+c.hooks), parse.Limits{})
			found = append(found, validate.Validate(root, validate.Options{Question: validate.Runnable, Features: validate.AllFeatures()})...)
			if got := found.Error(); c.want == "" && found.Failed() || !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

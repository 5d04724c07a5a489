package validate_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/validate"
)

func TestPoolsOfHooks(t *testing.T) {
	const deployment = "  environment: e\n  strategy:\n    runOnce:\n"
	for name, c := range map[string]struct{ pool, hooks, want string }{
		"Y224 all name one":                 {"", "      preDeploy: {pool: A, steps: [bash: x]}\n      deploy: {pool: {name: a}, steps: [bash: x]}\n", ""},
		"Y224 one names that of the job":    {"  pool: A\n", "      deploy: {steps: [bash: x]}\n      on: {failure: {pool: A, steps: [bash: x]}}\n", ""},
		"Y224 one names another":            {"  pool: A\n", "      preDeploy: {pool: B, steps: [bash: x]}\n      deploy: {steps: [bash: x]}\n", "(Line: 8, Col: 7): The hook 'deploy' has another pool than the hooks before it, and the hooks of a deployment run on one agent here; give all of them one pool, or make it two deployments"},
		"Y224 one of failure names another": {"", "      deploy: {steps: [bash: x]}\n      on: {failure: {pool: {vmImage: b}, steps: [bash: x]}}\n", "(Line: 7, Col: 28): The hook 'failure' has another pool"},
		"Y224 one needs no agent":           {"", "      preDeploy: {pool: server, steps: [bash: x]}\n      deploy: {steps: [bash: x]}\n", "(Line: 6, Col: 25): The hook 'preDeploy' has the pool 'server', and the hooks of a deployment run on one agent here; put what needs no agent into a job with 'pool: server' beside the deployment"},
	} {
		t.Run(name, func(t *testing.T) {
			root, found := parse.Parse("f.yml", []byte("jobs:\n- deployment: d\n"+c.pool+deployment+c.hooks), parse.Limits{})
			found = append(found, validate.Validate(root, validate.Options{Question: validate.Runnable})...)
			if got := found.Error(); c.want == "" && found.Failed() || !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

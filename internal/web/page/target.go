package page

import (
	"strings"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// machineState is whether a machine can be deployed to.
func machineState(m pipeline.Machine) (State, string) {
	switch {
	case m.Online:
		return Open, "online"
	case m.Registered.IsZero():
		return Wait, "never came"
	}
	return Shut, "offline"
}

// deploymentState is where a deployment to a machine stands.
func deploymentState(d pipeline.Deployment) (State, string) {
	switch plan.Result(d.Result) {
	case plan.Succeeded, plan.SucceededWithIssues:
		return Open, "deployed"
	case plan.Skipped:
		return Wait, "skipped"
	case "":
		if d.Status == string(plan.Running) {
			return Passing, "deploying"
		}
		return Wait, strings.ToLower(d.Status)
	}
	return Shut, strings.ToLower(d.Result)
}

// deployedTo is the newest deployment to a machine; nil when there is none.
func (v EnvironmentView) deployedTo(machine string) *pipeline.Deployment {
	for i := range v.Deployments {
		if v.Deployments[i].Resource == machine {
			return &v.Deployments[i]
		}
	}
	return nil
}

// systemOf is the operating system and the architecture of a machine that came.
func systemOf(m pipeline.Machine) string {
	if m.OS == "" {
		return "–"
	}
	return m.OS + "/" + m.Arch
}

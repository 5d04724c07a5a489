package pipeline

import (
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// notDeployed is why a deployment job of a pull request's run does not run. The file that
// could say otherwise is part of the change that has not been reviewed yet, so nothing in
// it is asked: only who maintains the project lets an environment have review apps.
const notDeployed = "A pull request deploys nowhere: this job runs once the change is merged"

// reviewStep is the step by which a deployment job asks for a review app (D009); nil for none.
func reviewStep(job *plan.Job) *plan.Step {
	if job.Kind != plan.KindDeployment || job.Strategy == nil || job.Environment == nil {
		return nil
	}
	for h := range job.Strategy.Hooks {
		steps := job.Strategy.Hooks[h].Steps
		for i := range steps {
			if steps[i].Enabled && steps[i].Task == plan.TaskReviewApp {
				return &steps[i]
			}
		}
	}
	return nil
}

// notDeployed says why a job does not run because it would deploy, "" when it may run: the run
// is of no pull request, the job deploys nothing, or it deploys to a review app.
func (sc *schedule) notDeployed(job *plan.Job) (string, error) {
	if sc.run.Pull == 0 || job.Kind != plan.KindDeployment {
		return "", nil
	}
	if reviewStep(job) == nil || sc.s.environments == nil {
		return notDeployed, nil
	}
	if kind := job.Environment.ResourceType; kind != "" && !strings.EqualFold(kind, "Kubernetes") || job.Strategy.Name == plan.Rolling {
		return notDeployed + "; a review app has no targets", nil
	}
	on, err := sc.s.environments.ReviewApps(sc.ctx, sc.tx, sc.run.Project, job.Environment.Name)
	if err != nil {
		return "", err
	}
	if !on {
		return fmt.Sprintf("%s; the environment %s has no review apps (towpath env edit %s --review-apps on)", notDeployed, job.Environment.Name, job.Environment.Name), nil
	}
	return "", nil
}

// undeployed are the deployment jobs of a stage that do not run, with the reasons.
func (sc *schedule) undeployed(stage *plan.Stage) (map[string]string, error) {
	out := map[string]string{}
	for i := range stage.Jobs {
		why, err := sc.notDeployed(&stage.Jobs[i])
		if err != nil {
			return nil, err
		}
		out[stage.Jobs[i].Name] = why
	}
	return out, nil
}

// reviewApp is the name of the review app to which a deployment job of a pull request deploys:
// the resource that `environment` names, else that of the step with the number of the pull
// request behind it.
func (sc *schedule) reviewApp(job *plan.Job, values plan.Values) string {
	expand := func(text string) string { return expr.ExpandMacros(text, values.Lookup) }
	resource := expand(job.Environment.Resource)
	if resource == "" {
		resource = expand(reviewStep(job).Inputs["resource"]) + "-pr-" + strconv.FormatInt(sc.run.Pull, 10)
	}
	return job.Environment.Name + "." + resourceName(resource)
}

// resourceName makes a text into what a namespace may be called.
func resourceName(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if s := b.String(); s != "" && !strings.HasSuffix(s, "-") {
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}

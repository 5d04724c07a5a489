package validate

import (
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
)

// stricter returns the rule for a text that the published schema leaves open and the
// service does not: of is the definition it has, key where it stands. nil means that
// the schema says all. A rule returns what is wrong, or "".
func stricter(of, key string) func(text string) string {
	switch {
	case of == "jobContinueOnError":
		return runtimeBoolean
	case key == "timeoutInMinutes", key == "cancelTimeoutInMinutes":
		return runtimeNumber
	case key == "step.timeoutInMinutes", key == "step.retryCountOnTaskFailure":
		return number
	case key == "step.fetchDepth":
		return runtimeNumber
	case key == "parallel":
		return runtimeNumber
	case key == "matrix":
		return runtimeMatrix
	case of == "nonEmptyString", of == "branchFilter": // filters of paths, too, which may start with a slash
		return nonEmpty
	}
	return nil
}

func nonEmpty(text string) string {
	if strings.TrimSpace(text) == "" {
		return "a value is expected here"
	}
	return ""
}

// runtimeBoolean accepts the words of X004 and what is known only when the job starts.
func runtimeBoolean(text string) string {
	switch strings.ToLower(text) {
	case "true", "y", "yes", "on", "false", "n", "no", "off":
		return ""
	}
	if lateValue(text) {
		return ""
	}
	return "expected true or false"
}

// runtimeNumber accepts a whole number and what is known only when the job starts.
func runtimeNumber(text string) string {
	if lateValue(text) || wholeNumber(text) {
		return ""
	}
	return "expected a whole number that is not negative"
}

func number(text string) string {
	if wholeNumber(text) {
		return ""
	}
	return "expected a whole number that is not negative"
}

func runtimeMatrix(text string) string {
	if lateValue(text) {
		return ""
	}
	return "expected a mapping of names to variables, or a runtime expression $[ ]"
}

func wholeNumber(text string) bool {
	return text != "" && len(text) <= 9 && strings.Trim(text, "0123456789") == ""
}

// lateValue reports whether a text holds a runtime expression or a macro.
func lateValue(text string) bool {
	_, runtime := expr.RuntimeExpression(text)
	return runtime || strings.Contains(text, "$(")
}

// limit is a key that the language has and Towpath has not.
type limit struct {
	rule, reason string
	// refused says that ignoring the key would do the wrong thing.
	refused bool
}

// ability finds the limit of a key in a form.
func ability(f *Form, key string) (limit, bool) {
	switch f.Of {
	case "pipeline":
		if slices.Contains([]string{"phases", "queue", "server"}, key) {
			return limit{reason: "the old form of jobs has been replaced; use jobs", refused: true}, true
		}
	case "stage":
		if key == "checks" {
			return limit{rule: "Y132", reason: "checks belong to the environment, where its owner sets them"}, true
		}
	}
	return limit{}, false
}

// title names a form in messages, such as "a bash step"; "" when it has no name.
func (f *Form) title() string {
	first := ""
	if len(f.First) > 0 {
		first = f.First[0]
	}
	switch f.Of {
	case "step", "task":
		if first == "" {
			return "a step"
		}
		return "a " + first + " step"
	case "stage", "job":
		if first == "template" {
			return "a template reference"
		}
		if first != "" {
			return "a " + first
		}
		return "a " + f.Of
	case "variable":
		if first == "group" {
			return "a variable group"
		}
		return "a variable"
	case "repositoryResource", "containerResource", "pipelineResource", "buildResource", "packageResource", "webhookResource":
		return "a " + first + " resource"
	}
	return title(f.Of)
}

// title names a definition in messages.
func title(of string) string {
	switch of {
	case "pipeline":
		return "the pipeline"
	case "trigger", "containerResourceTrigger", "pipelineResourceTrigger":
		return "a trigger"
	case "pr":
		return "a pull request trigger"
	case "includeExcludeFilters", "includeExcludeStringFilters", "triggerBranchFilter":
		return "a filter"
	case "schedule":
		return "a schedule"
	case "resources":
		return "resources"
	case "legacyResource":
		return "a repository"
	case "pool":
		return "a pool"
	case "jobContainer":
		return "a container"
	case "jobWorkspace":
		return "a workspace"
	case "jobStrategy", "jobMatrix":
		return "a job strategy"
	case "deploymentStrategy", "runOnceDeploymentStrategy", "rollingDeploymentStrategy", "canaryDeploymentStrategy":
		return "a deployment strategy"
	case "deploymentEnvironment":
		return "an environment"
	case "stepTarget":
		return "a step target"
	case "onSuccessOrFailureHook":
		return "on"
	case "webhookFilter":
		return "a filter"
	}
	if strings.HasSuffix(of, "Hook") {
		return "a hook"
	}
	return ""
}

func (f *Form) titleOr(other string) string {
	if t := f.title(); t != "" {
		return t
	}
	return "'" + other + "'"
}

// group names what several forms are together.
func group(forms []Form) string {
	if of := forms[0].Of; len(forms) > 1 || of == "step" {
		if of == "task" {
			of = "step"
		}
		return "a " + of
	}
	return forms[0].title()
}

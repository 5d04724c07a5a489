package page

import (
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
)

// state is where an environment stands: a canary that goes on says more than its release.
func (v EnvironmentsView) state(e deploy.Environment) (State, string) {
	if c, ok := v.Canaries[e.Name]; ok {
		return canaryState(c.State), strconv.Itoa(c.Weight) + " % canary"
	}
	return ReleaseState(e.Latest)
}

// redeployable reports whether a release served and does not any more.
func (v EnvironmentView) redeployable(r deploy.Release) bool {
	return r.Result == deploy.Deployed && (v.Current == nil || r.Number != v.Current.Number)
}

func sessionsWord(n int) string {
	if n == 1 {
		return "1 dev session"
	}
	return Count(n) + " dev sessions"
}

// strategyWords says how new releases are tried.
func strategyWords(st *canary.Strategy) string {
	if st == nil || len(st.Steps) == 0 {
		return "go to everybody at once"
	}
	words := make([]string, 0, len(st.Steps)+1)
	for _, x := range st.Steps {
		words = append(words, stepWords(x))
	}
	return "are tried beside the one that serves: " + strings.Join(words, " → ") + " → everybody"
}

// settingWords says what the value of a setting means.
func settingWords(name, value string) string {
	words := map[string]string{
		"routing off":        "off: requests go straight to the pods; the first canary or session turns it on",
		"routing on":         "on: requests pass the router of the namespace",
		"sessions allowed":   "allowed: developers may answer for a service to requests with their key",
		"sessions forbidden": "forbidden: nobody may reach into it, here and in the cluster",
		"drift off":          "not looked for",
		"drift warn":         "said, when what lives is not what was deployed",
		"drift enforce":      "put back, when what lives is not what was deployed",
		"review_apps off":    "off: the runs of pull requests deploy nothing here",
		"review_apps on":     "on: a run of a pull request whose job has the step reviewApp gets a namespace beside this one, which goes with the pull request",
	}
	if w, ok := words[name+" "+value]; ok {
		return w
	}
	return orNone(value)
}

// spareSteps is how many empty rows the form of a strategy offers.
const spareSteps = 2

// stepRows are the rows of the form of a strategy.
func stepRows(st *canary.Strategy) []canary.Step {
	var steps []canary.Step
	if st != nil {
		steps = st.Steps
	}
	return append(steps[:len(steps):len(steps)], make([]canary.Step, spareSteps)...)
}

// stepHint is a placeholder for the first row that is empty.
func stepHint(st *canary.Strategy, row int, text string) string {
	if st == nil && row == 0 || st != nil && row == len(st.Steps) {
		return text
	}
	return ""
}

func wholeOrNone(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func pauseWord(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return spell(d)
}

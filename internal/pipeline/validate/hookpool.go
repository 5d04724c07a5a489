package validate

import (
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/parse"
)

// hookPools refuses a deployment whose hooks have different pools: they run one after the other
// on one agent. The pool that all of them have is that of the deployment, whoever names it.
func (v *validator) hookPools(strategy, job *parse.Node) {
	inherited := job
	if inherited.IsNull() {
		inherited = v.outer
	}
	first := true
	var before []string
	for _, hooks := range []*parse.Node{strategy, strategy.Get("on")} {
		if hooks == nil || hooks.Kind != parse.Mapping {
			continue
		}
		for _, hook := range hooks.Pairs {
			if hook.Value.Get("steps") == nil {
				continue // "on", "increments" and the like
			}
			own, at := hook.Value.Get("pool"), hook.Key
			if own.IsNull() {
				own = inherited
			} else {
				at = own
			}
			words := poolWords(own)
			switch {
			case slices.Equal(words, []string{"server"}):
				v.lacking(at, "Y224", "The hook '%s' has the pool 'server', and the hooks of a deployment run on one agent here; put what needs no agent into a job with 'pool: server' beside the deployment", hook.Key.Value)
				return
			case !first && !slices.Equal(words, before):
				v.lacking(at, "Y224", "The hook '%s' has another pool than the hooks before it, and the hooks of a deployment run on one agent here; give all of them one pool, or make it two deployments", hook.Key.Value)
				return
			}
			first, before = false, words
		}
	}
}

// poolWords are a pool in a form that compares; none for one that nobody names.
func poolWords(n *parse.Node) []string {
	switch {
	case n.IsNull():
		return nil
	case n.Kind == parse.Scalar:
		return []string{strings.ToLower(n.Text())}
	}
	var out []string
	if name := n.Get("name").Text(); name != "" {
		out = append(out, strings.ToLower(name))
	}
	if image := n.Get("vmImage").Text(); image != "" {
		out = append(out, "vmImage "+strings.ToLower(image))
	}
	for _, d := range listed(n.Get("demands")) {
		out = append(out, "demand "+d.Text())
	}
	return out
}

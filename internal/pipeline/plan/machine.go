package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
)

// Machine is a virtual machine of an environment, as far as a deployment chooses by it.
type Machine struct {
	Name string
	Tags []string
}

// Machines returns the virtual machines that a deployment goes to, in the order of known:
// all that carry every tag, or the one that resourceName names (Y197, Y200, D008). Names
// and tags compare without regard to case. on is false when the deployment is not for
// machines but for the environment's namespace. values are the variables of the job, for
// the macros in names and tags; known are the machines that the environment has.
//
// A deployment is for machines when its resourceType says so, and without a resourceType
// when its strategy is rolling (D002), when it names tags, or when its resource is the
// name of a machine. An error says why the job cannot start: no machine fits, or the
// strategy and the type of the resource contradict each other.
func (j *Job) Machines(values Values, known []Machine) (chosen []Machine, on bool, err error) {
	env := j.Environment
	if env == nil || j.Strategy == nil {
		return nil, false, nil
	}
	resource := strings.TrimSpace(expr.ExpandMacros(env.Resource, values.Lookup))
	tags := tagsOf(expr.ExpandMacros(strings.Join(env.Tags, ","), values.Lookup))
	named := func(m Machine) bool { return strings.EqualFold(m.Name, resource) }
	switch kind := strings.TrimSpace(expr.ExpandMacros(env.ResourceType, values.Lookup)); {
	case strings.EqualFold(kind, VirtualMachine):
		on = true
	case kind == "":
		on = j.Strategy.Name == Rolling || len(tags) > 0 || resource != "" && slices.ContainsFunc(known, named)
	case !strings.EqualFold(kind, Kubernetes):
		return nil, false, fmt.Errorf("the resource type %q of the environment %s is not known; use %s or %s", kind, env.Name, VirtualMachine, Kubernetes)
	case j.Strategy.Name == Rolling:
		return nil, false, fmt.Errorf("the strategy rolling goes over virtual machines, and the resource type is %s; use canary or runOnce", Kubernetes)
	}
	if !on {
		return nil, false, nil
	}
	if j.Strategy.Name == Canary {
		return nil, true, fmt.Errorf("the strategy canary deals the requests of a namespace; use rolling or runOnce for the virtual machines of the environment %s", env.Name)
	}
	for _, m := range known {
		if (resource == "" || named(m)) && m.carries(tags) {
			chosen = append(chosen, m)
		}
	}
	switch {
	case len(chosen) == 0:
		return nil, true, fmt.Errorf("no virtual machine of the environment %s %s; it has %s", env.Name, wanted(resource, tags), listed(known))
	case len(chosen) > maxLegs:
		return nil, true, fmt.Errorf("%d virtual machines of the environment %s are to be deployed to, and one job goes to %d at most; choose by tags", len(chosen), env.Name, maxLegs)
	}
	return chosen, true, nil
}

// carries reports whether a machine has every one of the tags.
func (m Machine) carries(tags []string) bool {
	for _, want := range tags {
		if !slices.ContainsFunc(m.Tags, func(has string) bool { return strings.EqualFold(has, want) }) {
			return false
		}
	}
	return true
}

// tagsOf splits a list of tags at its commas.
func tagsOf(text string) []string {
	var tags []string
	for tag := range strings.SplitSeq(text, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// wanted says in words what no machine has.
func wanted(resource string, tags []string) string {
	var words []string
	if resource != "" {
		words = append(words, "is called "+resource)
	}
	switch len(tags) {
	case 0:
	case 1:
		words = append(words, "carries the tag "+tags[0])
	default:
		words = append(words, "carries all of the tags "+strings.Join(tags, ", "))
	}
	if len(words) == 0 {
		return "is registered"
	}
	return strings.Join(words, " and ")
}

// maxNamed is how many machines a message names.
const maxNamed = 20

// listed names the machines that there are, with their tags.
func listed(known []Machine) string {
	if len(known) == 0 {
		return "none: make one with towpath env target add, and start its agent"
	}
	var words []string
	for i, m := range known {
		if i == maxNamed {
			words = append(words, fmt.Sprintf("and %d more", len(known)-i))
			break
		}
		tags := "no tags"
		if len(m.Tags) > 0 {
			tags = strings.Join(m.Tags, ", ")
		}
		words = append(words, m.Name+" ("+tags+")")
	}
	return strings.Join(words, ", ")
}

// Batch returns how many of n machines are deployed to at a time: all of them by runOnce,
// and as many as maxParallel says by rolling (D002). maxParallel is the evaluated text, a
// whole number from 1 or a percentage of the machines up to "100%", which is rounded down
// and is at least one machine. Without it one machine follows the other.
func (s *Strategy) Batch(maxParallel string, n int) (int, error) {
	maxParallel = strings.TrimSpace(maxParallel)
	switch {
	case s.Name != Rolling:
		return n, nil
	case maxParallel == "":
		return 1, nil
	}
	number, percent := strings.CutSuffix(maxParallel, "%")
	size, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil || size < 1 || percent && size > 100 {
		return 0, fmt.Errorf("maxParallel is %q; it is a number of machines from 1, or a percentage from 1%% to 100%%", maxParallel)
	}
	if percent {
		size = max(1, n*size/100)
	}
	return min(size, n), nil
}

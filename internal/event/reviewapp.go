package event

import "strings"

// ReviewApp takes the name of a review app apart: "review.web-pr-7" is the resource web-pr-7 of
// the environment review. Names of other environments have no dot, so ok is false for them. A
// review app is an environment of its own in everything but this: rules of the environment
// that it is of hold in it too, and what happens in it is no failure of anything that was
// merged.
func ReviewApp(environment string) (base, resource string, ok bool) {
	return strings.Cut(environment, ".")
}

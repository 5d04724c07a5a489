package engine_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

func TestViolations(t *testing.T) {
	tests := map[string][]rule.Violation{
		"spec.hostNetwork: must not be true": {{Path: "spec.hostNetwork", Message: "must not be true"}},
		"spec.containers[name=a].securityContext.privileged: no; spec.containers[1].image: is a tag": {
			{Path: "spec.containers[name=a].securityContext.privileged", Message: "no"}, {Path: "spec.containers[1].image", Message: "is a tag"},
		},
		"spec.a: one; two; spec.b: three":                  {{Path: "spec.a", Message: "one; two"}, {Path: "spec.b", Message: "three"}},
		"metadata.annotations[a.b/c-d]: is not allowed":    {{Path: "metadata.annotations[a.b/c-d]", Message: "is not allowed"}},
		"Privileged container is not allowed: nginx":       {{Message: "Privileged container is not allowed: nginx"}},
		"Container: a is bad":                              {{Message: "Container: a is bad"}},
		"the image is wrong; spec.x: y":                    {{Message: "the image is wrong"}, {Path: "spec.x", Message: "y"}},
		"spec.containers[name=a b]: a name that cannot be": {{Message: "spec.containers[name=a b]: a name that cannot be"}},
	}
	for message, want := range tests {
		if diff := cmp.Diff(want, engine.Violations(message)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", message, diff)
		}
	}
}

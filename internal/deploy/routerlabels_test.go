package deploy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestLabelsInCommon picks the labels that the router may have too.
func TestLabelsInCommon(t *testing.T) {
	type labels = map[string]string
	for _, c := range []struct {
		name            string
		pods, selectors []labels
		want            labels
	}{
		{"no workloads", nil, nil, nil},
		{"all have it", []labels{{"app": "a", "owner": "x"}, {"app": "b", "owner": "x"}}, []labels{{"app": "a"}, {"app": "b"}}, labels{"owner": "x"}},
		{"one has it not", []labels{{"owner": "x"}, {"app": "b"}}, nil, labels{}},
		{"different values", []labels{{"owner": "x"}, {"owner": "y"}}, nil, labels{}},
		{"a Service selects by it", []labels{{"tier": "web", "owner": "x"}}, []labels{{"tier": "web"}}, labels{"owner": "x"}},
		{"whose it is", []labels{{"app.kubernetes.io/name": "web", "azure-pipelines/version": "stable", "owner": "x"}}, nil, labels{"owner": "x"}},
	} {
		if diff := cmp.Diff(c.want, shared(c.pods, c.selectors), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

package app

import (
	"testing"

	"towpath.dev/towpath/internal/fault"
)

func TestManifestAction(t *testing.T) {
	for _, c := range []struct {
		name, action, strategy, method, percentage, replicas string
		want                                                 manifestPlan
		kind                                                 fault.Kind
	}{
		{"Deploy", "deploy", "", "", "", "", manifestPlan{action: "deploy"}, ""},
		{"None", "Deploy", "none", "smi", "25", "", manifestPlan{action: "deploy"}, ""},
		{"Canary", "deploy", "canary", "pod", "25", "", manifestPlan{action: "deploy", percent: 25}, ""},
		{"CanaryByDefaultMethod", "deploy", "Canary", "", " 100 ", "", manifestPlan{action: "deploy", percent: 100}, ""},
		{"CanaryBySMI", "deploy", "canary", "SMI", "25", "", manifestPlan{action: "deploy", percent: 25, smi: true, replicas: 1}, ""},
		{"CanaryBySMIWithReplicas", "deploy", "canary", "smi", "25", "3", manifestPlan{action: "deploy", percent: 25, smi: true, replicas: 3}, ""},
		{"Promote", "promote", "canary", "pod", "25", "", manifestPlan{action: "promote"}, ""},
		{"PromoteBySMI", "promote", "canary", "smi", "", "", manifestPlan{action: "promote", smi: true}, ""},
		{"Reject", "reject", "canary", "", "", "", manifestPlan{action: "reject"}, ""},
		{"CreateSecret", "createSecret", "", "", "", "", manifestPlan{action: "createsecret"}, ""},
		{"ErrPromoteWithoutCanary", "promote", "", "", "", "", manifestPlan{}, fault.Invalid},
		{"ErrPercentage", "deploy", "canary", "", "0", "", manifestPlan{}, fault.Invalid},
		{"ErrPercentageMissing", "deploy", "canary", "", "", "", manifestPlan{}, fault.Invalid},
		{"ErrReplicas", "deploy", "canary", "smi", "25", "many", manifestPlan{}, fault.Invalid},
		{"ErrMethod", "deploy", "canary", "mesh", "25", "", manifestPlan{}, fault.Invalid},
		{"ErrStrategy", "deploy", "rolling", "", "25", "", manifestPlan{}, fault.Invalid},
		{"Bake", "bake", "", "", "", "", manifestPlan{action: "bake"}, ""},
		{"ErrAction", "cook", "", "", "", "", manifestPlan{}, fault.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := manifestAction(map[string]string{
				"action": c.action, "strategy": c.strategy, "trafficSplitMethod": c.method, "percentage": c.percentage, "baselineAndCanaryReplicas": c.replicas,
			})
			if got != c.want || fault.KindOf(err) != c.kind {
				t.Errorf("got %+v, %v; want %+v, kind %q", got, err, c.want, c.kind)
			}
		})
	}
}

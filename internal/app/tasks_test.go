package app

import (
	"testing"

	"towpath.dev/towpath/internal/fault"
)

func TestManifestAction(t *testing.T) {
	for _, c := range []struct {
		name, action, strategy, method, percentage string
		want                                       string
		percent                                    int
		kind                                       fault.Kind
	}{
		{"Deploy", "deploy", "", "", "", "deploy", 0, ""},
		{"None", "Deploy", "none", "", "25", "deploy", 0, ""},
		{"Canary", "deploy", "canary", "pod", "25", "deploy", 25, ""},
		{"CanaryByDefaultMethod", "deploy", "Canary", "", " 100 ", "deploy", 100, ""},
		{"Promote", "promote", "canary", "pod", "25", "promote", 0, ""},
		{"Reject", "reject", "canary", "", "", "reject", 0, ""},
		{"ErrPromoteWithoutCanary", "promote", "", "", "", "", 0, fault.Invalid},
		{"ErrPercentage", "deploy", "canary", "", "0", "", 0, fault.Invalid},
		{"ErrPercentageMissing", "deploy", "canary", "", "", "", 0, fault.Invalid},
		{"ErrMethod", "deploy", "canary", "smi", "25", "", 0, fault.Invalid},
		{"ErrStrategy", "deploy", "rolling", "", "25", "", 0, fault.Invalid},
		{"ErrAction", "patch", "", "", "", "", 0, fault.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			action, percent, err := manifestAction(map[string]string{
				"action": c.action, "strategy": c.strategy, "trafficSplitMethod": c.method, "percentage": c.percentage,
			})
			if action != c.want || percent != c.percent || fault.KindOf(err) != c.kind {
				t.Errorf("got %q, %d, %v; want %q, %d, kind %q", action, percent, err, c.want, c.percent, c.kind)
			}
		})
	}
}

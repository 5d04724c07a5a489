package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// Y197, Y199, Y200, D002, D008: which machines a deployment goes to, and what is said when
// there are none.
func TestMachines(t *testing.T) {
	known := []plan.Machine{
		{Name: "cache-1"}, {Name: "db-1", Tags: []string{"db"}}, {Name: "web-1", Tags: []string{"web", "eu"}}, {Name: "web-2", Tags: []string{"Web", "us"}},
	}
	everything := []string{"cache-1", "db-1", "web-1", "web-2"}
	values := plan.Values{}
	values.Set(plan.Value{Name: "where", Text: "EU"})
	vm, kube := "virtualMachine", "Kubernetes"
	tests := []struct {
		name     string
		strategy string
		env      plan.Environment
		known    []plan.Machine
		want     []string
		on       bool
		err      string
	}{
		{"a namespace", plan.RunOnce, plan.Environment{}, known, nil, false, ""},
		{"a namespace by name", plan.RunOnce, plan.Environment{Resource: "shop-production"}, known, nil, false, ""},
		{"Y199 Kubernetes is never a machine", plan.RunOnce, plan.Environment{Resource: "web-1", ResourceType: kube, Tags: []string{"web"}}, known, nil, false, ""},
		{"all of a type", plan.RunOnce, plan.Environment{ResourceType: vm}, known, everything, true, ""},
		{"rolling needs no type", plan.Rolling, plan.Environment{}, known, everything, true, ""},
		{"Y200 one tag", plan.Rolling, plan.Environment{Tags: []string{"web"}}, known, []string{"web-1", "web-2"}, true, ""},
		{"Y200 all of the tags", plan.RunOnce, plan.Environment{Tags: []string{"web", "us"}}, known, []string{"web-2"}, true, ""},
		{"tags of a macro", plan.RunOnce, plan.Environment{Tags: []string{"web,$(where)"}}, known, []string{"web-1"}, true, ""},
		{"Y197 a machine by name", plan.RunOnce, plan.Environment{Resource: "DB-1"}, known, []string{"db-1"}, true, ""},
		{"name and tag", plan.RunOnce, plan.Environment{Resource: "db-1", Tags: []string{"web"}}, known, nil, true,
			"no virtual machine of the environment e is called db-1 and carries the tag web; it has cache-1 (no tags), db-1 (db), web-1 (web, eu), web-2 (Web, us)"},
		{"no machine fits", plan.Rolling, plan.Environment{Tags: []string{"db", "eu"}}, known, nil, true,
			"no virtual machine of the environment e carries all of the tags db, eu; it has cache-1 (no tags), db-1 (db), web-1 (web, eu), web-2 (Web, us)"},
		{"no machine at all", plan.Rolling, plan.Environment{}, nil, nil, true,
			"no virtual machine of the environment e is registered; it has none: make one with towpath env target add, and start its agent"},
		{"D003 canary", plan.Canary, plan.Environment{ResourceType: vm}, known, nil, true, "the strategy canary deals the requests of a namespace"},
		{"D002 rolling over Kubernetes", plan.Rolling, plan.Environment{ResourceType: kube}, known, nil, false, "the strategy rolling goes over virtual machines"},
		{"an unknown type", plan.RunOnce, plan.Environment{ResourceType: "Mainframe"}, known, nil, false, `the resource type "Mainframe" of the environment e is not known`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.env.Name = "e"
			job := &plan.Job{Kind: plan.KindDeployment, Environment: &tt.env, Strategy: &plan.Strategy{Name: tt.strategy}}
			got, on, err := job.Machines(values, tt.known)
			var names []string
			for _, m := range got {
				names = append(names, m.Name)
			}
			if diff := cmp.Diff(tt.want, names); diff != "" || on != tt.on {
				t.Errorf("on machines: %t, want %t\n%s", on, tt.on, diff)
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.HasPrefix(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
	many := make([]plan.Machine, 257)
	job := &plan.Job{Environment: &plan.Environment{Name: "e"}, Strategy: &plan.Strategy{Name: plan.Rolling}}
	if _, _, err := job.Machines(nil, many); err == nil {
		t.Error("a job went to more machines than it has legs")
	}
	if _, _, err := (&plan.Job{Environment: &plan.Environment{Name: "e", Tags: []string{"x"}}, Strategy: &plan.Strategy{Name: plan.RunOnce}}).Machines(nil, many[:100]); err == nil || !strings.HasSuffix(err.Error(), "and 80 more") {
		t.Errorf("the message names everything: %v", err)
	}
}

// D002: maxParallel is a number, or a percentage that is rounded down.
func TestBatch(t *testing.T) {
	tests := []struct {
		strategy, maxParallel string
		n, want               int
	}{
		{plan.RunOnce, "", 7, 7}, {plan.Rolling, "", 7, 1}, {plan.Rolling, "1", 7, 1}, {plan.Rolling, "3", 7, 3}, {plan.Rolling, "9", 7, 7},
		{plan.Rolling, "50%", 7, 3}, {plan.Rolling, "25%", 8, 2}, {plan.Rolling, "1%", 7, 1}, {plan.Rolling, "100%", 7, 7}, {plan.Rolling, " 50 % ", 4, 2},
		{plan.Rolling, "0", 7, 0}, {plan.Rolling, "0%", 7, 0}, {plan.Rolling, "101%", 7, 0}, {plan.Rolling, "-1", 7, 0}, {plan.Rolling, "many", 7, 0}, {plan.Rolling, "%", 7, 0},
		{plan.Rolling, "1.5", 7, 0},
	}
	for _, tt := range tests {
		got, err := (&plan.Strategy{Name: tt.strategy}).Batch(tt.maxParallel, tt.n)
		if got != tt.want || (err != nil) != (tt.want == 0) {
			t.Errorf("%s, maxParallel %q of %d: %d %v, want %d", tt.strategy, tt.maxParallel, tt.n, got, err, tt.want)
		}
	}
}

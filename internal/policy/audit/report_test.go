package audit_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func TestCompliance(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		b.api.put("pods", pod("shop-production", "good", false))
		b.api.put("pods", pod("shop-production", "bad", true))
		b.api.put("pods", pod("elsewhere", "bad", true))
		b.start()
		all := b.report(audit.Filter{Assignment: policy.Baseline})
		if len(all.Assignments) != 1 || !all.Synced {
			t.Fatalf("report %+v", all)
		}
		a := all.Assignments[0]
		if diff := cmp.Diff(map[string]int{rule.Compliant: 1, rule.Denied: 2}, a.Outcomes); diff != "" || a.Objects != 3 || a.Percent < 33.3 || a.Percent > 33.4 || a.Since.IsZero() {
			t.Errorf("assignment %+v\n%s", a, diff)
		}
		if all.Objects[0].Outcome != rule.Denied || all.Total != len(all.Objects) || all.Total < 3 {
			t.Errorf("%d of %d verdicts, the first %+v", len(all.Objects), all.Total, all.Objects[0])
		}
		for _, c := range []struct {
			filter audit.Filter
			want   int
		}{
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied}, 2},
			{audit.Filter{Assignment: policy.Baseline, Outcome: audit.Violated, Namespace: "elsewhere"}, 1},
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied, Project: "shop"}, 1},
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied, Project: "shop", Environment: "staging"}, 0},
			{audit.Filter{Assignment: policy.Baseline, Kind: "Deployment"}, 0},
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied, Text: "BAD"}, 2},
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied, Text: "%"}, 0},
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied, Limit: 1, Offset: 1}, 2},
		} {
			r := b.report(c.filter)
			rest := max(0, c.want-c.filter.Offset)
			if c.filter.Limit > 0 {
				rest = min(rest, c.filter.Limit)
			}
			if r.Total != c.want || len(r.Objects) != rest {
				t.Errorf("%+v selects %d verdicts and shows %d, want %d and %d", c.filter, r.Total, len(r.Objects), c.want, rest)
			}
		}
		mine, err := b.audit.Compliance(t.Context(), ada, audit.Filter{Project: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range mine.Objects {
			if o.Namespace != "shop-production" {
				t.Errorf("a member of shop sees %+v", o)
			}
		}
		for _, f := range []audit.Filter{{}, {Project: "other"}, {Namespace: "shop-production"}} {
			if _, err := b.audit.Compliance(t.Context(), ada, f); err == nil {
				t.Errorf("a member of shop may see %+v", f)
			}
		}
		for _, f := range []audit.Filter{{Environment: "production"}, {Outcome: "fine"}, {Limit: -1}, {Limit: audit.MaxLimit + 1}} {
			if _, err := b.audit.Compliance(t.Context(), root, f); err == nil {
				t.Errorf("%+v is accepted", f)
			}
		}
	})
}

package judge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert/judge"
	"towpath.dev/towpath/internal/monitor/table"
)

// TestOneGroup holds conditions against sequences of evaluations, a minute apart. A value
// "-" is a group that is not in the result. What is wanted: . inactive, p pending, F fires,
// f goes on firing, R resolves, m muted. "x" in the values closes the alert by hand before
// the evaluation that follows.
func TestOneGroup(t *testing.T) {
	above := judge.Condition{Operator: ">", Threshold: 10, Bad: 1, Of: 1, AutoResolve: true}
	with := func(change func(*judge.Condition)) judge.Condition {
		c := above
		change(&c)
		return c
	}
	tests := []struct {
		name   string
		c      judge.Condition
		values string
		want   string
	}{
		{"fires at once and resolves at once", above, "5 11 12 5 11", ". F f R F"},
		{"the threshold itself is not above", above, "10", "."},
		{"two of three", with(func(c *judge.Condition) { c.Bad, c.Of = 2, 3 }), "11 5 11 5 5 11 11", "p . F R . p F"},
		{"two of three goes on while two of the last three are bad", with(func(c *judge.Condition) { c.Bad, c.Of = 2, 3 }), "11 11 5 11 5 5", "p F f f R ."},
		{"three of three", with(func(c *judge.Condition) { c.Bad, c.Of = 3, 3 }), "11 11 5 11 11 11 5", "p p . p p F R"},
		{"without auto-resolve it stays until somebody closes it", with(func(c *judge.Condition) { c.AutoResolve = false }), "11 5 5 x 5 11", "F f f . F"},
		{"closed while it is bad, it fires anew", above, "11 11 x 11", "F f F"},
		{"closed, what was bad before is not news", with(func(c *judge.Condition) { c.Bad, c.Of = 1, 3 }), "11 x 5 5 5", "F p p ."},
		{"mute holds back what fires again", with(func(c *judge.Condition) { c.Mute = 3 * time.Minute }), "11 5 11 11 11 5", "F R m F f R"},
		{"mute does not hold back the resolution", with(func(c *judge.Condition) { c.Mute = time.Hour }), "11 11 5 5 11", "F f R . m"},
		{"mute holds back after a close", with(func(c *judge.Condition) { c.Mute = 2 * time.Minute }), "11 x 11 11", "F m F"},
		{"quiet fires nothing, and counts nothing as fired", with(func(c *judge.Condition) { c.Quiet, c.Mute = true, time.Hour }), "11 11", "m m"},
		{"a group that is not there is not bad", above, "11 - 11", "F R F"},
		{"no rows is a number when rows are counted", judge.Condition{Operator: "<", Threshold: 1, Bad: 1, Of: 1, AutoResolve: true, CountsRows: true}, "3 0 0 2", ". F f R"},
		{"counted rows of a group that vanishes are none", judge.Condition{Operator: "<", Threshold: 1, Bad: 1, Of: 2, AutoResolve: true, CountsRows: true}, "0 - 5 5", "F f f R"},
		{"not equal", with(func(c *judge.Condition) { c.Operator = "!=" }), "10 9 10", ". F R"},
		{"at most", with(func(c *judge.Condition) { c.Operator = "<=" }), "11 10 9", ". F f"},
		{"at least", with(func(c *judge.Condition) { c.Operator = ">=" }), "9 10", ". F"},
		{"equal", with(func(c *judge.Condition) { c.Operator = "==" }), "9 10", ". F"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, run(t, test.c, test.values)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.values, diff)
			}
		})
	}
}

func run(t *testing.T, c judge.Condition, values string) string {
	t.Helper()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	dims := map[string]string{"PodName": "cart-1"}
	memory, open := judge.Memory{}, false
	var out []string
	for _, word := range strings.Fields(values) {
		if word == "x" {
			open = false
			continue
		}
		var groups []judge.Group
		if word != "-" {
			g := judge.Group{Labels: dims}
			if _, err := fmt.Sscan(word, &g.Value); err != nil {
				t.Fatal(err)
			}
			groups = append(groups, g)
		}
		verdicts, after := c.Judge(memory, groups, at, func(map[string]string) bool { return open })
		memory, at = after, at.Add(time.Minute)
		if len(verdicts) == 0 {
			out = append(out, ".")
			continue
		}
		v := verdicts[0]
		switch {
		case len(verdicts) != 1 || (v.Fire && v.Resolve):
			t.Fatalf("verdicts %+v", verdicts)
		case v.Fire:
			open = true
			out = append(out, "F")
		case v.Resolve:
			open = false
			out = append(out, "R")
		default:
			out = append(out, map[string]string{judge.Inactive: ".", judge.Pending: "p", judge.Firing: "f", judge.Muted: "m"}[v.State])
		}
	}
	return strings.Join(out, " ")
}

// TestGroupsAreJudgedByThemselves shows that each combination has a track of its own, and
// that a good one is not remembered.
func TestGroupsAreJudgedByThemselves(t *testing.T) {
	c := judge.Condition{Operator: ">", Threshold: 10, Bad: 2, Of: 2, AutoResolve: true}
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	group := func(pod string, v float64) judge.Group {
		return judge.Group{Labels: map[string]string{"PodName": pod}, Value: v}
	}
	never := func(map[string]string) bool { return false }
	_, memory := c.Judge(nil, []judge.Group{group("a", 11), group("b", 1)}, at, never)
	if len(memory) != 1 {
		t.Errorf("%d groups are remembered, want the bad one: %v", len(memory), memory)
	}
	verdicts, _ := c.Judge(memory, []judge.Group{group("a", 11), group("b", 11)}, at.Add(time.Minute), never)
	if len(verdicts) != 2 || !verdicts[0].Fire || verdicts[1].Fire || verdicts[1].State != judge.Pending {
		t.Errorf("verdicts %+v, want a to fire and b to be pending", verdicts)
	}
}

func batch() *table.Batch {
	return &table.Batch{
		Columns: []table.Column{{Name: "PodName", Kind: table.String}, {Name: "Ms", Kind: table.Real}, {Name: "Took", Kind: table.TimeSpan}, {Name: "When", Kind: table.DateTime}},
		Vectors: []table.Vector{
			{Kind: table.String, Text: []string{"a", "b", "a", ""}},
			{Kind: table.Real, Real: []float64{1, 20, 4, 0}, Null: []bool{false, false, false, true}},
			{Kind: table.TimeSpan, Int: []int64{table.TicksPerSecond, 2 * table.TicksPerSecond, 3 * table.TicksPerSecond, 0}},
			{Kind: table.DateTime, Int: make([]int64, 4)},
		},
	}
}

func TestMeasure(t *testing.T) {
	group := func(pod string, v float64, rows int) judge.Group {
		return judge.Group{Labels: map[string]string{"PodName": pod}, Value: v, Rows: rows}
	}
	tests := []struct {
		name string
		m    judge.Measure
		want []judge.Group
	}{
		{"rows", judge.Measure{}, []judge.Group{{Labels: map[string]string{}, Value: 4, Rows: 4}}},
		{"rows by pod", judge.Measure{Dimensions: []string{"PodName"}}, []judge.Group{group("a", 2, 2), group("b", 1, 1), group("", 1, 1)}},
		{"max is the default", judge.Measure{Column: "Ms"}, []judge.Group{{Labels: map[string]string{}, Value: 20, Rows: 4}}},
		{"min", judge.Measure{Column: "Ms", Aggregate: "min"}, []judge.Group{{Labels: map[string]string{}, Value: 1, Rows: 4}}},
		{"avg leaves nulls out", judge.Measure{Dimensions: []string{"PodName"}, Column: "Ms", Aggregate: "avg"}, []judge.Group{group("a", 2.5, 2), group("b", 20, 1)}},
		{"sum", judge.Measure{Column: "Ms", Aggregate: "sum"}, []judge.Group{{Labels: map[string]string{}, Value: 25, Rows: 4}}},
		{"a timespan is in seconds", judge.Measure{Column: "Took"}, []judge.Group{{Labels: map[string]string{}, Value: 3, Rows: 4}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.m.Groups(batch())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, m := range []judge.Measure{{Dimensions: []string{"Pod"}}, {Column: "ms"}, {Column: "PodName"}, {Column: "When"}} {
		if _, err := m.Groups(batch()); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: error %v, want that it cannot be measured", m, err)
		}
	}
	empty, err := judge.Measure{}.Groups(&table.Batch{})
	if err != nil || len(empty) != 1 || empty[0].Value != 0 {
		t.Errorf("no rows are %v, %v; want one group of none", empty, err)
	}
	many := &table.Batch{Columns: []table.Column{{Name: "N", Kind: table.Long}}, Vectors: []table.Vector{{Kind: table.Long}}}
	for i := range 1001 {
		many.Vectors[0].Int = append(many.Vectors[0].Int, int64(i))
	}
	if _, err := (judge.Measure{Dimensions: []string{"N"}}).Groups(many); !fault.Is(err, fault.TooLarge) {
		t.Errorf("1,001 groups: %v, want that it is too many", err)
	}
}

package alert_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/store/storetest"
)

// jammed never comes to an end with the questions of one project, once it is told to.
type jammed struct {
	*answers
	project string
	on      atomic.Bool
}

func (j *jammed) Run(ctx context.Context, ask query.Ask) (*query.Result, error) {
	if j.on.Load() && ask.Project == j.project {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return j.answers.Run(ctx, ask)
}

func TestRulesOfOneProjectDoNotKeepTheOthersWaiting(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	w.Stop()
	w.queries.say(counts(map[string]int64{"cart-1": 7}))
	stuck := &jammed{answers: w.queries, project: "bank"}
	w.parts.Queries = stuck
	w.begin()
	rule := func(project, name string) alert.Rule {
		return alert.Rule{Project: project, Name: name, Kind: alert.Query, Query: "X", Enabled: true, Every: alert.Duration(5 * time.Second), Condition: &alert.Condition{Dimensions: []string{"PodName"}}}
	}
	for i := range 10 {
		if _, err := w.PutRule(t.Context(), attacker, rule("bank", fmt.Sprint("heavy-", i))); err != nil {
			t.Fatal(err)
		}
	}
	mine, err := w.PutRule(t.Context(), writer, rule("shop", "light"))
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	stuck.on.Store(true)
	if w.Service, err = alert.New(w.parts, w.options); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	// With half of the room taken for good, the rule of shop keeps its pace.
	for n := 2; n <= 8; n += 3 {
		w.until(fmt.Sprintf("the rule of shop is evaluated %d times", n), func() bool {
			list, err := w.Evaluations(t.Context(), writer, mine.ID, 0)
			return err == nil && len(list) >= n
		})
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

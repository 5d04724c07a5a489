package turn_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/turn"
)

// enter takes a place that there must be.
func enter(t *testing.T, turns *turn.Turns, name string) (leave func()) {
	t.Helper()
	leave, err := turns.Try(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return leave
}

func TestNobodyHasMoreThanAShare(t *testing.T) {
	turns := turn.New(4, 2)
	leave := enter(t, turns, "greedy")
	enter(t, turns, "greedy")
	if _, err := turns.Try("greedy"); !fault.Is(err, fault.Throttled) {
		t.Errorf("a third: %v", err)
	}
	enter(t, turns, "modest")
	enter(t, turns, "third")
	if _, err := turns.Try("fourth"); !fault.Is(err, fault.Throttled) {
		t.Errorf("more than there are: %v", err)
	}
	leave()
	enter(t, turns, "fourth")
}

func TestWhoWaitsBehindAShareIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := turn.New(2, 1)
		first, second := enter(t, turns, "greedy"), enter(t, turns, "modest")
		var order []string
		var mu sync.Mutex
		var done sync.WaitGroup
		for _, name := range []string{"greedy", "greedy", "other"} {
			done.Go(func() {
				leave, err := turns.Enter(t.Context(), name)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				if name == "greedy" {
					leave()
				}
			})
			synctest.Wait()
		}
		second() // Before "other" two of "greedy" wait, who have their share.
		synctest.Wait()
		mu.Lock()
		if len(order) != 1 || order[0] != "other" {
			t.Errorf("order %v", order)
		}
		mu.Unlock()
		first()
		done.Wait()
	})
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := turn.New(1, 1)
		leave := enter(t, turns, "a")
		if _, err := turns.Enter(t.Context(), "b"); !fault.Is(err, fault.Throttled) {
			t.Errorf("after a while: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := turns.Enter(ctx, "b"); !errors.Is(err, context.Canceled) {
			t.Errorf("when the asker went away: %v", err)
		}
		var refused atomic.Int64
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				end, err := turns.Enter(t.Context(), "b")
				if err != nil {
					refused.Add(1)
					return
				}
				end()
			})
		}
		synctest.Wait()
		if n := refused.Load(); n != 36 {
			t.Errorf("%d of 100 were told at once to come again", n)
		}
		leave()
		all.Wait()
		if n := refused.Load(); n != 36 {
			t.Errorf("%d of 100 were refused", n)
		}
		enter(t, turns, "c")
	})
}

// stuck is a Runner that answers when it is let go on.
type stuck struct {
	running atomic.Int64
	goOn    chan struct{}
}

func (s *stuck) Run(context.Context, query.Ask) (*query.Result, error) {
	s.running.Add(1)
	defer s.running.Add(-1)
	<-s.goOn
	return &query.Result{}, nil
}

func TestQueriesOfAProjectDoNotStarveTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{goOn: make(chan struct{})}
		q := turn.Queries{Next: s, Turns: turn.New(4, 2)}
		var all sync.WaitGroup
		ask := func(n int, a query.Ask) {
			for range n {
				all.Go(func() {
					if _, err := q.Run(t.Context(), a); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
		}
		ask(20, query.Ask{Project: "greedy"})
		if n := s.running.Load(); n != 2 {
			t.Errorf("%d run", n)
		}
		ask(1, query.Ask{Project: "modest"})
		ask(1, query.Ask{All: true})
		if n := s.running.Load(); n != 4 {
			t.Errorf("%d run with those of others", n)
		}
		close(s.goOn)
		all.Wait()
	})
}

func TestWorkWaitsAsLongAsItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := turn.New(1, 1)
		leave := enter(t, turns, "a")
		var all sync.WaitGroup
		var done atomic.Int64
		for range 200 {
			all.Go(func() {
				end, err := turns.Wait(t.Context(), "b")
				if err != nil {
					t.Error(err)
					return
				}
				done.Add(1)
				end()
			})
		}
		time.Sleep(time.Hour)
		leave()
		all.Wait()
		if done.Load() != 200 {
			t.Errorf("%d were done", done.Load())
		}
	})
}

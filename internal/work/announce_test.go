package work_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work"
)

// crier hears of items; the first time it fails.
type crier struct {
	heard  chan string
	failed bool
}

func (c *crier) Announce(_ context.Context, it work.Item, what string) error {
	if !c.failed {
		c.failed = true
		return errors.New("the receiver is away")
	}
	c.heard <- fmt.Sprintf("%s %s: %s", it.Severity, what, it.Title)
	return nil
}

func TestSevereItemsAreAnnounced(t *testing.T) {
	db := storetest.SQLite(t)
	w := build(t, db)
	c := &crier{heard: make(chan string, 10)}
	w.Announcer = c
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	hear := func() string {
		t.Helper()
		deadline := time.After(time.Minute)
		for {
			select {
			case s := <-c.heard:
				return s
			case <-time.After(20 * time.Millisecond):
				w.clock.Add(time.Second) // A job that failed is tried again after a while.
			case <-deadline:
				t.Fatal("nobody was told")
			}
		}
	}
	w.add(work.NewItem{Title: "small", Severity: work.Medium})
	signal := work.Signal{Project: "shop", Source: "alert", Rule: "down", Resource: "cart", Title: "cart is down", Severity: work.Critical}
	raised, err := w.Raise(ctx, user("wanda"), signal)
	check(t, err)
	got := []string{hear()}
	_, err = w.Clear(ctx, user("wanda"), "shop", signal.Key(), "it is up", nil)
	check(t, err)
	again, err := w.Raise(ctx, user("wanda"), signal)
	check(t, err)
	if again.Item.Number != raised.Item.Number || again.What != work.RaisedReopened {
		t.Fatalf("%s item %d", again.What, again.Item.Number)
	}
	got = append(got, hear())
	if d := cmp.Diff([]string{"critical opened: cart is down", "critical opened again: cart is down"}, got); d != "" {
		t.Error(d)
	}
	stop()
	check(t, <-done)
}

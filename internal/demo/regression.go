package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// item is an item as the command line shows it.
type item struct {
	Number   int64  `json:"number"`
	Title    string `json:"title"`
	Type     string `json:"type"`
	State    string `json:"state"`
	Category string `json:"category"`
	Sprint   string `json:"sprint"`
	Severity string `json:"severity"`
	Assignee string `json:"assignee"`
	Insight  *struct {
		Source string `json:"source"`
		Count  int64  `json:"count"`
	} `json:"insight"`
	Created time.Time `json:"created"`
	Links   []struct {
		Rel     string `json:"rel"`
		Subject string `json:"subject"`
		URL     string `json:"url"`
		Title   string `json:"title"`
	} `json:"links"`
	Comments []struct {
		Author string `json:"author"`
		Body   string `json:"body"`
	} `json:"comments"`
}

func (i item) links(rel, subject string) bool {
	for _, l := range i.Links {
		if l.Rel == rel && l.Subject == subject {
			return true
		}
	}
	return false
}

// itemOpened wants exactly one item for the regression, in the current sprint, with the
// suspect commit.
func (t *tour) itemOpened(ctx context.Context) (found, error) {
	var about []item
	err := until(ctx, 2*time.Minute, "an item about the regression", func() (bool, error) {
		var all struct {
			Items []item `json:"items"`
		}
		if err := t.read(ctx, &all, "item", "ls", "--source", "any", "--state", "open"); err != nil {
			return false, err
		}
		about = nil
		for _, i := range all.Items {
			var full item
			if err := t.read(ctx, &full, "item", "show", fmt.Sprint(i.Number)); err != nil {
				return false, err
			}
			if full.links("suspects", "commit:"+t.broken) {
				about = append(about, full)
			}
		}
		return len(about) > 0, nil
	})
	if err != nil {
		return found{}, err
	}
	if len(about) != 1 {
		return found{}, fmt.Errorf("%d items are about the regression, not one", len(about))
	}
	i := about[0]
	if i.Sprint == "" {
		return found{}, fmt.Errorf("item %d is in no sprint", i.Number)
	}
	t.item = i.Number
	var cause map[string]any
	if err := t.read(ctx, &cause, "insight", "cause", fmt.Sprint(i.Number)); err != nil {
		return found{}, err
	}
	return found{
		detail:   fmt.Sprintf("#%d %s (%s, %s), suspect %.12s", i.Number, i.Title, i.Severity, i.Sprint, t.broken),
		evidence: map[string]any{"item": i, "cause": cause, "seconds_after_push": i.Created.Sub(t.pushed).Seconds()},
	}, nil
}

// fixShipped pushes the fix and waits until the canary of it was promoted.
func (t *tour) fixShipped(ctx context.Context) (found, error) {
	var err error
	if t.fixed, err = t.share(ctx, "0.05", "0.0", "Take the lock again when a cart is read"); err != nil {
		return found{}, err
	}
	start := time.Now()
	got, err := t.trialOf(ctx, t.fixed, "promoted", 6*time.Minute, func(x trial) (bool, error) {
		if x.State == "rejected" {
			return false, fmt.Errorf("it was rejected: %s", x.Why)
		}
		return x.State == "promoted", nil
	})
	if err != nil {
		return found{}, err
	}
	builds, err := t.serves(ctx, t.fixed, time.Minute)
	if err != nil {
		return found{}, err
	}
	return found{
		detail:   fmt.Sprintf("%s was tried and promoted, %.0f s after the push", got.Release, time.Since(start).Seconds()),
		evidence: map[string]any{"release": got.Release, "commit": t.fixed, "builds": builds, "seconds": time.Since(start).Seconds()},
	}, nil
}

// itemClosed wants the item to close by itself, with the reason.
func (t *tour) itemClosed(ctx context.Context) (found, error) {
	var i item
	err := until(ctx, 3*time.Minute, fmt.Sprintf("item %d to close", t.item), func() (bool, error) {
		err := t.read(ctx, &i, "item", "show", fmt.Sprint(t.item))
		return err == nil && (i.Category == "resolved" || i.Category == "completed"), err
	})
	t.traffic.stop()
	if err != nil {
		return found{}, err
	}
	if _, err := t.towpath(ctx, "env", "edit", "production", "--strategy", "none"); err != nil {
		return found{}, err
	}
	why := ""
	if n := len(i.Comments); n > 0 {
		why, _, _ = strings.Cut(i.Comments[n-1].Body, "\n")
	}
	return found{detail: fmt.Sprintf("#%d is %s: %s", i.Number, i.State, why), evidence: map[string]any{"item": i}}, nil
}

// traceFull follows the item back to the commit, and a pod forward to the item; the chain
// leaves as a bundle that verifies without the server.
func (t *tour) traceFull(ctx context.Context) (found, error) {
	id := "item/" + fmt.Sprint(t.item)
	b, err := t.towpath(ctx, "trace", id, "-o", "json")
	if err != nil {
		return found{}, err
	}
	for _, want := range []string{t.broken, t.fixed, "release:shop/production/"} {
		if !strings.Contains(string(b), want) {
			return found{}, fmt.Errorf("the chain of %s does not name %s", id, want)
		}
	}
	var back map[string]any
	if err := json.Unmarshal(b, &back); err != nil {
		return found{}, err
	}
	release := fmt.Sprintf("release/shop/production/%d", t.serving0)
	var forward map[string]any
	if err := t.read(ctx, &forward, "trace", release); err != nil {
		return found{}, err
	}
	file := filepath.Join(t.work, "item.json")
	if _, err := t.towpath(ctx, "trace", id, "--bundle", file); err != nil {
		return found{}, err
	}
	verdict, err := t.towpath(ctx, "verify", file)
	if err != nil {
		return found{}, err
	}
	return found{
		detail:   fmt.Sprintf("%s leads to %.12s and to its fix %.12s; the bundle verifies without the server", id, t.broken, t.fixed),
		evidence: map[string]any{"item": back, "release": forward, "verify": strings.TrimSpace(string(verdict))},
	}, nil
}

// regressionFound waits until the comparison of canary with baseline finds it.
func (t *tour) regressionFound(ctx context.Context) (found, error) {
	got, err := t.trialOf(ctx, t.broken, "rejected", 5*time.Minute, func(x trial) (bool, error) {
		if x.State == "promoted" {
			return false, errors.New("it was promoted")
		}
		return x.State == "rejecting" || x.State == "rejected", nil
	})
	if err != nil {
		return found{}, err
	}
	var shown map[string]any
	if err := t.read(ctx, &shown, "canary", "show", got.Release); err != nil {
		return found{}, err
	}
	return found{detail: got.Why, evidence: map[string]any{"canary": shown, "seconds_after_push": time.Since(t.pushed).Seconds()}}, nil
}

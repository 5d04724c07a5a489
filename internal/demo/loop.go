package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// steps of production's canaries while the demo looks on.
const strategy = `{"steps":[{"weight":25,"pause":"20s"},{"weight":50,"pause":"15s"}],"minSamples":60}`

// shoppers visit the shop until they are stopped.
type shoppers struct {
	stop         func()
	asked, wrong atomic.Int64
}

// shop sends about forty requests a second through the front door.
func (t *tour) shoppers(ctx context.Context) *shoppers {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	s := &shoppers{stop: func() { cancel(); wg.Wait() }}
	for range 4 {
		wg.Go(func() {
			for tick := time.NewTicker(100 * time.Millisecond); ; {
				select {
				case <-ctx.Done():
					tick.Stop()
					return
				case <-tick.C:
				}
				// The shop answers without the cart when the cart fails.
				if got, err := t.builds(ctx); ctx.Err() == nil {
					s.asked.Add(1)
					if err != nil || got["cart"] == "" {
						s.wrong.Add(1)
					}
				}
			}
		})
	}
	return s
}

// trial is a canary as the command line shows it.
type trial struct {
	Release    string `json:"release"`
	Stable     string `json:"stable"`
	State      string `json:"state"`
	Why        string `json:"why"`
	Commit     string `json:"commit"`
	Weight     int    `json:"weight"`
	Step       int    `json:"step"`
	Samples    int64  `json:"samples"`
	Operations []struct {
		Role string `json:"role"`
		Name string `json:"name"`
	} `json:"operations"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
}

// trialOf waits until the canary of a commit is as wanted.
func (t *tour) trialOf(ctx context.Context, commit, what string, limit time.Duration, ok func(trial) (bool, error)) (trial, error) {
	var got trial
	err := until(ctx, limit, "the canary of "+commit[:12]+" to be "+what, func() (bool, error) {
		var all []trial
		if err := t.read(ctx, &all, "canary", "ls", "--environment", "production"); err != nil {
			return false, err
		}
		i := slices.IndexFunc(all, func(x trial) bool { return x.Commit == commit })
		if i < 0 {
			return false, nil
		}
		got = all[i]
		return ok(got)
	})
	return got, err
}

// share sets how many of the requests for a cart fail, and pushes that to main.
func (t *tour) share(ctx context.Context, from, to, title string) (string, error) {
	path := filepath.Join(t.work, "shop", "cmd", "cart", "main.go")
	source, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	edited := strings.Replace(string(source), "const brokenShare = "+from, "const brokenShare = "+to, 1)
	if edited == string(source) {
		return "", fmt.Errorf("%s is not as the demo knows it", path)
	}
	if err := os.WriteFile(path, []byte(edited), 0o644); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"commit", "-q", "-am", title}, {"push", "-q", "origin", "main"}} {
		if _, err := t.git(ctx, args...); err != nil {
			return "", err
		}
	}
	head, err := t.git(ctx, "rev-parse", "HEAD")
	return strings.TrimSpace(string(head)), err
}

// canary pushes a regression that only traffic shows, under traffic.
func (t *tour) canary(ctx context.Context) (found, error) {
	if err := t.unprotect(ctx); err != nil {
		return found{}, err
	}
	if _, err := t.git(ctx, "pull", "-q", "--rebase", "origin", "main"); err != nil {
		return found{}, err
	}
	if err := t.sprint(ctx); err != nil {
		return found{}, err
	}
	if _, err := t.towpath(ctx, "env", "edit", "production", "--strategy", strategy); err != nil {
		return found{}, err
	}
	before, err := t.current(ctx)
	if err != nil {
		return found{}, err
	}
	t.serving0 = before.Number
	t.traffic = t.shoppers(ctx)
	if t.broken, err = t.share(ctx, "0.0", "0.05", "Read carts without their lock"); err != nil {
		return found{}, err
	}
	t.pushed = time.Now()
	got, err := t.trialOf(ctx, t.broken, "tried", 5*time.Minute, func(x trial) (bool, error) { return x.Weight > 0 || x.State == "rejected", nil })
	if err != nil {
		return found{}, err
	}
	return found{
		detail:   fmt.Sprintf("release %s has %d %% of the traffic beside a baseline of its size; %s serves on", got.Release, got.Weight, got.Stable),
		evidence: map[string]any{"release": got.Release, "stable": got.Stable, "weight": got.Weight, "commit": t.broken, "strategy": json.RawMessage(strategy)},
	}, nil
}

// sprint makes a sprint of this fortnight and starts it, once.
func (t *tour) sprint(ctx context.Context) error {
	var all []struct {
		Name    string `json:"name"`
		Current bool   `json:"current"`
	}
	if err := t.read(ctx, &all, "sprint", "ls"); err != nil {
		return err
	}
	for _, s := range all {
		if s.Current {
			return nil
		}
	}
	now := time.Now().UTC()
	name := "Sprint " + fmt.Sprint(len(all)+1)
	if _, err := t.towpath(ctx, "sprint", "create", name, "--start", now.Format(time.DateOnly), "--end", now.AddDate(0, 0, 13).Format(time.DateOnly),
		"--goal", "Nobody loses a cart", "--capacity", "20"); err != nil {
		return err
	}
	_, err := t.towpath(ctx, "sprint", "edit", name, "--active")
	return err
}

// rolledBack wants the release before to serve everybody.
func (t *tour) rolledBack(ctx context.Context) (found, error) {
	if _, err := t.trialOf(ctx, t.broken, "taken back", 2*time.Minute, func(x trial) (bool, error) { return x.State == "rejected" && !x.Finished.IsZero(), nil }); err != nil {
		return found{}, err
	}
	r, err := t.current(ctx)
	if err != nil {
		return found{}, err
	}
	if r.Number != t.serving0 {
		return found{}, fmt.Errorf("release %d serves, not %d", r.Number, t.serving0)
	}
	got, err := t.builds(ctx)
	if err != nil {
		return found{}, err
	}
	for name, build := range got {
		if build == t.broken {
			return found{}, fmt.Errorf("%s answers with the build that was taken back", name)
		}
	}
	asked, wrong := t.traffic.asked.Load(), t.traffic.wrong.Load()
	return found{
		detail:   fmt.Sprintf("release %d serves everybody again; %d of %d requests saw the fault", r.Number, wrong, asked),
		evidence: map[string]any{"release": r.Number, "builds": got, "requests": asked, "failed": wrong},
	}, nil
}

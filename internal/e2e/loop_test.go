package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/work"
	"towpath.dev/towpath/internal/work/insight"
)

// quickSteps try a release on half of the traffic for a moment.
const quickSteps = `{"steps":[{"weight":50,"pause":"8s"}],"minSamples":40}`

// shoppers ask for a path of the project's app all the time until the function returned is
// called. What fails is not their affair.
func (p *project) shoppers(path string) (stop func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	client := &http.Client{Timeout: 10 * time.Second, Transport: p.toDoor()}
	var wg sync.WaitGroup
	var answered, failed atomic.Int64
	for range 6 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := get(ctx, client, "http://"+p.host()+path); err == nil {
					answered.Add(1)
				} else if ctx.Err() == nil && failed.Add(1)%1000 == 1 {
					p.t.Logf("at %s a request failed: %v", time.Now().Format(time.TimeOnly), err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(40 * time.Millisecond):
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
		p.t.Logf("%d requests were answered, %d failed", answered.Load(), failed.Load())
	}
}

func get(ctx context.Context, c *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err == nil {
		_, err = said(resp)
	}
	return err
}

// trial waits until the canary of a commit is in a state.
func (p *project) trial(commit, state string) canary.View {
	p.t.Helper()
	var got canary.View
	p.eventually("the canary of "+commit[:12]+" is "+state, func() error {
		var all []canary.View
		if err := p.read(&all, "canary", "ls", "--project", p.name); err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(v canary.View) bool { return v.Commit == commit })
		if i < 0 {
			return errors.New("there is none")
		}
		if got = all[i]; got.State != state {
			return fmt.Errorf("it is %s at %d %% after %d requests: %s", got.State, got.Weight, got.Samples, got.Why)
		}
		return nil
	})
	return got
}

// items lists what signals opened in the project, closed ones too.
func (p *project) items() []work.Item {
	p.t.Helper()
	var all struct{ Items []work.Item }
	if err := p.read(&all, "item", "ls", "--project", p.name, "--source", "any"); err != nil {
		p.t.Fatal(err)
	}
	return all.Items
}

// item reads an item with its links.
func (p *project) item(number int64) (work.Detail, error) {
	var d work.Detail
	return d, p.read(&d, "item", "show", fmt.Sprint(number))
}

// becomes waits until an item is open, or is not.
func (p *project) becomes(number int64, open bool) work.Detail {
	p.t.Helper()
	var d work.Detail
	p.eventually(fmt.Sprintf("item %d is open: %t", number, open), func() (err error) {
		if d, err = p.item(number); err != nil {
			return err
		}
		if is := d.Category != work.Completed && d.Category != work.Removed; is != open {
			return fmt.Errorf("it is %s; signals %+v", d.State, d.Signals)
		}
		return nil
	})
	return d
}

// cause is what is known behind an item.
func (p *project) cause(number int64) insight.Cause {
	p.t.Helper()
	var c insight.Cause
	if err := p.read(&c, "insight", "cause", fmt.Sprint(number), "--project", p.name); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// path reads the row of a commit on the Path.
func (p *project) path(commit string) (evidence.Row, error) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+"/api/v1/projects/"+p.name+"/path?limit=100", nil)
	if err != nil {
		return evidence.Row{}, err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return evidence.Row{}, err
	}
	defer resp.Body.Close()
	var b evidence.Board
	if resp.StatusCode != http.StatusOK {
		return evidence.Row{}, errors.New(resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&b); err != nil {
		return evidence.Row{}, err
	}
	i := slices.IndexFunc(b.Rows, func(r evidence.Row) bool { return r.Commit == commit })
	if i < 0 {
		return evidence.Row{}, fmt.Errorf("the Path has no change %s", commit)
	}
	return b.Rows[i], nil
}

// cell waits until a lock of a commit's change is in a state, and its fact holds a text.
func (p *project) cell(commit, lock string, state evidence.State, fact string) evidence.Cell {
	p.t.Helper()
	var c evidence.Cell
	p.eventually(fmt.Sprintf("%s of %.12s is %s on the Path", lock, commit, state), func() error {
		row, err := p.path(commit)
		if err != nil {
			return err
		}
		c = row.Cells[slices.Index(evidence.Locks(), lock)]
		if c.State != state || !strings.Contains(c.Fact+", "+c.Detail, fact) {
			return fmt.Errorf("it is %s: %s, %s; want %q", c.State, c.Fact, c.Detail, fact)
		}
		return nil
	})
	return c
}

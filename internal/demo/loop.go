package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// developHost is where the environment in which developers try things together serves.
const developHost = "shop-dev.localhost"

// note is a line that `towpath dev -o json` prints.
type note struct {
	Event   string  `json:"event"`
	Text    string  `json:"text"`
	Seconds float64 `json:"seconds"`
	Session *struct {
		ID      string `json:"id"`
		Key     string `json:"key"`
		Preview string `json:"preview"`
	} `json:"session"`
}

// session is a `towpath dev` that runs.
type session struct {
	cmd   *exec.Cmd
	notes chan note
	ended chan error
	last  []string // events that nobody waited for, for when it fails
	said  *indent  // what it and the service wrote
}

// develop deploys to the environment development by the branch develop.
func (t *tour) develop(ctx context.Context) error {
	for _, args := range [][]string{{"switch", "-q", "-C", "develop"}, {"commit", "-q", "--allow-empty", "-m", "Try things together"}, {"push", "-q", "-f", "origin", "develop"}} {
		if _, err := t.git(ctx, args...); err != nil {
			return err
		}
	}
	head, err := t.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	r, err := t.runOf(ctx, strings.TrimSpace(string(head)))
	if err != nil {
		return err
	}
	if err := t.finished(ctx, r.Number); err != nil {
		return err
	}
	_, err = t.git(ctx, "switch", "-q", "main")
	return err
}

// finished waits until a run has succeeded.
func (t *tour) finished(ctx context.Context, number int64) error {
	var r run
	err := until(ctx, 10*time.Minute, fmt.Sprintf("the end of run %d", number), func() (bool, error) {
		err := t.read(ctx, &r, "run", "show", fmt.Sprint(number))
		return err == nil && r.Result != "", err
	})
	if err == nil && r.Result != "Succeeded" {
		err = fmt.Errorf("run %d ended %s; see %s/projects/shop/runs/%d", number, r.Result, t.server, number)
	}
	return err
}

// startSession runs `towpath dev cart` in the sample's folder until it is stopped.
func (t *tour) startSession(ctx context.Context) (*session, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(t.bin, "towpath"), "dev", "cart", "--run", "go run ./cmd/cart", "--env", "shop/development", "-o", "json")
	cmd.Dir, cmd.Env = filepath.Join(t.work, "shop"), t.env()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	// What the service logs is its own affair until something goes wrong.
	said := &indent{out: io.Discard}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &session{cmd: cmd, said: said, notes: make(chan note, 100), ended: make(chan error, 1)}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n note
			if json.Unmarshal(lines.Bytes(), &n) == nil {
				s.notes <- n
			}
		}
		close(s.notes)
		s.ended <- cmd.Wait()
	}()
	return s, nil
}

// await waits for a note of the session.
func (s *session) await(ctx context.Context, event string, limit time.Duration) (note, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		select {
		case n, ok := <-s.notes:
			switch {
			case !ok:
				s.ended <- <-s.ended // It has written all that it will, and stop still wants to know.
				return n, fmt.Errorf("towpath dev ended before %q: %s: %s", event, strings.Join(s.last, "; "), tail(s.said.last.String()))
			case n.Event == event:
				return n, nil
			}
			s.last = append(s.last, n.Event+" "+n.Text)
		case <-ctx.Done():
			return note{}, fmt.Errorf("towpath dev did not say %q within %s, but %s", event, limit, strings.Join(s.last, "; "))
		}
	}
}

// stop ends the session as Ctrl-C does.
func (s *session) stop() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-s.ended:
		return err
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("towpath dev did not end"), s.cmd.Process.Kill())
	}
}

// guest enters by a preview's address, as a browser does, whatever the resolver knows of
// names below localhost.
func (t *tour) guest(preview string) (*http.Client, *url.URL, error) {
	u, err := url.Parse(preview)
	if err != nil {
		return nil, nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, nil, err
	}
	door, err := url.Parse(t.door)
	if err != nil {
		return nil, nil, err
	}
	return &http.Client{Jar: jar, Timeout: 10 * time.Second, Transport: toDoor{door.Host}}, u, nil
}

// toDoor sends every request to the front door, under the name that it asks for.
type toDoor struct{ address string }

func (d toDoor) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.Host, out.URL.Host = r.URL.Host, d.address
	return http.DefaultTransport.RoundTrip(out)
}

// shopBuilds asks the shop which builds answer.
func shopBuilds(ctx context.Context, c *http.Client, at string) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", at, resp.Status)
	}
	var got struct {
		Services []struct{ Service, Build string }
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&got); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, s := range got.Services {
		out[s.Service] = s.Build
	}
	return out, nil
}

// devSession runs cart here: requests with the key reach it through the chain of services,
// others what is deployed, and saving its file changes the answer to the former.
func (t *tour) devSession(ctx context.Context) (f found, err error) {
	if err := t.develop(ctx); err != nil {
		return f, err
	}
	s, err := t.startSession(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ready, err := s.await(ctx, "ready", 2*time.Minute)
	if err != nil {
		return f, err
	}
	if _, err := s.await(ctx, "live", 2*time.Minute); err != nil {
		return f, err
	}
	keyed, enter, err := t.guest(ready.Session.Preview)
	if err != nil {
		return f, err
	}
	plain, _, err := t.guest(ready.Session.Preview)
	if err != nil {
		return f, err
	}
	enter.Path = "/api/shop"
	open := url.URL{Scheme: "http", Host: developHost, Path: "/api/shop"}
	if port := enter.Port(); port != "" {
		open.Host += ":" + port
	}
	baseline := open.String()
	var mine, theirs map[string]string
	err = until(ctx, 30*time.Second, "the keyed request to reach the program here", func() (bool, error) {
		if mine, err = shopBuilds(ctx, keyed, enter.String()); err != nil {
			return false, err
		}
		if theirs, err = shopBuilds(ctx, plain, baseline); err != nil {
			return false, err
		}
		return mine["cart"] != theirs["cart"], fmt.Errorf("cart answers both with build %q", mine["cart"])
	})
	if err != nil {
		return f, err
	}
	inside := *enter
	inside.RawQuery = "" // The cookie carries on.
	crossed := 0
	for range 50 {
		a, aerr := shopBuilds(ctx, keyed, inside.String())
		b, berr := shopBuilds(ctx, plain, baseline)
		if err := errors.Join(aerr, berr); err != nil {
			return f, err
		}
		if a["cart"] != mine["cart"] || b["cart"] != theirs["cart"] || a["pricing"] != theirs["pricing"] {
			crossed++
		}
	}
	if crossed > 0 {
		return f, fmt.Errorf("%d of 50 pairs of requests crossed", crossed)
	}
	seen, err := t.saveSeen(ctx, keyed, inside.String())
	if err != nil {
		return f, err
	}
	return found{
		detail:   fmt.Sprintf("cart answered from here to 50 keyed requests, to none of 50 others; a saved file was seen %.1f s later", seen),
		evidence: map[string]any{"session": ready.Session.ID, "ready_seconds": ready.Seconds, "keyed": mine, "others": theirs, "pairs": 50, "crossed": 0, "save_to_seen_seconds": seen},
	}, nil
}

// saveSeen saves a change of cart and says after how many seconds the answer has it.
func (t *tour) saveSeen(ctx context.Context, keyed *http.Client, at string) (float64, error) {
	const word = "saved-by-the-demo"
	path := filepath.Join(t.work, "shop", "cmd", "cart", "main.go")
	source, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	edited := strings.Replace(string(source), `service.Main("cart", buildID,`, `service.Main("cart", "`+word+`",`, 1)
	if edited == string(source) {
		return 0, fmt.Errorf("%s is not as the demo knows it", path)
	}
	start := time.Now()
	if err := os.WriteFile(path, []byte(edited), 0o644); err != nil {
		return 0, err
	}
	err = until(ctx, time.Minute, "the saved change in the answer", func() (bool, error) {
		got, err := shopBuilds(ctx, keyed, at)
		return err == nil && got["cart"] == word, err
	})
	return time.Since(start).Seconds(), errors.Join(err, os.WriteFile(path, source, 0o644))
}

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

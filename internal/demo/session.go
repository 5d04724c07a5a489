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
	"strings"
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

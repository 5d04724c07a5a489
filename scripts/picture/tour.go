package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/web/browser"
)

// report is what `make demo` found, as far as the pictures of the tour need it.
type report struct {
	Steps []struct {
		Name     string          `json:"name"`
		Evidence json.RawMessage `json:"evidence"`
	} `json:"steps"`
}

// evidence is what the steps found, one name after another.
type evidence struct {
	URL    string `json:"url"`
	Run    int64  `json:"run"`
	Pull   int64  `json:"pull"`
	Trace  string `json:"trace"`
	Commit string `json:"commit"`
	Canary struct {
		Release string `json:"release"` // "shop/production/5"
	} `json:"canary"`
	Alert struct {
		ID string `json:"id"`
	} `json:"alert"`
	Item struct {
		Number int64 `json:"number"`
	} `json:"item"`
}

// find reads the evidence of a step.
func (r *report) find(step string) (evidence, error) {
	for _, s := range r.Steps {
		if s.Name == step {
			var e evidence
			if err := json.Unmarshal(s.Evidence, &e); err != nil {
				return e, fmt.Errorf("reading step %s: %w", step, err)
			}
			return e, nil
		}
	}
	return evidence{}, fmt.Errorf("the demonstration has no step %s", step)
}

// stop is one picture of the tour.
type stop struct {
	name string // of the file
	step string // whose evidence the address needs
	at   func(e evidence) string
}

// stops are the pictures in the order of the tour.
func stops() []stop {
	in := func(format string) string { return "/projects/shop" + format }
	return []stop{
		{"path", "start", func(evidence) string { return in("") }},
		{"run", "run", func(e evidence) string { return in(fmt.Sprintf("/runs/%d", e.Run)) }},
		{"images", "start", func(evidence) string { return in("/images") }},
		{"secrets", "start", func(evidence) string { return in("/code/shop/secrets") }},
		{"pull", "pull-request-denied", func(e evidence) string { return in(fmt.Sprintf("/pulls/%d", e.Pull)) }},
		{"environment", "start", func(evidence) string { return in("/environments/production") }},
		{"policy", "start", func(evidence) string { return in("/policy") }},
		{"trace", "trace-query", func(e evidence) string { return in("/monitor/traces?trace=" + e.Trace) }},
		{"alerts", "start", func(evidence) string { return in("/monitor/alerts?state=all") }},
		{"sessions", "start", func(evidence) string { return in("/sessions") }},
		{"canary", "regression-found", func(e evidence) string {
			parts := strings.Split(e.Canary.Release, "/")
			return in("/environments/production/releases/" + parts[len(parts)-1])
		}},
		{"item", "work-item-opened", func(e evidence) string { return in(fmt.Sprintf("/items/%d", e.Item.Number)) }},
		{"board", "start", func(evidence) string { return in("/board") }},
		{"chain", "work-item-opened", func(e evidence) string { return in(fmt.Sprintf("/trace/item/%d", e.Item.Number)) }},
		{"dora", "start", func(evidence) string { return in("/dora") }},
	}
}

// tour makes the pictures of docs/tour.md from the installation that `make demo` left up.
func tour(ctx context.Context, file, password, dir string) (err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	start, err := r.find("start")
	if err != nil {
		return err
	}
	secret, err := os.ReadFile(password)
	if err != nil {
		return err
	}
	return look(ctx, func(b *browser.Browser) error {
		p, err := b.Open(ctx, width, height)
		if err != nil {
			return err
		}
		if err := signIn(ctx, p, start.URL, "admin", strings.TrimSpace(string(secret))); err != nil {
			return err
		}
		for _, s := range stops() {
			e, err := r.find(s.step)
			if err != nil {
				return err
			}
			for _, scheme := range []string{"light", "dark"} {
				to := filepath.Join(dir, "tour-"+s.name+"-"+scheme+".png")
				if err := take(ctx, p, start.URL+s.at(e), scheme, to); err != nil {
					return fmt.Errorf("making %s: %w", to, err)
				}
				fmt.Println(to)
			}
		}
		return nil
	})
}

// look opens a browser for as long as do takes.
func look(ctx context.Context, do func(*browser.Browser) error) (err error) {
	program, err := browser.Find()
	if err != nil {
		return err
	}
	b, err := browser.Start(program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	return do(b)
}

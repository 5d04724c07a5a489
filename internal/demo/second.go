package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func (t *tour) secondPush(ctx context.Context) (found, error) {
	path := filepath.Join(t.work, "shop", "README.md")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return found{}, err
	}
	_, err = fmt.Fprintf(f, "\nChanged by the demo at %s.\n", time.Now().UTC().Format(time.RFC3339))
	if err := errors.Join(err, f.Close()); err != nil {
		return found{}, err
	}
	if _, err := t.git(ctx, "commit", "-q", "-am", "Say when the demo ran"); err != nil {
		return found{}, err
	}
	start := time.Now()
	if _, err := t.git(ctx, "push", "-q", "origin", "main"); err != nil {
		return found{}, err
	}
	pushed := time.Since(start).Seconds()
	head, err := t.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return found{}, err
	}
	t.commit = strings.TrimSpace(string(head))
	builds, err := t.serves(ctx, t.commit, 5*time.Minute)
	if err != nil {
		return found{}, err
	}
	total := time.Since(start).Seconds()
	r, err := t.runOf(ctx, t.commit)
	if err != nil {
		return found{}, err
	}
	t.run = r.Number
	f2, err := t.ended(ctx)
	if err != nil {
		return found{}, err
	}
	if rel, err := t.current(ctx); err == nil && len(rel.Pods) > 0 {
		t.pod = rel.Pods[0].Name
	}
	shares := map[string]any{"push": pushed, "stages": f2.evidence["stages"], "steps": t.steps(ctx), "total": total}
	return found{
		detail:   fmt.Sprintf("git push to serving in %.1f s", total),
		evidence: map[string]any{"commit": t.commit, "run": t.run, "builds": builds, "shares": shares}, seconds: total,
	}, nil
}

// span is from when to when a part of a run went on.
type span struct {
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
}

func (s span) seconds() float64 { return s.Finished.Sub(s.Started).Seconds() }

// steps lists how long each step of the run took, in their order.
func (t *tour) steps(ctx context.Context) []map[string]any {
	var r struct {
		Stages []struct {
			Jobs []struct {
				Name  string
				Steps []struct {
					span
					Display string `json:"display_name"`
				}
			}
		}
	}
	if t.read(ctx, &r, "run", "show", fmt.Sprint(t.run)) != nil {
		return nil
	}
	var out []map[string]any
	for _, s := range r.Stages {
		for _, j := range s.Jobs {
			for _, p := range j.Steps {
				out = append(out, map[string]any{"job": j.Name, "step": p.Display, "seconds": p.seconds()})
			}
		}
	}
	return out
}

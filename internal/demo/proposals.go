package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// proposal is a pull request as `towpath pull show` tells it.
type proposal struct {
	Number int64  `json:"number"`
	Head   string `json:"head"`
	State  string `json:"state"`
	Result string `json:"result"`
	Gate   struct {
		Allowed bool `json:"allowed"`
		Blocks  []struct {
			Kind string `json:"kind"`
			What string `json:"what"`
			Name string `json:"name"`
		} `json:"blocks"`
	} `json:"gate"`
	Checks []struct {
		Name        string `json:"name"`
		Source      string `json:"source"`
		State       string `json:"state"`
		Title       string `json:"title"`
		Annotations []struct {
			Path      string `json:"path"`
			StartLine int    `json:"start_line"`
			Message   string `json:"message"`
			Rule      string `json:"rule"`
		} `json:"annotations"`
	} `json:"checks_reported"`
	Decisions []decision `json:"decisions"`
}

// change writes the template with one line replaced and returns the number of the line.
func (t *tour) change(from, to string) (int, error) {
	file := filepath.Join(t.work, "shop", filepath.FromSlash(template))
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	i := bytes.Index(b, []byte(from))
	if i < 0 {
		return 0, fmt.Errorf("%s does not hold %q", template, from)
	}
	line := bytes.Count(b[:i], []byte("\n")) + 1
	return line, os.WriteFile(file, bytes.Replace(b, []byte(from), []byte(to), 1), 0o644)
}

// proposed commits on the branch and pushes it.
func (t *tour) proposed(ctx context.Context, message string) error {
	for _, args := range [][]string{{"commit", "-q", "-am", message}, {"push", "-q", "origin", t.branch}} {
		if _, err := t.git(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// checked waits until a check of the pull request's head has ended.
func (t *tour) checked(ctx context.Context, name string, limit time.Duration) (proposal, string, error) {
	head, err := t.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return proposal{}, "", err
	}
	var p proposal
	state := ""
	err = until(ctx, limit, "check "+name, func() (bool, error) {
		p = proposal{}
		if err := t.read(ctx, &p, "pull", "show", fmt.Sprint(t.pull)); err != nil {
			return false, err
		}
		if p.Head != strings.TrimSpace(string(head)) {
			return false, errors.New("the pull request does not have the pushed head yet")
		}
		for _, c := range p.Checks {
			if c.Name == name && c.State != "queued" && c.State != "running" {
				state = c.State
				return true, nil
			}
		}
		return false, fmt.Errorf("check %s is not reported", name)
	})
	return p, state, err
}

// decision is a policy decision as the command line shows it.
type decision struct {
	ID      string `json:"id"`
	Point   string `json:"point"`
	Allowed bool   `json:"allowed"`
	Set     string `json:"set"`
	Objects []struct {
		Kind     string `json:"kind"`
		Name     string `json:"name"`
		Verdicts []struct {
			Assignment string `json:"assignment"`
			Rule       string `json:"rule"`
			Policy     string `json:"policy"`
			Refuses    bool   `json:"refuses"`
			Violations []struct {
				Path    string `json:"path"`
				Message string `json:"message"`
			} `json:"violations"`
			At []struct {
				File string `json:"file"`
				Line int    `json:"line"`
			} `json:"at"`
		} `json:"verdicts"`
	} `json:"objects"`
}

// refusal is the first verdict of a decision that refuses.
type refusal struct {
	Object, Assignment, Rule, Policy, Path, Message, File string
	Line                                                  int
}

func (d decision) refusal() (refusal, bool) {
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if !v.Refuses {
				continue
			}
			r := refusal{Object: o.Kind + " " + o.Name, Assignment: v.Assignment, Rule: v.Rule, Policy: v.Policy}
			if len(v.Violations) > 0 {
				r.Path, r.Message = v.Violations[0].Path, v.Violations[0].Message
			}
			if len(v.At) > 0 {
				r.File, r.Line = v.At[0].File, v.At[0].Line
			}
			return r, true
		}
	}
	return refusal{}, false
}

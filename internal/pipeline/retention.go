package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// Needs says which runs other parts of the platform rest on.
type Needs interface {
	// Needed returns why runs must stay, by their numbers: "it is deployed to production".
	// Runs that are not in the answer may go. It asks for no rights.
	Needed(ctx context.Context) (map[int64]string, error)
}

// RetentionRule says how long runs stay that it matches (J009).
type RetentionRule struct {
	// Repo is the pipeline's repository without the project; empty means all.
	Repo string `json:"repo,omitempty" maxLength:"100"`
	// File is the file of one pipeline of Repo; empty means all.
	File string `json:"file,omitempty" maxLength:"400"`
	// Branch is a branch, with "*" and "?"; empty means all. Runs of pull requests have the
	// branch "pull".
	Branch string `json:"branch,omitempty" maxLength:"256"`
	// Days is how long a run stays after its end, from 1 to 36500.
	Days int `json:"days" minimum:"1" maximum:"36500"`
	// Keep is how many of the newest runs of each pipeline and branch stay however old they are.
	Keep int `json:"keep" minimum:"0" maximum:"10000"`
}

// defaults are the rules of an installation that nobody has changed: those of the service
// (runs 30 days, of pull requests 10 days, three of each branch always).
func defaults() []RetentionRule {
	return []RetentionRule{{Branch: pullBranch, Days: 10}, {Days: 30, Keep: 3}}
}

// pullBranch stands for the runs of pull requests in rules.
const pullBranch = "pull"

// maxRules bounds the rules of a project.
const maxRules = 100

func checkRules(rules []RetentionRule) error {
	if len(rules) > maxRules {
		return fault.New(fault.TooLarge, "There are at most %d rules.", maxRules)
	}
	for _, r := range rules {
		if r.Days < 1 || r.Days > 36500 || r.Keep < 0 || r.Keep > 10000 || len(r.Branch) > 256 || len(r.Repo) > 100 || len(r.File) > 400 {
			return fault.New(fault.Invalid, "A rule keeps runs for 1 to 36500 days, and 0 to 10000 of each branch.")
		}
	}
	return nil
}

// Retention returns the rules of a project, and those of the installation, which follow them.
// It needs the read role.
func (s *Service) Retention(ctx context.Context, a identity.Actor, project string) (own, installation []RetentionRule, err error) {
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, nil, err
	}
	if own, err = s.rules(ctx, project); err != nil {
		return nil, nil, err
	}
	installation, err = s.rules(ctx, "")
	return own, installation, err
}

// InstallationRetention returns the rules of the installation. Every known actor may ask.
func (s *Service) InstallationRetention(ctx context.Context, a identity.Actor) ([]RetentionRule, error) {
	if !a.Known() {
		return nil, fault.New(fault.Unauthentic, "Sign in to see the rules.")
	}
	return s.rules(ctx, "")
}

func (s *Service) rules(ctx context.Context, project string) ([]RetentionRule, error) {
	var raw string
	err := s.db.QueryRow(ctx, `SELECT body FROM pipeline_retention WHERE project = ?`, project).Scan(&raw)
	if errors.Is(err, errNoRows) {
		if project == "" {
			return defaults(), nil
		}
		return []RetentionRule{}, nil
	}
	out := []RetentionRule{}
	if err == nil {
		err = json.Unmarshal([]byte(raw), &out)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the retention of %q: %w", project, err)
	}
	return out, nil
}

// SetRetention replaces the rules of a project, the first that matches a run counts; "" is the
// installation, whose rules come last. A project needs the role maintain, the installation an
// administrator.
func (s *Service) SetRetention(ctx context.Context, a identity.Actor, project string, rules []RetentionRule) error {
	err := s.auth.RequireAdmin(ctx, a)
	if project != "" {
		err = s.auth.Require(ctx, a, project, identity.Maintain)
	}
	if err != nil {
		return err
	}
	if err := checkRules(rules); err != nil {
		return err
	}
	return s.again(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO pipeline_retention (project, body, actor, changed) VALUES (?,?,?,?)
			ON CONFLICT (project) DO UPDATE SET body = excluded.body, actor = excluded.actor, changed = excluded.changed`,
			project, text(rules), a.String(), millis(s.clock.Now()))
		if err != nil {
			return fmt.Errorf("setting the retention of %q: %w", project, err)
		}
		return s.log.Append(ctx, tx, event.Fact{
			Type: event.TypeRetentionChanged, Subject: event.Of(event.KindProject, project), Project: project, Actor: a.String(),
			Payload: event.RetentionChanged{V: 1, Rules: text(rules)},
		})
	})
}

// Keep keeps a run until Unkeep, whatever the rules say. It needs the write role.
func (s *Service) Keep(ctx context.Context, a identity.Actor, n int64, why string) error {
	if len(why) > 500 || strings.ContainsRune(why, '\n') {
		return fault.New(fault.Invalid, "The reason is one line of at most 500 bytes.")
	}
	return s.lease(ctx, a, n, "kept", why, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO pipeline_keep (run, why, actor, created) VALUES (?,?,?,?) ON CONFLICT (run) DO UPDATE SET why = excluded.why, actor = excluded.actor`,
			n, why, a.String(), millis(s.clock.Now()))
		return err
	})
}

// Unkeep lets the rules decide about a run again. It needs the maintain role: who kept it may
// have had a reason that others do not see.
func (s *Service) Unkeep(ctx context.Context, a identity.Actor, n int64) error {
	if _, err := s.authorized(ctx, a, n, identity.Maintain); err != nil {
		return err
	}
	return s.lease(ctx, a, n, "let go", "", func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM pipeline_keep WHERE run = ?`, n)
		return err
	})
}

func (s *Service) lease(ctx context.Context, a identity.Actor, n int64, action, why string, change func(tx *store.Tx) error) error {
	r, err := s.authorized(ctx, a, n, identity.Write)
	if err != nil {
		return err
	}
	return s.again(ctx, func(tx *store.Tx) error {
		if err := change(tx); err != nil {
			return fmt.Errorf("keeping run %d: %w", n, err)
		}
		return s.log.Append(ctx, tx, event.Fact{
			Type: event.TypeRunKept, Subject: event.OfRun(n), Project: r.Project, Actor: a.String(), Payload: event.RunKept{V: 1, Run: n, Action: action, Why: why},
		})
	})
}

// kept are why runs stay that somebody keeps by hand.
func (s *Service) kept(ctx context.Context) (map[int64]string, error) {
	rows, err := s.db.Query(ctx, `SELECT run, why, actor FROM pipeline_keep`)
	if err != nil {
		return nil, fmt.Errorf("reading the kept runs: %w", err)
	}
	defer rows.Close()
	out := map[int64]string{}
	for rows.Next() {
		var n int64
		var why, by string
		if err := rows.Scan(&n, &why, &by); err != nil {
			return nil, fmt.Errorf("reading the kept runs: %w", err)
		}
		out[n] = strings.TrimSpace("kept by " + by + " " + why)
	}
	return out, rows.Err()
}

// keptBecause says who keeps a run by hand and why; "" when nobody does.
func (s *Service) keptBecause(ctx context.Context, n int64) (string, error) {
	all, err := s.kept(ctx)
	return all[n], err
}

// candidate is a run that a rule may let go.
type candidate struct {
	number    int64
	repo, ref string
	pipeline  string // key
	finished  time.Time
	pull      bool
	good      bool
}

// Expired lists the runs of a project that the rules let go now. It needs the read role.
func (s *Service) Expired(ctx context.Context, a identity.Actor, project string) ([]Run, error) {
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	numbers, err := s.expiredRuns(ctx, project)
	if err != nil {
		return nil, err
	}
	out := []Run{}
	for _, n := range numbers[:min(len(numbers), 200)] {
		r, err := s.authorized(ctx, a, n, identity.Read)
		if err != nil {
			return nil, err
		}
		out = append(out, r.Run)
	}
	return out, nil
}

// expiredRuns are the runs of a project that may go, oldest first.
func (s *Service) expiredRuns(ctx context.Context, project string) ([]int64, error) {
	own, err := s.rules(ctx, project)
	if err != nil {
		return nil, err
	}
	installation, err := s.rules(ctx, "")
	if err != nil {
		return nil, err
	}
	rules := append(own, installation...)
	stay, err := s.kept(ctx)
	if err != nil {
		return nil, err
	}
	if s.needs != nil {
		needed, err := s.needs.Needed(ctx)
		if err != nil {
			return nil, err
		}
		for n, why := range needed {
			stay[n] = why
		}
	}
	list, err := s.candidates(ctx, project)
	if err != nil {
		return nil, err
	}
	now, place, found := s.clock.Now(), map[string]int{}, map[string]bool{}
	var out []int64
	for _, c := range list { // newest first
		at := c.pipeline + "\n" + c.ref
		place[at]++
		newestGood := c.good && !found[at]
		found[at] = found[at] || c.good
		rule, ok := ruleFor(rules, c)
		switch {
		case !ok, place[at] <= rule.Keep, stay[c.number] != "", newestGood && !c.pull:
		case now.Sub(c.finished) > time.Duration(rule.Days)*24*time.Hour:
			out = append(out, c.number)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// ruleFor is the first rule that matches a run.
func ruleFor(rules []RetentionRule, c candidate) (RetentionRule, bool) {
	_, repo, _ := strings.Cut(c.repo, "/")
	branch := strings.TrimPrefix(c.ref, "refs/heads/")
	for _, r := range rules {
		if _, file := SplitKey(c.pipeline); r.Repo != "" && r.Repo != repo || r.File != "" && r.File != file {
			continue
		}
		switch {
		case r.Branch == "":
		case c.pull:
			if r.Branch != pullBranch {
				continue
			}
		case r.Branch == pullBranch || !(plan.Filter{Include: []string{r.Branch}}).Names(branch):
			continue
		}
		return r, true
	}
	return RetentionRule{}, false
}

// candidates are the runs of a project that are over, newest first.
func (s *Service) candidates(ctx context.Context, project string) ([]candidate, error) {
	rows, err := s.db.Query(ctx, `SELECT number, repo, file, ref, finished, pull, result FROM pipeline_run WHERE project = ? AND status = ? ORDER BY number DESC`, project, string(plan.Completed))
	if err != nil {
		return nil, fmt.Errorf("reading the runs of %s: %w", project, err)
	}
	defer rows.Close()
	var out []candidate
	for rows.Next() {
		var c candidate
		var finished, pull int64
		var result, file string
		if err := rows.Scan(&c.number, &c.repo, &file, &c.ref, &finished, &pull, &result); err != nil {
			return nil, fmt.Errorf("reading the runs of %s: %w", project, err)
		}
		c.pipeline = Key(c.repo, file)
		c.finished, c.pull, c.good = fromMillis(finished), pull > 0, succeeded(plan.Result(result))
		out = append(out, c)
	}
	return out, rows.Err()
}

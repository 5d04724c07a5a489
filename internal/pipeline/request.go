package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// Request is what a person asks for who starts a run by hand (J010, X028).
type Request struct {
	Ref string // branch, tag or full ref; "" means the default branch
	// Parameters are by name; values that are no scalars are YAML text.
	Parameters map[string]string
	// Variables are values of the variables of the pipeline that are settable.
	Variables map[string]string
	// Skip names the stages to leave out.
	Skip []string
	// Stay is for how long jobs that fail are kept, StayDefault for the installation's time;
	// 0: they are not. It needs the maintain role.
	Stay time.Duration
}

// given is what is kept of a request beside the parameters.
type given struct {
	Variables map[string]string `json:"variables,omitempty"`
	Skip      []string          `json:"skip,omitempty"`
}

// Variable is a variable of a pipeline that does not stand in its file. One that does goes
// before it (X047).
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Settable says that who starts a run may give it another value.
	Settable bool   `json:"settable"`
	Actor    string `json:"actor"` // who changed it last
}

// Limits of the variables of a pipeline.
const (
	maxVariables     = 200
	maxVariableValue = 32 << 10
)

// variableName is what a variable may be called.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,127}$`)

// reserved begins the names that the service sets itself.
var reserved = []string{"agent.", "build.", "system.", "environment.", "strategy.", "pipeline.", "resources.", "common.", "tf_", "towpath."}

// steering are names by which a process is made to run something else than what stands in
// the file. Who may start a run is not always who may change the file.
var steering = []string{"path", "home", "shell", "ifs", "env", "bash_env", "ld_", "dyld_", "git_", "node_options", "python", "perl", "ruby"}

func checkVariable(name, value string) error {
	folded := strings.ToLower(name)
	begins := func(p string) bool { return strings.HasPrefix(folded, p) }
	switch {
	case !variableName.MatchString(name):
		return fault.New(fault.Invalid, "A variable cannot be called %q.", clip(name)).WithNext("use letters, digits and ._- only, a letter first")
	case folded != "system.debug" && slices.ContainsFunc(reserved, begins), slices.ContainsFunc(steering, func(p string) bool {
		return folded == p || strings.HasSuffix(p, "_") && begins(p) || (p == "python" || p == "perl" || p == "ruby") && begins(p)
	}):
		return fault.New(fault.Invalid, "The variable %s cannot be set from outside of a run.", name).WithNext("choose another name")
	case len(value) > maxVariableValue || strings.ContainsRune(value, 0):
		return fault.New(fault.TooLarge, "The value of the variable %s has more than %d bytes, or a zero byte.", name, maxVariableValue)
	}
	return nil
}

// Variables lists the variables of a pipeline by name. It needs the read role.
func (s *Service) Variables(ctx context.Context, a identity.Actor, key string) ([]Variable, error) {
	if err := s.auth.Require(ctx, a, projectOf(key), identity.Read); err != nil {
		return nil, err
	}
	return loadVariables(ctx, s.db, key)
}

func loadVariables(ctx context.Context, h store.Handle, key string) ([]Variable, error) {
	rows, err := h.Query(ctx, `SELECT name, value, settable, actor FROM pipeline_variable WHERE pipeline = ? ORDER BY folded`, key)
	if err != nil {
		return nil, fmt.Errorf("reading the variables of %s: %w", key, err)
	}
	defer rows.Close()
	out := []Variable{}
	for rows.Next() {
		var v Variable
		var settable int64
		if err := rows.Scan(&v.Name, &v.Value, &settable, &v.Actor); err != nil {
			return nil, fmt.Errorf("reading the variables of %s: %w", key, err)
		}
		v.Settable = settable != 0
		out = append(out, v)
	}
	return out, rows.Err()
}

// SetVariable adds or changes a variable of a pipeline. It needs the maintain role: its
// value reaches every run, also those of branches that only few may push to.
func (s *Service) SetVariable(ctx context.Context, a identity.Actor, repo string, v Variable) error {
	project, _, _ := strings.Cut(repo, "/")
	if err := s.auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return err
	}
	if err := checkVariable(v.Name, v.Value); err != nil {
		return err
	}
	return s.again(ctx, func(tx *store.Tx) error {
		there, err := loadVariables(ctx, tx, repo)
		if err != nil {
			return err
		}
		if len(there) >= maxVariables {
			return fault.New(fault.TooLarge, "The pipeline of %s has %d variables, which is the most.", repo, len(there))
		}
		_, err = tx.Exec(ctx, `INSERT INTO pipeline_variable (pipeline, folded, name, value, settable, actor, changed) VALUES (?,?,?,?,?,?,?)
			ON CONFLICT (pipeline, folded) DO UPDATE SET name = excluded.name, value = excluded.value, settable = excluded.settable, actor = excluded.actor, changed = excluded.changed`,
			repo, strings.ToLower(v.Name), v.Name, v.Value, bit(v.Settable), a.String(), millis(s.clock.Now()))
		if err != nil {
			return fmt.Errorf("setting the variable %s: %w", v.Name, err)
		}
		return s.sayVariable(ctx, tx, a, project, repo, v.Name, "changed")
	})
}

// RemoveVariable removes a variable of a pipeline. It needs the maintain role.
func (s *Service) RemoveVariable(ctx context.Context, a identity.Actor, repo, name string) error {
	project, _, _ := strings.Cut(repo, "/")
	if err := s.auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return err
	}
	return s.again(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM pipeline_variable WHERE pipeline = ? AND folded = ?`, repo, strings.ToLower(name))
		if err != nil {
			return fmt.Errorf("removing the variable %s: %w", name, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fault.New(fault.NotFound, "The pipeline of %s has no variable %q.", repo, clip(name)))
		}
		return s.sayVariable(ctx, tx, a, project, repo, name, "removed")
	})
}

func (s *Service) sayVariable(ctx context.Context, tx *store.Tx, a identity.Actor, project, key, name, action string) error {
	repo, file := SplitKey(key)
	if file == File {
		file = ""
	}
	return s.log.Append(ctx, tx, event.Fact{
		Type: event.TypePipelineVariable, Subject: event.Of(event.KindRepo, repo), Project: project, Actor: a.String(),
		Payload: event.PipelineVariable{V: 1, Repo: repo, File: file, Name: name, Action: action},
	})
}

// Parameters lists the parameters that the pipeline of a ref declares, with their defaults,
// types and allowed values. It needs the read role.
func (s *Service) Parameters(ctx context.Context, a identity.Actor, key, ref string) ([]plan.Parameter, error) {
	repo, file := SplitKey(key)
	project, _, _ := strings.Cut(repo, "/")
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	full, commit, title, err := s.resolve(ctx, a, key, ref)
	if err != nil {
		return nil, err
	}
	p, err := s.compiled(ctx, Order{Repo: repo, File: file, Project: project, Ref: full, Commit: commit, Title: title, Reason: "Manual", Requester: a.Name})
	if err != nil {
		return nil, err
	}
	return p.Parameters, nil
}

// checkRequest looks whether a plan allows what a person asks for.
func (s *Service) checkRequest(ctx context.Context, o Order, p *plan.Plan) error {
	known, err := loadVariables(ctx, s.db, o.key())
	if err != nil {
		return err
	}
	for name, value := range o.Variables {
		if err := checkVariable(name, value); err != nil {
			return err
		}
		if slices.ContainsFunc(p.Variables, func(v plan.Variable) bool { return strings.EqualFold(v.Name, name) }) {
			return fault.New(fault.Invalid, "The variable %s stands in the file, which goes before what is given to a run.", name).WithNext("make it a parameter of the pipeline")
		}
		ok := strings.EqualFold(name, "system.debug") || slices.ContainsFunc(known, func(v Variable) bool { return v.Settable && strings.EqualFold(v.Name, name) })
		if !ok {
			return fault.New(fault.Invalid, "The variable %s cannot be set when a run of %s is started.", name, o.Repo).
				WithNext("a maintainer allows it with: towpath pipeline variable set %s %s --settable", o.Repo[strings.IndexByte(o.Repo, '/')+1:], name)
		}
	}
	left := map[string]bool{}
	for _, name := range o.Skip {
		stage := p.Stage(name)
		switch {
		case stage == nil:
			return fault.New(fault.Invalid, "The pipeline has no stage %q.", clip(name))
		case !stage.Skippable:
			return fault.New(fault.Invalid, "The stage %s cannot be left out: its file says isSkippable: false.", stage.Name)
		}
		left[stage.Name] = true
	}
	if len(left) == len(p.Stages) {
		return fault.New(fault.Invalid, "A run needs a stage; all of them are left out.")
	}
	return nil
}

// leaveOut notes in a new run what a person gave it.
func leaveOut(ctx context.Context, tx *store.Tx, r *runRow, o Order) error {
	if len(o.Variables) == 0 && len(o.Skip) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE pipeline_run SET given = ? WHERE number = ?`, text(given{Variables: o.Variables, Skip: o.Skip}), r.Number)
	for _, name := range o.Skip {
		if err == nil {
			_, err = tx.Exec(ctx, `UPDATE pipeline_stage SET skipped = ? WHERE run = ? AND name = ?`, o.actor, r.Number, r.plan.Stage(name).Name)
		}
	}
	if err != nil {
		return fmt.Errorf("noting what run %d was given: %w", r.Number, err)
	}
	return nil
}

// ownVariables adds the variables of the pipeline to a run, with the values that it was
// given. A run of a pull request sees them as well: they are no secrets.
func ownVariables(ctx context.Context, tx *store.Tx, o Order, values plan.Values) error {
	list, err := loadVariables(ctx, tx, o.key())
	if err != nil {
		return err
	}
	for _, v := range list {
		values.Set(plan.Value{Name: v.Name, Text: v.Value})
	}
	for name, value := range o.Variables {
		values.Set(plan.Value{Name: name, Text: value})
	}
	return nil
}

// loadGiven reads what a person gave a run.
func (s *Service) loadGiven(ctx context.Context, n int64) (given, error) {
	var raw string
	var out given
	if err := s.db.QueryRow(ctx, `SELECT given FROM pipeline_run WHERE number = ?`, n).Scan(&raw); err != nil {
		return out, fmt.Errorf("reading what run %d was given: %w", n, err)
	}
	if raw == "" {
		return out, nil
	}
	return out, json.Unmarshal([]byte(raw), &out)
}

// SkipStage leaves out a stage that has not started; what depends on it goes on as if it
// were not there. It needs the write role.
func (s *Service) SkipStage(ctx context.Context, a identity.Actor, n int64, stage string) error {
	if _, err := s.authorized(ctx, a, n, identity.Write); err != nil {
		return err
	}
	return s.again(ctx, func(tx *store.Tx) error {
		r, err := s.loadRun(ctx, tx, n)
		if err != nil {
			return err
		}
		planned := r.plan.Stage(stage)
		switch {
		case planned == nil:
			return fault.New(fault.NotFound, "Run %d has no stage %q.", n, clip(stage))
		case !planned.Skippable:
			return fault.New(fault.Conflict, "The stage %s cannot be left out: its file says isSkippable: false.", planned.Name)
		}
		res, err := tx.Exec(ctx, `UPDATE pipeline_stage SET skipped = ? WHERE run = ? AND name = ? AND status = 'Pending' AND skipped = ''`, a.String(), n, planned.Name)
		if err != nil {
			return fmt.Errorf("leaving out stage %s: %w", planned.Name, err)
		}
		if changed, err := res.RowsAffected(); err != nil || changed == 0 {
			return errors.Join(err, fault.New(fault.Conflict, "The stage %s has started already, or was left out.", planned.Name))
		}
		return s.advance(ctx, tx, r)
	})
}

// leaveOut ends the stages that somebody left out.
func (sc *schedule) leaveOut() error {
	for i := range sc.stages {
		if row := &sc.stages[i]; row.skipped != "" && row.status == plan.Pending {
			if err := sc.finishStage(row, plan.Skipped, "left out by "+row.skipped); err != nil {
				return err
			}
		}
	}
	return nil
}

package work

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// defaultStates are the columns of a project that chose none: those of Azure Boards'
// process Agile, which the categories come from.
func defaultStates() []State {
	return []State{{"New", Proposed}, {"Active", InProgress}, {"Resolved", Resolved}, {"Closed", Completed}, {"Removed", Removed}}
}

// States returns the states of a project in the order of its board. It needs read.
func (s *Service) States(ctx context.Context, a identity.Actor, project string) ([]State, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	return states(ctx, s.DB, project)
}

func states(ctx context.Context, h store.Handle, project string) ([]State, error) {
	rows, err := h.Query(ctx, `SELECT name, category FROM work_state WHERE project = ? ORDER BY position`, project)
	if err != nil {
		return nil, fmt.Errorf("reading the states of %s: %w", project, err)
	}
	defer rows.Close()
	var out []State
	for rows.Next() {
		var st State
		if err := rows.Scan(&st.Name, &st.Category); err != nil {
			return nil, fmt.Errorf("reading a state: %w", err)
		}
		out = append(out, st)
	}
	if len(out) == 0 {
		out = defaultStates()
	}
	return out, rows.Err()
}

// SetStates replaces the states of a project; none puts the default ones back. A state
// that items are in must stay, in its category. It needs maintain.
func (s *Service) SetStates(ctx context.Context, a identity.Actor, project string, list []State) ([]State, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return nil, err
	}
	if err := checkStates(list); err != nil {
		return nil, err
	}
	err := s.tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM work_state WHERE project = ?`, project); err != nil {
			return fmt.Errorf("replacing the states of %s: %w", project, err)
		}
		for i, st := range list {
			if _, err := tx.Exec(ctx, `INSERT INTO work_state (project, position, name, category) VALUES (?,?,?,?)`, project, i, st.Name, st.Category); err != nil {
				return fmt.Errorf("storing the state %s: %w", st.Name, err)
			}
		}
		if err := s.statesServe(ctx, tx, project); err != nil {
			return err
		}
		said := make([]event.State, 0, len(list))
		for _, st := range list {
			said = append(said, event.State(st))
		}
		return s.Log.Append(ctx, tx, event.Fact{
			Type: event.TypeStatesChanged, Subject: event.Of(event.KindProject, project), Project: project, Actor: a.String(),
			Payload: event.StatesChanged{V: 1, States: said},
		})
	})
	if err != nil {
		return nil, err
	}
	return states(ctx, s.DB, project)
}

// statesServe wants a state for every item that there is.
func (s *Service) statesServe(ctx context.Context, tx *store.Tx, project string) error {
	have, err := states(ctx, tx, project)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT state, category, COUNT(*) FROM work_item WHERE project = ? GROUP BY state, category`, project)
	if err != nil {
		return fmt.Errorf("counting items by state: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var st State
		var n int
		if err := rows.Scan(&st.Name, &st.Category, &n); err != nil {
			return fmt.Errorf("counting items by state: %w", err)
		}
		if !slices.Contains(have, st) {
			return fault.New(fault.Conflict, "%d items are in the state %s (%s), which would be gone.", n, st.Name, st.Category).
				WithNext("keep it, or move them first: towpath item move --project %s --state …", project)
		}
	}
	return rows.Err()
}

func checkStates(list []State) error {
	if len(list) == 0 {
		return nil
	}
	if len(list) > maxStates {
		return fault.New(fault.TooLarge, "A project has at most %d states.", maxStates)
	}
	seen := map[string]bool{}
	have := map[string]bool{}
	for _, st := range list {
		if err := line("The name of a state", st.Name, maxName); err != nil {
			return err
		}
		if err := oneOf("category", st.Category, Proposed, InProgress, Resolved, Completed, Removed); err != nil {
			return err
		}
		if key := strings.ToLower(st.Name); seen[key] || isCategory(key) && key != st.Category || key == "open" || key == "closed" && st.Category != Completed {
			return invalid("The state %q is named twice, or like something else.", st.Name).WithNext("give every state a name of its own")
		}
		seen[strings.ToLower(st.Name)] = true
		have[st.Category] = true
	}
	for _, c := range []string{Proposed, Completed, Removed} {
		if !have[c] {
			return invalid("There is no state of the category %s.", c).WithNext("name at least one state each of proposed, completed and removed")
		}
	}
	return nil
}

func isCategory(s string) bool {
	return s == Proposed || s == InProgress || s == Resolved || s == Completed || s == Removed
}

// pick finds a state by its name in any case, or the first one of a category.
func pick(list []State, name string) (State, error) {
	for _, st := range list {
		if strings.EqualFold(st.Name, name) {
			return st, nil
		}
	}
	if st, ok := first(list, strings.ToLower(name)); ok {
		return st, nil
	}
	names := make([]string, 0, len(list))
	for _, st := range list {
		names = append(names, st.Name)
	}
	return State{}, invalid("There is no state %q.", clip(name)).WithNext("use %s", strings.Join(names, ", "))
}

func first(list []State, category string) (State, bool) {
	i := slices.IndexFunc(list, func(st State) bool { return st.Category == category })
	if i < 0 {
		return State{}, false
	}
	return list[i], true
}

// mended is the state of what is mended: the first one of the category resolved, or of
// completed where there is none.
func mended(list []State) State {
	if st, ok := first(list, Resolved); ok {
		return st
	}
	st, _ := first(list, Completed) // There is always one.
	return st
}

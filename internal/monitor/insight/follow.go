package insight

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
)

// Bounds of what is followed.
const (
	firstLook = 24 * time.Hour // how far back the first look goes
	maxGroups = 10_000         // of a project; occurrences of others fall into Many
	maxFound  = 2_000          // groups in one look
)

// Many is the fingerprint of the group that takes the occurrences of errors for which a
// project has no room: a program that makes up a new fingerprint each time.
const Many = Version + ":many"

// Run follows exceptions and rollouts until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	// The watch is what makes it quick; what is read comes from the lake.
	watch, err := s.Intake.Watch(ingest.Filter{All: true, Tables: []string{table.AppExceptions}})
	if err != nil {
		return err
	}
	defer watch.Close()
	for ctx.Err() == nil {
		for what, do := range map[string]func(context.Context) error{"errors": s.Follow, "rollouts": s.CompareDue} {
			if err := do(ctx); err != nil && ctx.Err() == nil && !fault.Is(err, fault.Unavailable) {
				s.Logger.Warn("adding up telemetry", "what", what, "error", err)
			}
		}
		wait, cancel := context.WithTimeout(ctx, s.o.Every)
		_, err := watch.Next(wait)
		if err == nil {
			// Exceptions come in crowds: one look a second is enough.
			<-pause(wait)
		}
		cancel()
	}
	return nil
}

// pause returns a channel that closes after a second, or when ctx ends.
func pause(ctx context.Context) <-chan struct{} {
	short, cancel := context.WithTimeout(ctx, time.Second)
	context.AfterFunc(short, cancel)
	return short.Done()
}

// Follow reads the exceptions that were acknowledged since the last time and counts them
// in their groups.
func (s *Service) Follow(ctx context.Context) error {
	s.follow.Lock()
	defer s.follow.Unlock()
	to := s.Intake.Settled().UTC()
	from, err := s.cursor(ctx)
	if err != nil {
		return err
	}
	if from == 0 {
		from = table.TicksOf(to.Add(-firstLook))
	}
	for from < table.TicksOf(to) {
		found, until, err := s.look(ctx, table.TimeOf(from), to)
		if err != nil {
			return err
		}
		if err := s.countAll(ctx, found, until); err != nil {
			return err
		}
		from = table.TicksOf(until)
	}
	return nil
}

// countAll counts occurrences and remembers up to when they were read.
func (s *Service) countAll(ctx context.Context, found []Group, until time.Time) error {
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		var facts []event.Fact
		for _, o := range found {
			f, err := s.count(ctx, tx, o)
			if err != nil {
				return err
			}
			facts = append(facts, f...)
		}
		_, err := tx.Exec(ctx, `INSERT INTO insight_cursor (name, at) VALUES ('exceptions', ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at`, table.TicksOf(until))
		if err != nil || len(facts) == 0 {
			return err
		}
		return s.Log.Append(ctx, tx, facts...)
	})
}

func (s *Service) cursor(ctx context.Context) (int64, error) {
	var at int64
	err := s.DB.QueryRow(ctx, `SELECT at FROM insight_cursor WHERE name = 'exceptions'`).Scan(&at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading up to where exceptions were read: %w", err)
	}
	return at, nil
}

// look asks for the occurrences since from, up to as late as one look takes: until.
func (s *Service) look(ctx context.Context, from, to time.Time) (found []Group, until time.Time, err error) {
	for {
		found, whole, err := s.found(ctx, from, to)
		if err != nil || whole {
			return found, to, err
		}
		half := from.Add(to.Sub(from) / 2).Truncate(100 * time.Nanosecond)
		if half.Sub(from) < time.Millisecond {
			s.Logger.Warn("more errors in a millisecond than one look takes", "groups", maxFound)
			return found, to, nil
		}
		to = half
	}
}

// found asks for the occurrences that were received in a range of time, added up. whole is
// false when there are more.
func (s *Service) found(ctx context.Context, from, to time.Time) (out []Group, whole bool, err error) {
	text := fmt.Sprintf(`AppExceptions
| where _TimeReceived >= %s and _TimeReceived < %s
| summarize Occurrences = sum(ItemCount), First = min(TimeGenerated), Last = max(TimeGenerated), Role = take_any(AppRoleName), Type = take_any(ExceptionType),
    Text = take_any(Message), Trace = take_any(OperationId) by Project, Environment, Release, ProblemId
| order by First asc`, moment(from), moment(to))
	// A row's own time lies at most two days before and one day after that at which it was received.
	in := Scope{All: true, From: from.Add(-49 * time.Hour), To: to.Add(25 * time.Hour)}
	a, err := s.ask(ctx, in, text, maxFound)
	if err != nil {
		return nil, false, err
	}
	out = make([]Group, a.Rows())
	for i := range out {
		release := a.text("Release", i)
		out[i] = Group{
			Project: a.text("Project", i), Fingerprint: a.text("ProblemId", i), Role: a.text("Role", i), Type: a.text("Type", i), Message: table.Clip(a.text("Text", i), maxMessage),
			Operation: a.text("Trace", i), Environment: a.text("Environment", i), FirstSeen: a.time("First", i), LastSeen: a.time("Last", i),
			FirstRelease: release, LastRelease: release, Count: a.integer("Occurrences", i), State: Open,
		}
	}
	return out, !a.truncated, nil
}

// maxMessage is how many bytes of a message a list shows.
const maxMessage = 1 << 10

// count adds occurrences to their group. It returns the fact that a group was found, or
// came back.
func (s *Service) count(ctx context.Context, tx *store.Tx, o Group) ([]event.Fact, error) {
	old, err := findGroup(ctx, tx, o.Project, o.Fingerprint)
	switch {
	case fault.Is(err, fault.NotFound):
		return s.meet(ctx, tx, o)
	case err != nil:
		return nil, err
	}
	state, resolved, again := old.State, old.Resolved, false
	// What was mended and is seen in what happened later is not.
	if state == Resolved && o.LastSeen.After(old.Resolved) {
		state, resolved, again = Open, time.Time{}, true
	}
	first, last := old.FirstSeen, old.LastSeen
	release := old.LastRelease
	if o.FirstSeen.Before(first) {
		first = o.FirstSeen
	}
	if o.LastSeen.After(last) {
		last = o.LastSeen
		release = o.LastRelease
	}
	mended := int64(0)
	if !resolved.IsZero() {
		mended = resolved.UnixMilli()
	}
	_, err = tx.Exec(ctx, `UPDATE insight_group SET message = ?, operation = ?, first_seen = ?, last_seen = ?, last_release = ?, occurrences = occurrences + ?, state = ?, resolved = ?
		WHERE project = ? AND fingerprint = ?`, o.Message, o.Operation, first.UnixMilli(), last.UnixMilli(), release, o.Count, state, mended, o.Project, o.Fingerprint)
	if err != nil {
		return nil, fmt.Errorf("counting an error: %w", err)
	}
	if !again {
		return nil, nil
	}
	return s.said(o, true), nil
}

// meet stores a group that was not seen before.
func (s *Service) meet(ctx context.Context, tx *store.Tx, o Group) ([]event.Fact, error) {
	var n int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM insight_group WHERE project = ?`, o.Project).Scan(&n); err != nil {
		return nil, fmt.Errorf("counting error groups: %w", err)
	}
	if n >= maxGroups && o.Fingerprint != Many {
		o.Fingerprint = Many
		return s.count(ctx, tx, o)
	}
	_, err := tx.Exec(ctx, `INSERT INTO insight_group (`+groupColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`, o.Project, o.Fingerprint, o.Role, o.Type, o.Message,
		o.Operation, o.Environment, o.FirstSeen.UnixMilli(), o.LastSeen.UnixMilli(), o.FirstRelease, o.LastRelease, o.Count, Open, "", 0)
	if err != nil {
		return nil, fmt.Errorf("storing an error group: %w", err)
	}
	return s.said(o, false), nil
}

// said is the fact that a group was found. The platform's own errors are nobody's release.
func (s *Service) said(o Group, again bool) []event.Fact {
	if o.Project == "" {
		return nil
	}
	subject := event.Of(event.KindProject, o.Project)
	if o.LastRelease != "" {
		subject = event.Of(event.KindRelease, o.LastRelease)
	}
	f := event.Fact{
		Type: event.TypeErrorFound, Subject: subject, Project: o.Project, Actor: system(),
		Payload: event.ErrorFound{
			V: 1, Group: o.Fingerprint, Release: o.LastRelease, Environment: o.Environment, Role: o.Role, Type: o.Type, Message: o.Message, Operation: o.Operation, Again: again,
		},
	}
	if b, err := hex.DecodeString(o.Operation); err == nil && len(b) == 16 {
		f.Trace = o.Operation
	}
	return []event.Fact{f}
}

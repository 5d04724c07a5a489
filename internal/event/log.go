package event

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/store"
)

// Event is a row of the logbook.
type Event struct {
	Seq      int64           `json:"seq"`
	ID       string          `json:"id"`
	Time     time.Time       `json:"time"` // UTC, millisecond precision
	Type     string          `json:"type"`
	Subject  Subject         `json:"subject"`
	Project  string          `json:"project,omitempty"` // "" for facts about the installation
	Actor    string          `json:"actor"`             // "user:ada", "run:2040", "system:scanner"
	Trace    string          `json:"trace,omitempty"`   // W3C trace id, 32 hex, when known
	Payload  json.RawMessage `json:"payload"`
	Links    []Link          `json:"links,omitempty"`
	PrevHash string          `json:"prev_hash"`
	Hash     string          `json:"hash"`
}

// Into decodes the payload into v.
func (e Event) Into(v any) error {
	if err := json.Unmarshal(e.Payload, v); err != nil {
		return fmt.Errorf("decoding payload of event %d (%s): %w", e.Seq, e.Type, err)
	}
	return nil
}

// Fact is what a use case says; the log adds seq, id, time and hashes. Payload is
// one of the structs of this package.
type Fact struct {
	Type    string
	Subject Subject
	Project string
	Actor   string
	Trace   string
	Payload any
	Links   []Link
}

// MaxPayload is the largest payload in bytes. Larger things belong in the blob store.
const MaxPayload = 256 << 10

// Log is the logbook. It is safe for concurrent use.
type Log struct {
	db    *store.DB
	clock clock.Clock

	mu   sync.Mutex
	wake chan struct{} // Closed and replaced at each commit that appended.
}

// New returns the logbook that lives in db.
func New(db *store.DB, c clock.Clock) *Log {
	return &Log{db: db, clock: c, wake: make(chan struct{})}
}

// Append writes facts at the end of the log, in the caller's transaction. It takes
// the log's head row, so that concurrent writers on PostgreSQL queue up here: call
// it late in the transaction. An error means that the transaction must roll back.
func (l *Log) Append(ctx context.Context, tx *store.Tx, facts ...Fact) error {
	lock := ""
	if tx.Postgres() {
		lock = " FOR UPDATE"
	}
	var head Event
	row := tx.QueryRow(ctx, `SELECT seq, hash FROM event_head WHERE one = 1`+lock)
	if err := row.Scan(&head.Seq, &head.Hash); err != nil {
		return fmt.Errorf("reading the head of the logbook: %w", err)
	}
	for _, f := range facts {
		e, err := l.next(head, f)
		if err != nil {
			return err
		}
		if err := insert(ctx, tx, e); err != nil {
			return err
		}
		head = e
	}
	if _, err := tx.Exec(ctx, `UPDATE event_head SET seq = ?, hash = ? WHERE one = 1`, head.Seq, head.Hash); err != nil {
		return fmt.Errorf("moving the head of the logbook: %w", err)
	}
	tx.AfterCommit(l.signal)
	return nil
}

func (l *Log) next(head Event, f Fact) (Event, error) {
	if f.Type == "" || f.Subject == "" || f.Actor == "" || f.Payload == nil {
		return Event{}, fmt.Errorf("appending %q about %q: type, subject, actor and payload must be set", f.Type, f.Subject)
	}
	payload, err := json.Marshal(f.Payload)
	if err != nil {
		return Event{}, fmt.Errorf("encoding payload of %s: %w", f.Type, err)
	}
	if len(payload) > MaxPayload {
		return Event{}, fmt.Errorf("appending %s: payload of %d bytes is over %d", f.Type, len(payload), MaxPayload)
	}
	e := Event{
		Seq: head.Seq + 1, ID: l.clock.NewID(), Time: l.clock.Now().Truncate(time.Millisecond), Type: f.Type, Subject: f.Subject,
		Project: f.Project, Actor: f.Actor, Trace: f.Trace, Payload: payload, Links: f.Links, PrevHash: head.Hash,
	}
	e.Hash = e.digest()
	return e, nil
}

func insert(ctx context.Context, tx *store.Tx, e Event) error {
	links := "[]"
	if len(e.Links) > 0 {
		b, err := json.Marshal(e.Links)
		if err != nil {
			return fmt.Errorf("encoding links: %w", err)
		}
		links = string(b)
	}
	_, err := tx.Exec(ctx, `INSERT INTO event (seq, id, time, type, subject, project, actor, trace, payload, links, prev_hash, hash)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`, e.Seq, e.ID, e.Time.UnixMilli(), e.Type, string(e.Subject), e.Project, e.Actor, e.Trace,
		string(e.Payload), links, e.PrevHash, e.Hash)
	if err != nil {
		return fmt.Errorf("appending event %d: %w", e.Seq, err)
	}
	for _, k := range e.Links {
		_, err := tx.Exec(ctx, `INSERT INTO event_link (seq, from_subject, rel, to_subject) VALUES (?,?,?,?)
			ON CONFLICT (from_subject, rel, to_subject) DO NOTHING`, e.Seq, string(e.Subject), k.Rel, string(k.To))
		if err != nil {
			return fmt.Errorf("linking event %d: %w", e.Seq, err)
		}
	}
	return nil
}

// digest is SHA-256, in hex, over each column in a fixed order, each preceded by its
// length, so that no two different rows have the same input.
func (e Event) digest() string {
	h := sha256.New()
	links := ""
	for _, k := range e.Links {
		links += k.Rel + "\x00" + string(k.To) + "\x00"
	}
	field(h, e.PrevHash)
	field(h, strconv.FormatInt(e.Seq, 10))
	field(h, e.ID)
	field(h, strconv.FormatInt(e.Time.UnixMilli(), 10))
	for _, s := range []string{e.Type, string(e.Subject), e.Project, e.Actor, e.Trace, string(e.Payload), links} {
		field(h, s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func field(h hash.Hash, s string) {
	// A hash never returns an error from Write.
	_, _ = h.Write([]byte(strconv.Itoa(len(s)) + ":"))
	_, _ = h.Write([]byte(s))
}

func (l *Log) signal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.wake)
	l.wake = make(chan struct{})
}

// Changed returns a channel that is closed when something is appended after the
// call by this process. Writers in other processes are seen by polling only.
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wake
}

// Query selects events for Read. Zero fields select everything.
type Query struct {
	After   int64   // only events with a larger seq
	Project string  // only this project
	Subject Subject // only this subject
	Type    string  // only this type
	Limit   int     // at most so many, oldest first; 0 means 500, the most is 5000
	Newest  bool    // newest first instead
}

const columns = `seq, id, time, type, subject, project, actor, trace, payload, links, prev_hash, hash`

// Read returns events in the order of seq.
func (l *Log) Read(ctx context.Context, q Query) ([]Event, error) {
	return read(ctx, l.db, q)
}

func read(ctx context.Context, h store.Handle, q Query) ([]Event, error) {
	where, args := `seq > ?`, []any{q.After}
	for _, c := range []struct{ col, val string }{{"project", q.Project}, {"subject", string(q.Subject)}, {"type", q.Type}} {
		if c.val != "" {
			where += ` AND ` + c.col + ` = ?`
			args = append(args, c.val)
		}
	}
	order := " ORDER BY seq"
	if q.Newest {
		order += " DESC"
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 500
	}
	args = append(args, min(limit, 5000))
	rows, err := h.Query(ctx, `SELECT `+columns+` FROM event WHERE `+where+order+` LIMIT ?`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the logbook: %w", err)
	}
	defer rows.Close()
	var out []Event
	for rows.Next() {
		e, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

func scan(rows *sql.Rows) (Event, error) {
	var (
		e       Event
		ms      int64
		subject string
		payload string
		links   string
	)
	if err := rows.Scan(&e.Seq, &e.ID, &ms, &e.Type, &subject, &e.Project, &e.Actor, &e.Trace, &payload, &links, &e.PrevHash, &e.Hash); err != nil {
		return e, fmt.Errorf("reading an event: %w", err)
	}
	e.Time, e.Subject, e.Payload = time.UnixMilli(ms).UTC(), Subject(subject), json.RawMessage(payload)
	if links != "[]" {
		if err := json.Unmarshal([]byte(links), &e.Links); err != nil {
			return e, fmt.Errorf("decoding links of event %d: %w", e.Seq, err)
		}
	}
	return e, nil
}

// Edge is a link as it stands in the log, with the event that said it.
type Edge struct {
	Seq  int64
	From Subject
	Rel  string
	To   Subject
}

// Edges returns every link that starts or ends at one of the subjects, oldest first.
func (l *Log) Edges(ctx context.Context, subjects ...Subject) ([]Edge, error) {
	var out []Edge
	for _, s := range subjects {
		rows, err := l.db.Query(ctx, `SELECT seq, from_subject, rel, to_subject FROM event_link WHERE from_subject = ?
			UNION SELECT seq, from_subject, rel, to_subject FROM event_link WHERE to_subject = ? ORDER BY 1 LIMIT 2000`, string(s), string(s))
		if err != nil {
			return nil, fmt.Errorf("reading links of %s: %w", s, err)
		}
		for rows.Next() {
			var e Edge
			var from, to string
			if err := rows.Scan(&e.Seq, &from, &e.Rel, &to); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			e.From, e.To = Subject(from), Subject(to)
			out = append(out, e)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, fmt.Errorf("reading links of %s: %w", s, err)
		}
	}
	return out, nil
}

// Out returns the links of a relation that start at s, newest first, at most limit.
func (l *Log) Out(ctx context.Context, s Subject, rel string, limit int) ([]Edge, error) {
	return l.edges(ctx, `from_subject`, s, rel, limit)
}

// In returns the links of a relation that end at s, newest first, at most limit.
func (l *Log) In(ctx context.Context, s Subject, rel string, limit int) ([]Edge, error) {
	return l.edges(ctx, `to_subject`, s, rel, limit)
}

func (l *Log) edges(ctx context.Context, column string, s Subject, rel string, limit int) ([]Edge, error) {
	rows, err := l.db.Query(ctx, `SELECT seq, from_subject, rel, to_subject FROM event_link WHERE `+column+` = ? AND rel = ?
		ORDER BY seq DESC, from_subject, to_subject LIMIT ?`, string(s), rel, limit)
	if err != nil {
		return nil, fmt.Errorf("reading links of %s: %w", s, err)
	}
	defer rows.Close()
	var out []Edge
	for rows.Next() {
		var e Edge
		var from, to string
		if err := rows.Scan(&e.Seq, &from, &e.Rel, &to); err != nil {
			return nil, fmt.Errorf("reading links of %s: %w", s, err)
		}
		e.From, e.To = Subject(from), Subject(to)
		out = append(out, e)
	}
	return out, rows.Err()
}

// Subjects returns the subjects that begin with a text and have events of their own, in
// order, at most limit. The text ends within lower-case hexadecimal digits: this is how a
// shortened commit or digest is found.
func (l *Log) Subjects(ctx context.Context, begin string, limit int) ([]Subject, error) {
	// Every hexadecimal digit sorts before g, in each collation.
	rows, err := l.db.Query(ctx, `SELECT DISTINCT subject FROM event WHERE subject >= ? AND subject < ? ORDER BY subject LIMIT ?`, begin, begin+"g", limit)
	if err != nil {
		return nil, fmt.Errorf("looking for %s: %w", begin, err)
	}
	defer rows.Close()
	var out []Subject
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, fmt.Errorf("looking for %s: %w", begin, err)
		}
		out = append(out, Subject(s))
	}
	return out, rows.Err()
}

// Head returns the seq and hash of the newest event; 0 and "" for an empty log.
func (l *Log) Head(ctx context.Context) (seq int64, hash string, err error) {
	err = l.db.QueryRow(ctx, `SELECT seq, hash FROM event_head WHERE one = 1`).Scan(&seq, &hash)
	return seq, hash, err
}

package advisory

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// Store keeps advisories in SQL. It is safe for concurrent use.
type Store struct {
	db *store.DB
}

// New returns the store that lives in db.
func New(db *store.DB) *Store { return &Store{db: db} }

// Loaded is the outcome of one Load.
type Loaded struct {
	Source    string
	Entries   int        // advisories given
	Changed   []string   // ids that are new or differ from the stored copy
	Ecosystem []Coverage // what the source brought, per ecosystem
	Date      time.Time  // newest change among the entries
}

// Coverage says how much is known about an ecosystem.
type Coverage struct {
	Source    string    `json:"source,omitempty"`
	Ecosystem string    `json:"ecosystem"`
	Entries   int       `json:"entries"`
	Date      time.Time `json:"date,omitzero"` // newest change among the advisories
	Loaded    time.Time `json:"loaded,omitzero"`
}

// Load writes the records of a source in the caller's transaction. A record
// replaces the stored copy unless that copy is newer; one with equal content is
// left alone. keep says that a stored copy of equal age wins: the built-in seed
// is loaded so, because it knows less than a real source.
func (s *Store) Load(ctx context.Context, tx *store.Tx, source string, records []Record, now time.Time, keep bool) (Loaded, error) {
	out := Loaded{Source: source, Entries: len(records)}
	have, err := versions(ctx, tx)
	if err != nil {
		return out, err
	}
	per := map[string]*Coverage{}
	w := newWriter(tx, source)
	for _, r := range newest(records) {
		out.Date = latest(out.Date, r.Modified)
		for _, e := range r.ecosystems() {
			c := per[e]
			if c == nil {
				c = &Coverage{Source: source, Ecosystem: e, Loaded: now}
				per[e] = c
			}
			c.Entries++
			c.Date = latest(c.Date, r.Modified)
		}
		hash, err := r.hash()
		if err != nil {
			return out, err
		}
		old, known := have[r.ID]
		mod := milli(r.Modified)
		if known && (old.hash == hash || old.modified > mod || keep && old.modified == mod) {
			continue
		}
		if err := w.put(ctx, hash, r, known); err != nil {
			return out, err
		}
		out.Changed = append(out.Changed, r.ID)
	}
	if err := w.flush(ctx); err != nil {
		return out, err
	}
	for _, c := range per {
		out.Ecosystem = append(out.Ecosystem, *c)
		_, err := tx.Exec(ctx, `INSERT INTO advisory_source (source, ecosystem, entries, date, loaded) VALUES (?,?,?,?,?)
			ON CONFLICT (source, ecosystem) DO UPDATE SET entries = excluded.entries, date = excluded.date, loaded = excluded.loaded`,
			source, c.Ecosystem, c.Entries, milli(c.Date), milli(now))
		if err != nil {
			return out, fmt.Errorf("recording the source %s: %w", source, err)
		}
	}
	slices.SortFunc(out.Ecosystem, func(a, b Coverage) int { return strings.Compare(a.Ecosystem, b.Ecosystem) })
	return out, nil
}

type version struct {
	modified int64
	hash     string
}

func versions(ctx context.Context, h store.Handle) (map[string]version, error) {
	rows, err := h.Query(ctx, `SELECT id, modified, hash FROM advisory`)
	if err != nil {
		return nil, fmt.Errorf("reading the stored advisories: %w", err)
	}
	defer rows.Close()
	out := map[string]version{}
	for rows.Next() {
		var id string
		var v version
		if err := rows.Scan(&id, &v.modified, &v.hash); err != nil {
			return nil, fmt.Errorf("reading the stored advisories: %w", err)
		}
		out[id] = v
	}
	return out, rows.Err()
}

// newest drops older copies of an advisory that a source holds twice.
func newest(records []Record) []Record {
	at := make(map[string]int, len(records))
	out := make([]Record, 0, len(records))
	for _, r := range records {
		i, twice := at[r.ID]
		switch {
		case !twice:
			at[r.ID] = len(out)
			out = append(out, r)
		case !r.Modified.Before(out[i].Modified):
			out[i] = r
		}
	}
	return out
}

// Rule is an advisory's word on one package, as matching needs it.
type Rule struct {
	Advisory string
	Affected
}

const rules = `SELECT f.advisory, f.ecosystem, f.package, f.ranges, f.versions FROM advisory_affected f
	JOIN advisory a ON a.id = f.advisory AND a.withdrawn = 0 `

// About returns the rules about a package, those of its exact ecosystem ("Debian:12")
// and those of the ecosystem without release ("Debian"). Withdrawn advisories have none.
func (s *Store) About(ctx context.Context, h store.Handle, ecosystem, pkg string) ([]Rule, error) {
	return readRules(ctx, h, rules+`WHERE f.package = ? AND f.ecosystem IN (?, ?) ORDER BY f.advisory, f.ord`, pkg, ecosystem, Base(ecosystem))
}

// Of returns the rules of one advisory; none when it is unknown or withdrawn.
func (s *Store) Of(ctx context.Context, h store.Handle, advisory string) ([]Rule, error) {
	return readRules(ctx, h, rules+`WHERE f.advisory = ? ORDER BY f.ord`, advisory)
}

// Base returns an ecosystem without its release: "Debian" for "Debian:12".
func Base(ecosystem string) string {
	base, _, _ := strings.Cut(ecosystem, ":")
	return base
}

func readRules(ctx context.Context, h store.Handle, query string, args ...any) ([]Rule, error) {
	rows, err := h.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("looking up advisories: %w", err)
	}
	defer rows.Close()
	var out []Rule
	for rows.Next() {
		var r Rule
		var ranges, listed string
		if err := rows.Scan(&r.Advisory, &r.Ecosystem, &r.Package, &ranges, &listed); err != nil {
			return nil, fmt.Errorf("looking up advisories: %w", err)
		}
		if err := errors.Join(json.Unmarshal([]byte(ranges), &r.Ranges), json.Unmarshal([]byte(listed), &r.Versions)); err != nil {
			return nil, fmt.Errorf("decoding advisory %s: %w", r.Advisory, err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// Coverage returns what is known per ecosystem, all sources together, by name. The
// entries of an advisory that two sources bring are counted once.
func (s *Store) Coverage(ctx context.Context, h store.Handle) ([]Coverage, error) {
	rows, err := h.Query(ctx, `SELECT '', ecosystem, MAX(entries), MAX(date), MAX(loaded) FROM advisory_source GROUP BY ecosystem ORDER BY ecosystem`)
	return readCoverage(rows, err)
}

// Sources returns what each source brought, per ecosystem.
func (s *Store) Sources(ctx context.Context) ([]Coverage, error) {
	rows, err := s.db.Query(ctx, `SELECT source, ecosystem, entries, date, loaded FROM advisory_source ORDER BY source, ecosystem`)
	return readCoverage(rows, err)
}

func readCoverage(rows *sql.Rows, err error) ([]Coverage, error) {
	if err != nil {
		return nil, fmt.Errorf("reading the advisory sources: %w", err)
	}
	defer rows.Close()
	var out []Coverage
	for rows.Next() {
		var c Coverage
		var date, loaded int64
		if err := rows.Scan(&c.Source, &c.Ecosystem, &c.Entries, &date, &loaded); err != nil {
			return nil, fmt.Errorf("reading the advisory sources: %w", err)
		}
		c.Date, c.Loaded = unmilli(date), unmilli(loaded)
		out = append(out, c)
	}
	return out, rows.Err()
}

const recordColumns = `id, modified, published, withdrawn, severity, score, summary, aliases FROM advisory `

// Get returns one advisory by its id or by an alias of it.
func (s *Store) Get(ctx context.Context, name string) (Record, error) {
	found, err := s.read(ctx, `SELECT `+recordColumns+`WHERE id = ? OR id IN (SELECT advisory FROM advisory_alias WHERE alias = ?)
		ORDER BY CASE WHEN id = ? THEN 0 ELSE 1 END, id LIMIT 1`, name, name, name)
	if err != nil {
		return Record{}, err
	}
	if len(found) == 0 {
		return Record{}, fault.New(fault.NotFound, "No advisory %s is loaded.", cut(name, 128)).WithNext("towpath advisories list")
	}
	r := found[0]
	list, err := readRules(ctx, s.db, `SELECT advisory, ecosystem, package, ranges, versions FROM advisory_affected WHERE advisory = ? ORDER BY ord`, r.ID)
	for _, rule := range list {
		r.Affected = append(r.Affected, rule.Affected)
	}
	return r, err
}

// List returns the newest advisories, without their Affected, at most limit (1 to
// 1000). A package name that is not empty selects those about it.
func (s *Store) List(ctx context.Context, pkg string, limit int) ([]Record, error) {
	where, args := "", []any{}
	if pkg != "" {
		where = `WHERE id IN (SELECT advisory FROM advisory_affected WHERE package = ?) `
		args = append(args, pkg)
	}
	args = append(args, min(max(limit, 1), 1000))
	return s.read(ctx, `SELECT `+recordColumns+where+`ORDER BY modified DESC, id DESC LIMIT ?`, args...)
}

func (s *Store) read(ctx context.Context, query string, args ...any) ([]Record, error) {
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading advisories: %w", err)
	}
	defer rows.Close()
	var out []Record
	for rows.Next() {
		var r Record
		var modified, published, withdrawn, score int64
		var severity, aliases string
		if err := rows.Scan(&r.ID, &modified, &published, &withdrawn, &severity, &score, &r.Summary, &aliases); err != nil {
			return nil, fmt.Errorf("reading advisories: %w", err)
		}
		if err := json.Unmarshal([]byte(aliases), &r.Aliases); err != nil {
			return nil, fmt.Errorf("decoding the aliases of %s: %w", r.ID, err)
		}
		r.Modified, r.Published, r.Withdrawn = unmilli(modified), unmilli(published), unmilli(withdrawn)
		r.Severity, r.Score = Severity(severity), float64(score)/10
		out = append(out, r)
	}
	return out, rows.Err()
}

func (r Record) ecosystems() []string {
	var out []string
	for _, a := range r.Affected {
		if !slices.Contains(out, a.Ecosystem) {
			out = append(out, a.Ecosystem)
		}
	}
	return out
}

// hash covers everything but the time of change, which some databases do not keep.
func (r Record) hash() (string, error) {
	r.Modified = time.Time{}
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encoding advisory %s: %w", r.ID, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func unmilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

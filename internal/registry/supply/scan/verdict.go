package scan

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/store"
)

// The states of an image.
const (
	StatusClean    = "clean"            // every ecosystem in it has data, and nothing was found
	StatusFindings = "findings"         // at least one finding, whatever else is missing
	StatusNoData   = "no advisory data" // nothing was found, but not everything could be judged
)

// Verdict is the newest judgement of an image.
type Verdict struct {
	Scan       string    `json:"scan"` // a new id at each change
	Image      string    `json:"image"`
	Time       time.Time `json:"time"`
	Status     string    `json:"status"`
	Critical   int       `json:"critical"`
	High       int       `json:"high"`
	Medium     int       `json:"medium"`
	Low        int       `json:"low"`
	Unknown    int       `json:"unknown"`
	Packages   int       `json:"packages"`
	Advisories time.Time `json:"advisories,omitzero"` // date of the oldest advisory data that was used
	Missing    []string  `json:"missing,omitempty"`   // ecosystems without advisory data
	Problem    string    `json:"problem,omitempty"`   // why the image could not be read
}

// Finding is an advisory that hits a package in an image.
type Finding struct {
	Advisory  string            `json:"advisory"`
	Aliases   []string          `json:"aliases,omitempty"`
	Severity  advisory.Severity `json:"severity"`
	Score     float64           `json:"score,omitempty"`
	Summary   string            `json:"summary,omitempty"`
	Ecosystem string            `json:"ecosystem"`
	Package   string            `json:"package"`
	Version   string            `json:"version"`
	Fixed     string            `json:"fixed,omitempty"` // lowest version that fixes it
	PURL      string            `json:"purl"`
	Path      string            `json:"path"`
	First     time.Time         `json:"first_seen,omitzero"`
	Gone      time.Time         `json:"gone,omitzero"` // set when it no longer holds

	pkg string
}

// Findings returns what holds for an image now, worst first.
func (m *Matcher) Findings(ctx context.Context, h store.Handle, image string) (out []Finding, err error) {
	rows, err := h.Query(ctx, `SELECT a.id, a.aliases, a.severity, a.score, a.summary, p.ecosystem, p.name, p.version, x.fixed, p.purl, ip.path, p.id, COALESCE(f.first, 0)
		FROM supply_image_package ip
		JOIN supply_match x ON x.package = ip.package
		JOIN supply_package p ON p.id = ip.package
		JOIN advisory a ON a.id = x.advisory
		LEFT JOIN supply_finding f ON f.image = ip.image AND f.package = ip.package AND f.advisory = x.advisory AND f.gone = 0
		WHERE ip.image = ? AND ip.hit = 1 ORDER BY p.id, CASE WHEN f.first IS NULL THEN 1 ELSE 0 END, a.id`, image)
	if err != nil {
		return nil, fmt.Errorf("reading the findings of %s: %w", image, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var f Finding
		var aliases, severity string
		var score, first int64
		if err := rows.Scan(&f.Advisory, &aliases, &severity, &score, &f.Summary, &f.Ecosystem, &f.Package, &f.Version, &f.Fixed, &f.PURL, &f.Path, &f.pkg, &first); err != nil {
			return nil, fmt.Errorf("reading the findings of %s: %w", image, err)
		}
		if err := json.Unmarshal([]byte(aliases), &f.Aliases); err != nil {
			return nil, fmt.Errorf("decoding the aliases of %s: %w", f.Advisory, err)
		}
		f.Severity, f.Score = advisory.Severity(severity), float64(score)/10
		if first > 0 {
			f.First = time.UnixMilli(first).UTC()
		}
		out = append(out, f)
	}
	return fold(out), rows.Err()
}

// fold takes advisories that are aliases of each other, about the same package
// version, as one finding: the first id stays (one that was reported before comes
// first, so that a second database does not rename it), the worst severity counts. It expects
// the findings of a package next to each other.
func fold(list []Finding) []Finding {
	var out []Finding
	for _, f := range list {
		i := slices.IndexFunc(out, func(o Finding) bool { return o.pkg == f.pkg && related(o, f) })
		if i < 0 {
			out = append(out, f)
			continue
		}
		o := &out[i]
		if f.Severity.Rank() > o.Severity.Rank() {
			o.Severity, o.Score = f.Severity, f.Score
		}
		o.Fixed, o.Summary = cmp.Or(o.Fixed, f.Fixed), cmp.Or(o.Summary, f.Summary)
		o.Aliases = append(append(o.Aliases, f.Advisory), f.Aliases...)
		slices.Sort(o.Aliases)
		o.Aliases = slices.DeleteFunc(slices.Compact(o.Aliases), func(a string) bool { return a == o.Advisory })
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(b.Severity.Rank()-a.Severity.Rank(), cmp.Compare(b.Score, a.Score), strings.Compare(a.Package, b.Package), strings.Compare(a.Advisory, b.Advisory))
	})
	return out
}

func related(a, b Finding) bool {
	if slices.Contains(a.Aliases, b.Advisory) || slices.Contains(b.Aliases, a.Advisory) {
		return true
	}
	return slices.ContainsFunc(a.Aliases, func(s string) bool { return slices.Contains(b.Aliases, s) })
}

// Judge recomputes the verdict of an indexed image in the caller's transaction and
// records which findings began and ended. newID names the scan when the verdict
// differs from the stored one; changed is false, and nothing is written, when it does
// not.
func (m *Matcher) Judge(ctx context.Context, tx *store.Tx, image string, coverage []advisory.Coverage, newID func() string, now time.Time) (v Verdict, changed bool, err error) {
	old, err := m.Verdict(ctx, tx, image)
	if err != nil {
		return Verdict{}, false, err
	}
	found, err := m.Findings(ctx, tx, image)
	if err != nil {
		return Verdict{}, false, err
	}
	v = Verdict{Image: image, Packages: old.Packages, Problem: old.Problem}
	for _, f := range found {
		v.count(f.Severity)
	}
	if err := v.judge(ctx, tx, coverage, len(found)); err != nil {
		return Verdict{}, false, err
	}
	moved, err := m.live(ctx, tx, image, found, now)
	if err != nil {
		return Verdict{}, false, err
	}
	v.Scan, v.Time = old.Scan, old.Time
	if !moved && v.same(old) {
		return old, false, nil
	}
	v.Scan, v.Time = newID(), now
	return v, true, v.save(ctx, tx)
}

func (v *Verdict) count(s advisory.Severity) {
	switch s {
	case advisory.Critical:
		v.Critical++
	case advisory.High:
		v.High++
	case advisory.Medium:
		v.Medium++
	case advisory.Low:
		v.Low++
	default:
		v.Unknown++
	}
}

// judge sets status, missing ecosystems and the date of the data.
func (v *Verdict) judge(ctx context.Context, tx *store.Tx, coverage []advisory.Coverage, found int) error {
	var list string
	var types []string
	if err := tx.QueryRow(ctx, `SELECT ecosystems FROM supply_image WHERE digest = ?`, v.Image).Scan(&list); err != nil {
		return fmt.Errorf("reading the ecosystems of %s: %w", v.Image, err)
	}
	if err := json.Unmarshal([]byte(list), &types); err != nil {
		return fmt.Errorf("decoding the ecosystems of %s: %w", v.Image, err)
	}
	for _, e := range types {
		i := slices.IndexFunc(coverage, func(c advisory.Coverage) bool {
			return c.Entries > 0 && (c.Ecosystem == e || c.Ecosystem == advisory.Base(e))
		})
		if i < 0 {
			v.Missing = append(v.Missing, e)
			continue
		}
		if d := coverage[i].Date; v.Advisories.IsZero() || d.Before(v.Advisories) {
			v.Advisories = d
		}
	}
	switch {
	case found > 0:
		v.Status = StatusFindings
	case len(types) == 0 || len(v.Missing) > 0 || v.Problem != "":
		v.Status = StatusNoData
	default:
		v.Status = StatusClean
	}
	return nil
}

func (v Verdict) same(o Verdict) bool {
	return o.Scan != "" && v.Status == o.Status && v.Critical == o.Critical && v.High == o.High && v.Medium == o.Medium && v.Low == o.Low &&
		v.Unknown == o.Unknown && slices.Equal(v.Missing, o.Missing)
}

func (v Verdict) save(ctx context.Context, tx *store.Tx) error {
	if v.Missing == nil {
		v.Missing = []string{}
	}
	missing, err := json.Marshal(v.Missing)
	if err != nil {
		return fmt.Errorf("encoding the verdict of %s: %w", v.Image, err)
	}
	date := int64(0)
	if !v.Advisories.IsZero() {
		date = v.Advisories.UnixMilli()
	}
	_, err = tx.Exec(ctx, `UPDATE supply_image SET scan = ?, scanned = ?, status = ?, critical = ?, high = ?, medium = ?, low = ?, unknown = ?, advisories = ?, missing = ?
		WHERE digest = ?`, v.Scan, v.Time.UnixMilli(), v.Status, v.Critical, v.High, v.Medium, v.Low, v.Unknown, date, string(missing), v.Image)
	if err != nil {
		return fmt.Errorf("storing the verdict of %s: %w", v.Image, err)
	}
	return nil
}

// Verdict returns the stored verdict; Scan is "" when the image is indexed but not yet
// judged. The error is sql.ErrNoRows, wrapped, when the image is not indexed.
func (m *Matcher) Verdict(ctx context.Context, h store.Handle, image string) (Verdict, error) {
	v := Verdict{Image: image}
	var scanned, date int64
	var missing string
	err := h.QueryRow(ctx, `SELECT scan, scanned, status, critical, high, medium, low, unknown, packages, advisories, missing, problem FROM supply_image WHERE digest = ?`, image).
		Scan(&v.Scan, &scanned, &v.Status, &v.Critical, &v.High, &v.Medium, &v.Low, &v.Unknown, &v.Packages, &date, &missing, &v.Problem)
	if err != nil {
		return Verdict{}, fmt.Errorf("reading the verdict of %s: %w", image, err)
	}
	if err := json.Unmarshal([]byte(missing), &v.Missing); err != nil {
		return Verdict{}, fmt.Errorf("decoding the verdict of %s: %w", image, err)
	}
	if len(v.Missing) == 0 {
		v.Missing = nil
	}
	if scanned > 0 {
		v.Time = time.UnixMilli(scanned).UTC()
	}
	if date > 0 {
		v.Advisories = time.UnixMilli(date).UTC()
	}
	return v, nil
}

// live records the findings that began and those that ended.
func (m *Matcher) live(ctx context.Context, tx *store.Tx, image string, found []Finding, now time.Time) (moved bool, err error) {
	type key struct{ pkg, advisory string }
	known := map[key]bool{} // those that hold
	rows, err := tx.Query(ctx, `SELECT package, advisory FROM supply_finding WHERE image = ? AND gone = 0`, image)
	if err != nil {
		return false, fmt.Errorf("reading the findings of %s: %w", image, err)
	}
	for rows.Next() {
		var k key
		if err := rows.Scan(&k.pkg, &k.advisory); err != nil {
			return false, errors.Join(fmt.Errorf("reading the findings of %s: %w", image, err), rows.Close())
		}
		known[k] = true
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return false, fmt.Errorf("reading the findings of %s: %w", image, err)
	}
	for _, f := range found {
		k := key{f.pkg, f.Advisory}
		if known[k] {
			delete(known, k)
			continue
		}
		moved = true
		// One that comes back begins anew, but keeps when it was first seen.
		_, err := tx.Exec(ctx, `INSERT INTO supply_finding (image, package, advisory, first, gone) VALUES (?,?,?,?,0)
			ON CONFLICT (image, package, advisory) DO UPDATE SET gone = 0`, image, k.pkg, k.advisory, now.UnixMilli())
		if err != nil {
			return false, fmt.Errorf("recording a finding of %s: %w", image, err)
		}
	}
	for k := range known {
		moved = true
		_, err := tx.Exec(ctx, `UPDATE supply_finding SET gone = ? WHERE image = ? AND package = ? AND advisory = ?`, now.UnixMilli(), image, k.pkg, k.advisory)
		if err != nil {
			return false, fmt.Errorf("ending a finding of %s: %w", image, err)
		}
	}
	return moved, nil
}

// Ended returns the findings of an image that no longer hold, newest end first, at
// most 200.
func (m *Matcher) Ended(ctx context.Context, image string) (out []Finding, err error) {
	var rows *sql.Rows
	rows, err = m.db.Query(ctx, `SELECT f.advisory, p.ecosystem, p.name, p.version, p.purl, f.first, f.gone FROM supply_finding f
		JOIN supply_package p ON p.id = f.package WHERE f.image = ? AND f.gone > 0 ORDER BY f.gone DESC, f.advisory LIMIT 200`, image)
	if err != nil {
		return nil, fmt.Errorf("reading the ended findings of %s: %w", image, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var f Finding
		var first, gone int64
		if err := rows.Scan(&f.Advisory, &f.Ecosystem, &f.Package, &f.Version, &f.PURL, &first, &gone); err != nil {
			return nil, fmt.Errorf("reading the ended findings of %s: %w", image, err)
		}
		f.First, f.Gone, f.Severity = time.UnixMilli(first).UTC(), time.UnixMilli(gone).UTC(), advisory.Unknown
		out = append(out, f)
	}
	return out, rows.Err()
}

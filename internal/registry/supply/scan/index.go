package scan

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/registry/supply/sbom"
	"towpath.dev/towpath/internal/store"
)

// Matcher keeps the index of packages in images and matches it with advisories. It
// is safe for concurrent use.
type Matcher struct {
	db         *store.DB
	advisories *advisory.Store
}

// New returns a matcher over the index in db.
func New(db *store.DB, advisories *advisory.Store) *Matcher {
	return &Matcher{db: db, advisories: advisories}
}

// packageID names a package version in the index. It is derived, so that concurrent
// writers agree.
func packageID(p sbom.Package) string {
	sum := sha256.Sum256([]byte(p.PURL + "\x00" + p.Ecosystem + "\x00" + p.Name + "\x00" + p.Version + "\x00" + p.MatchName + "\x00" + p.MatchVersion))
	return hex.EncodeToString(sum[:16])
}

// Indexed reports whether the packages of an image are known.
func (m *Matcher) Indexed(ctx context.Context, image string) (bool, error) {
	var n int
	if err := m.db.QueryRow(ctx, `SELECT COUNT(*) FROM supply_image WHERE digest = ?`, image).Scan(&n); err != nil {
		return false, fmt.Errorf("looking up image %s: %w", image, err)
	}
	return n > 0, nil
}

// Index records what an image holds, in the caller's transaction, and matches the
// package versions that no image held before. problem, when not empty, says why the
// image could not be read. An image that is indexed already is left alone.
func (m *Matcher) Index(ctx context.Context, tx *store.Tx, image string, created time.Time, packages []sbom.Package, problem string) error {
	kinds, err := json.Marshal(ecosystems(packages))
	if err != nil {
		return fmt.Errorf("indexing image %s: %w", image, err)
	}
	res, err := tx.Exec(ctx, `INSERT INTO supply_image (digest, ecosystems, created, packages, problem, scan, scanned, status, critical, high, medium, low, unknown, advisories, missing)
		VALUES (?,?,?,?,?,'',0,'',0,0,0,0,0,0,'[]') ON CONFLICT (digest) DO NOTHING`, image, string(kinds), created.UnixMilli(), len(packages), problem)
	if err != nil {
		return fmt.Errorf("indexing image %s: %w", image, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	for _, p := range packages {
		id := packageID(p)
		res, err := tx.Exec(ctx, `INSERT INTO supply_package (id, type, ecosystem, name, version, match_name, match_version, purl)
			VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING`, id, p.Type, p.Ecosystem, p.Name, p.Version, p.MatchName, p.MatchVersion, p.PURL)
		if err != nil {
			return fmt.Errorf("indexing package %s: %w", p.PURL, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return fmt.Errorf("indexing package %s: %w", p.PURL, err)
		}
		if n > 0 {
			if err := m.match(ctx, tx, id, p.Ecosystem, p.MatchName, p.MatchVersion); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO supply_image_package (image, package, path, layer, hit)
			VALUES (?,?,?,?, CASE WHEN EXISTS (SELECT 1 FROM supply_match WHERE package = ?) THEN 1 ELSE 0 END) ON CONFLICT (image, package) DO NOTHING`,
			image, id, p.Path, p.Layer, id)
		if err != nil {
			return fmt.Errorf("indexing package %s: %w", p.PURL, err)
		}
	}
	return nil
}

// ecosystems returns the ecosystems of packages, sorted; a package of none stands with
// its type.
func ecosystems(packages []sbom.Package) []string {
	out := []string{}
	for _, p := range packages {
		out = append(out, cmp.Or(p.Ecosystem, p.Type))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// match writes the matches of a package version that is new in the index.
func (m *Matcher) match(ctx context.Context, tx *store.Tx, id, ecosystem, name, version string) error {
	if ecosystem == "" || version == "" {
		return nil
	}
	list, err := m.advisories.About(ctx, tx, ecosystem, name)
	if err != nil {
		return err
	}
	for advisoryID, fixed := range hits(list, ecosystem, version) {
		if err := put(ctx, tx, id, advisoryID, fixed); err != nil {
			return err
		}
	}
	return nil
}

// hits evaluates rules and returns the advisories that hit, with the fixed version. A
// rule whose versions cannot be compared hits nothing: the alternative is to report
// every version of the package.
func hits(list []advisory.Rule, ecosystem, version string) map[string]string {
	out := map[string]string{}
	for _, r := range list {
		hit, fixed, err := Affects(r.Affected, ecosystem, version)
		if err != nil || !hit {
			continue
		}
		if old, ok := out[r.Advisory]; !ok || old == "" {
			out[r.Advisory] = fixed
		}
	}
	return out
}

func put(ctx context.Context, tx *store.Tx, pkg, advisoryID, fixed string) error {
	_, err := tx.Exec(ctx, `INSERT INTO supply_match (package, advisory, fixed) VALUES (?,?,?)
		ON CONFLICT (package, advisory) DO UPDATE SET fixed = excluded.fixed`, pkg, advisoryID, fixed)
	if err != nil {
		return fmt.Errorf("storing a match of %s: %w", advisoryID, err)
	}
	return nil
}

// Rematch evaluates changed advisories against the index, in the caller's
// transaction, and returns the images whose matches may differ now, sorted. It also
// names images that had an ecosystem without data.
func (m *Matcher) Rematch(ctx context.Context, tx *store.Tx, advisories []string) ([]string, error) {
	touched := map[string]bool{} // packages
	advisories, err := relevant(ctx, tx, advisories)
	if err != nil {
		return nil, err
	}
	for _, id := range advisories {
		if err := m.rematch(ctx, tx, id, touched); err != nil {
			return nil, err
		}
	}
	images := map[string]bool{}
	for pkg := range touched {
		_, err := tx.Exec(ctx, `UPDATE supply_image_package SET hit = CASE WHEN EXISTS (SELECT 1 FROM supply_match WHERE package = ?) THEN 1 ELSE 0 END
			WHERE package = ?`, pkg, pkg)
		if err != nil {
			return nil, fmt.Errorf("marking a package: %w", err)
		}
		list, err := column(ctx, tx, `SELECT image FROM supply_image_package WHERE package = ?`, pkg)
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			images[i] = true
		}
	}
	blind, err := column(ctx, tx, `SELECT digest FROM supply_image WHERE missing <> '[]'`)
	if err != nil {
		return nil, err
	}
	for _, i := range blind {
		images[i] = true
	}
	out := make([]string, 0, len(images))
	for i := range images {
		out = append(out, i)
	}
	slices.Sort(out)
	return out, nil
}

// many is from how many advisories on it pays to ask first which of them matter.
const many = 50

// relevant drops advisories that neither match nor are about anything in the index:
// most of a large source is about packages that no image here holds.
func relevant(ctx context.Context, tx *store.Tx, advisories []string) ([]string, error) {
	if len(advisories) < many {
		return advisories, nil
	}
	list, err := column(ctx, tx, `SELECT advisory FROM advisory_affected WHERE package IN (SELECT match_name FROM supply_package)
		UNION SELECT advisory FROM supply_match`)
	if err != nil {
		return nil, err
	}
	matters := make(map[string]bool, len(list))
	for _, id := range list {
		matters[id] = true
	}
	return slices.DeleteFunc(slices.Clone(advisories), func(id string) bool { return !matters[id] }), nil
}

func (m *Matcher) rematch(ctx context.Context, tx *store.Tx, id string, touched map[string]bool) error {
	before, err := column(ctx, tx, `SELECT package FROM supply_match WHERE advisory = ?`, id)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM supply_match WHERE advisory = ?`, id); err != nil {
		return fmt.Errorf("dropping the matches of %s: %w", id, err)
	}
	for _, p := range before {
		touched[p] = true
	}
	list, err := m.advisories.Of(ctx, tx, id)
	if err != nil {
		return err
	}
	for _, r := range list {
		packages, err := indexed(ctx, tx, r.Ecosystem, r.Package)
		if err != nil {
			return err
		}
		for _, p := range packages {
			// About gives the rules in the same shape, so both ways agree.
			hit, fixed, err := Affects(r.Affected, p.ecosystem, p.version)
			if err != nil || !hit {
				continue
			}
			if err := put(ctx, tx, p.id, id, fixed); err != nil {
				return err
			}
			touched[p.id] = true
		}
	}
	return nil
}

type version struct{ id, ecosystem, version string }

// indexed returns the versions of a package in the index that a rule for the ecosystem
// is about: "Debian" is about every release, "Debian:12" about one.
func indexed(ctx context.Context, tx *store.Tx, ecosystem, name string) (out []version, err error) {
	rows, err := tx.Query(ctx, `SELECT id, ecosystem, match_version FROM supply_package WHERE match_name = ? AND match_version <> ''`, name)
	if err != nil {
		return nil, fmt.Errorf("looking up package %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v version
		if err := rows.Scan(&v.id, &v.ecosystem, &v.version); err != nil {
			return nil, fmt.Errorf("looking up package %s: %w", name, err)
		}
		if v.ecosystem == ecosystem || advisory.Base(v.ecosystem) == ecosystem {
			out = append(out, v)
		}
	}
	return out, rows.Err()
}

func column(ctx context.Context, h store.Handle, query string, args ...any) (out []string, err error) {
	var rows *sql.Rows
	if rows, err = h.Query(ctx, query, args...); err != nil {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, fmt.Errorf("reading the index: %w", err)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// Packages returns what an image holds, in the order in which documents list it.
func (m *Matcher) Packages(ctx context.Context, image string) (out []sbom.Package, err error) {
	rows, err := m.db.Query(ctx, `SELECT p.type, p.ecosystem, p.name, p.version, p.match_name, p.match_version, p.purl, ip.path, ip.layer
		FROM supply_image_package ip JOIN supply_package p ON p.id = ip.package WHERE ip.image = ? ORDER BY p.type, p.name, p.version, p.purl`, image)
	if err != nil {
		return nil, fmt.Errorf("reading the packages of %s: %w", image, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p sbom.Package
		if err := rows.Scan(&p.Type, &p.Ecosystem, &p.Name, &p.Version, &p.MatchName, &p.MatchVersion, &p.PURL, &p.Path, &p.Layer); err != nil {
			return nil, fmt.Errorf("reading the packages of %s: %w", image, err)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// Forget drops an image from the index; its package versions stay for other images.
func (m *Matcher) Forget(ctx context.Context, tx *store.Tx, image string) error {
	for _, q := range []string{
		`DELETE FROM supply_finding WHERE image = ?`, `DELETE FROM supply_image_package WHERE image = ?`, `DELETE FROM supply_image WHERE digest = ?`,
	} {
		if _, err := tx.Exec(ctx, q, image); err != nil {
			return fmt.Errorf("forgetting image %s: %w", image, err)
		}
	}
	return nil
}

// Affecting returns the advisories that hit a version of a package that need not be in
// any image, each with the lowest version that fixes it.
func Affecting(ctx context.Context, h store.Handle, advisories *advisory.Store, ecosystem, name, version string) (map[string]string, error) {
	list, err := advisories.About(ctx, h, ecosystem, name)
	if err != nil {
		return nil, err
	}
	return hits(list, ecosystem, version), nil
}

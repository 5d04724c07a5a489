package insight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
)

// The kinds of inventories.
const (
	kindImages = "images" // of a repository of the registry
	kindCode   = "code"   // the tip of a repository's default branch
)

// look notes that a repository is to be looked at. tip "" keeps the one that is known.
func (f *feed) look(ctx context.Context, kind, name, project, tip string) error {
	_, err := f.tx.Exec(ctx, `INSERT INTO insight_inventory (kind, name, project, tip, due) VALUES (?,?,?,?,?) ON CONFLICT (kind, name) DO UPDATE SET
		due = excluded.due, tip = CASE WHEN excluded.tip = '' THEN insight_inventory.tip ELSE excluded.tip END`, kind, name, project, tip, ms(f.e.Time))
	if err != nil {
		return fmt.Errorf("noting that %s is to be looked at: %w", name, err)
	}
	f.tx.AfterCommit(f.s.poke)
	return nil
}

func (f *feed) scanFinished(ctx context.Context, p event.ScanFinished) error {
	return f.look(ctx, kindImages, p.Repository, f.e.Project, "")
}

func (f *feed) imagePushed(ctx context.Context, p event.ImagePushed) error {
	return f.look(ctx, kindImages, p.Repository, f.e.Project, "")
}

func (f *feed) imageDeleted(ctx context.Context, p event.ImageDeleted) error {
	return f.look(ctx, kindImages, p.Repository, f.e.Project, "")
}

// imagesChanged looks at the repositories of images that run now.
func (f *feed) imagesChanged(ctx context.Context, images []string) error {
	for _, i := range images {
		name, _, _ := strings.Cut(i, "@")
		_, repository, ok := strings.Cut(name, "/") // The host goes.
		if project, _, _ := strings.Cut(repository, "/"); !ok || project != f.e.Project {
			continue // An image of another registry was never scanned.
		}
		if err := f.look(ctx, kindImages, repository, f.e.Project, ""); err != nil {
			return err
		}
	}
	return nil
}

func (f *feed) commitPushed(ctx context.Context, p event.CommitPushed) error {
	if !p.Default {
		return nil
	}
	return f.look(ctx, kindCode, p.Repo, f.e.Project, p.Commit)
}

// advisoriesLoaded looks at all code again; images are scanned again and say so themselves.
func (f *feed) advisoriesLoaded(ctx context.Context, _ event.AdvisoriesLoaded) error {
	_, err := f.tx.Exec(ctx, `UPDATE insight_inventory SET due = ? WHERE kind = ?`, ms(f.e.Time), kindCode)
	f.tx.AfterCommit(f.s.poke)
	return err
}

// inventory is one repository to look at.
type inventory struct {
	kind, name, project, tip string
	due                      int64
}

// take looks at the repositories that are due, and reports whether there may be more.
func (s *Service) takeInventory(ctx context.Context) error {
	if s.Vulnerabilities == nil {
		return nil
	}
	rows, err := s.DB.Query(ctx, `SELECT kind, name, project, tip, due FROM insight_inventory WHERE due > 0 AND due <= ? ORDER BY due, kind, name LIMIT 50`, ms(s.Clock.Now()))
	if err != nil {
		return fmt.Errorf("reading what is to be looked at: %w", err)
	}
	var due []inventory
	for rows.Next() {
		var i inventory
		if err := rows.Scan(&i.kind, &i.name, &i.project, &i.tip, &i.due); err != nil {
			return fmt.Errorf("reading what is to be looked at: %w", err)
		}
		due = append(due, i)
	}
	if err := rows.Close(); err != nil {
		return err
	}
	for _, i := range due {
		found, err := s.findings(ctx, i)
		if err == nil {
			err = s.record(ctx, i, found)
		} else {
			s.Logger.Warn("looking for vulnerabilities", "in", i.name, "error", err)
			err = s.postpone(ctx, i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) findings(ctx context.Context, i inventory) ([]Finding, error) {
	if i.kind == kindImages {
		return s.Vulnerabilities.OfImages(ctx, i.name)
	}
	return s.Vulnerabilities.OfCode(ctx, i.name, i.tip)
}

// postpone looks again in a minute.
func (s *Service) postpone(ctx context.Context, i inventory) error {
	_, err := s.DB.Exec(ctx, `UPDATE insight_inventory SET due = ? WHERE kind = ? AND name = ? AND due = ?`, ms(s.Clock.Now().Add(time.Minute)), i.kind, i.name, i.due)
	return err
}

// vulnerability is one alias group in one package of a repository, over all its images.
type vulnerability struct {
	Finding
	rule   string
	places []string
}

// record makes signals of what was found, and resolves those that were not found again.
func (s *Service) record(ctx context.Context, i inventory, found []Finding) error {
	source := SourceVulnerability
	if i.kind == kindCode {
		source = SourceDependency
	}
	now := s.Clock.Now()
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		seen := map[string]bool{}
		for _, v := range gather(found, i.kind) {
			o, ok := s.vulnerable(i, source, v, now)
			if !ok {
				continue
			}
			seen[key(o.source, o.rule, o.resource)] = true
			if err := s.inventoried(ctx, tx, i.project, o, now); err != nil {
				return err
			}
		}
		if err := s.absent(ctx, tx, i, source, seen, now); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE insight_inventory SET due = 0 WHERE kind = ? AND name = ? AND due = ?`, i.kind, i.name, i.due)
		return err
	})
}

// gather joins findings of one package and alias group. Of code each manifest is its own.
func gather(found []Finding, kind string) []vulnerability {
	var out []vulnerability
	for _, g := range found {
		v := vulnerability{Finding: g, rule: aliasGroup(g), places: []string{g.Where}}
		at := slices.IndexFunc(out, func(o vulnerability) bool {
			return o.rule == v.rule && o.Package == v.Package && (kind == kindImages || o.Where == v.Where)
		})
		if at < 0 {
			out = append(out, v)
			continue
		}
		o := &out[at]
		o.places = append(o.places, g.Where)
		o.Running = o.Running || g.Running
		o.Fixed = cmp.Or(o.Fixed, g.Fixed)
	}
	return out
}

// aliasGroup is the smallest of the names of a vulnerability: all its advisories have it in
// common.
func aliasGroup(f Finding) string {
	names := append([]string{f.ID}, f.Aliases...)
	slices.Sort(names)
	for _, n := range names {
		if strings.HasPrefix(n, "CVE-") {
			return n
		}
	}
	return names[0]
}

// weight orders severities.
func weight(severity string) int {
	return slices.Index([]string{"low", "medium", "high", "critical"}, severity)
}

func (s *Service) vulnerable(i inventory, source string, v vulnerability, now time.Time) (observation, bool) {
	least := s.options.MinNew
	if v.Fixed != "" {
		least = s.options.MinFixable
	}
	if weight(v.Severity) < weight(least) {
		return observation{}, false
	}
	resource := i.name + ":" + v.Package
	text := fmt.Sprintf("%s in %s %s of %s: %s", v.rule, v.Package, v.Version, i.name, v.Summary)
	exposed := 3
	if v.Running {
		exposed = 7
	}
	o := observation{
		source: source, rule: v.rule, severity: v.Severity, resource: resource,
		Record: Record{
			Title: fmt.Sprintf("%s in %s", v.rule, v.Package), Type: "security", Group: v.rule + "/" + v.Package, Exposure: exposed, Fixed: v.Fixed, Repo: i.name,
		},
	}
	if v.Fixed != "" {
		o.Title += ", mended by " + v.Fixed
		text += " Mended by " + v.Fixed + "."
	}
	o.proof = Evidence{Text: clip(text), At: now}
	if source == SourceDependency {
		o.resource, o.Path, o.Commit = i.name+":"+v.Where+":"+v.Package, v.Where, i.tip
	} else {
		o.proof.Subject = event.Of(event.KindImage, v.Where)
	}
	return o, true
}

// inventoried writes what an inventory found. That it is there again is nothing to count.
func (s *Service) inventoried(ctx context.Context, tx *store.Tx, project string, o observation, now time.Time) error {
	o.rule, o.resource = bounded(o.rule), bounded(o.resource)
	k := key(o.source, o.rule, o.resource)
	r, ok, err := locked(ctx, tx, project, k)
	if err != nil {
		return err
	}
	if !ok {
		r = row{Signal: Signal{Project: project, Key: k, Source: o.source, Rule: o.rule, Resource: o.resource, State: Candidate, First: now}, due: now}
	}
	newly := ok && r.Fixed == "" && o.Fixed != ""
	if r.State == Open && r.Healthy.IsZero() && !newly && r.Severity == o.severity {
		return nil
	}
	if r.State == Resolved {
		r.State, r.due, r.Resolved = Candidate, now, time.Time{}
	}
	if r.State == Open {
		r.due = time.Time{}
		if newly {
			r.State, r.due = Candidate, now // So that the item is told that it can be mended.
		}
	}
	r.Count, r.repeats, r.Last, r.Severity = r.Count+1, r.repeats+1, now, o.severity
	r.Healthy, r.Why = time.Time{}, ""
	r.learn(o)
	return put(ctx, tx, r)
}

// absent resolves the signals of a repository whose vulnerability nothing has any more.
func (s *Service) absent(ctx context.Context, tx *store.Tx, i inventory, source string, seen map[string]bool, now time.Time) error {
	rows, err := list(ctx, tx, `project = ? AND source = ? AND state IN (?, ?) AND substr(resource, 1, ?) = ? ORDER BY sig_key LIMIT 5000`,
		i.project, source, Open, Candidate, len(i.name)+1, i.name+":")
	if err != nil {
		return err
	}
	why := "No image of " + i.name + " that runs or is the newest has it any more."
	if source == SourceDependency {
		why = fmt.Sprintf("The default branch of %s does not ask for it any more, at commit %.12s.", i.name, i.tip)
	}
	for _, r := range rows {
		if seen[r.Key] {
			continue
		}
		r.Healthy, r.due, r.Why = now, now, why
		if r.State == Candidate && r.Item == 0 {
			r.State, r.Resolved, r.due = Resolved, now, time.Time{}
		}
		if err := put(ctx, tx, r); err != nil {
			return err
		}
	}
	return nil
}

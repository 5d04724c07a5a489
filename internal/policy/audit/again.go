package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// maxSingly is how many objects are read one by one; for more of them the kind is listed.
const maxSingly = 200

// stored is an object that has verdicts.
type stored struct {
	id        int64
	uid       types.UID
	kind      schema.GroupKind
	namespace string
	name      string
	bearing
}

// bearing is what is stored of an object besides its name.
type bearing struct {
	project, environment string
	actor                string // who applied it
	run                  int64
	commit               string
	images               string // digests, separated by spaces
}

// judgeAgain follows a wish.
func (s *session) judgeAgain(ctx context.Context, a again) error {
	if a.namespace != "" {
		return s.byNamespace(ctx, map[string]bool{a.namespace: true})
	}
	all, err := s.objects(ctx, `o.id IN (SELECT object FROM audit_image WHERE digest = ?)`, a.image)
	if err != nil {
		return err
	}
	return s.each(ctx, all)
}

// byExemption judges the objects again that break a rule of the assignments: an exemption
// changes nothing for the others.
func (s *session) byExemption(ctx context.Context, assignments map[string]bool) error {
	for name := range assignments {
		all, err := s.objects(ctx, `o.id IN (SELECT v.object FROM audit_verdict v JOIN audit_rule r ON r.id = v.rule
			WHERE r.assignment = ? AND v.outcome <> 'compliant')`, name)
		if err != nil {
			return err
		}
		if err := s.each(ctx, all); err != nil {
			return err
		}
	}
	return nil
}

// each judges objects again as they are now.
func (s *session) each(ctx context.Context, all []stored) error {
	count := map[schema.GroupKind]int{}
	for _, o := range all {
		count[o.kind]++
	}
	for gk, n := range count {
		if f := s.feeds[gk]; f != nil && n > maxSingly {
			f.again()
		}
	}
	for _, o := range all {
		if count[o.kind] > maxSingly {
			continue
		}
		if err := s.one(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// byNamespace judges everything in the namespaces again.
func (s *session) byNamespace(ctx context.Context, names map[string]bool) error {
	for name := range names {
		for _, f := range s.feeds {
			if !f.spaced || name == metav1.NamespaceAll {
				continue
			}
			_, err := f.pages(ctx, name, func(u *unstructured.Unstructured) error {
				return s.pass(ctx, task{kind: f.kind, object: u, cause: rejudged})
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// objects returns the stored objects of this cluster for which a condition holds.
func (s *session) objects(ctx context.Context, where string, args ...any) ([]stored, error) {
	rows, err := s.DB.Query(ctx, `SELECT o.id, o.uid, o.api_group, o.kind, o.namespace, o.name, o.project, o.environment, o.actor, o.run, o.commit_sha, o.images
		FROM audit_object o WHERE o.cluster = ? AND `+where,
		append([]any{s.opts.Cluster}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("reading audited objects: %w", err)
	}
	defer rows.Close()
	var out []stored
	for rows.Next() {
		var o stored
		if err := rows.Scan(&o.id, &o.uid, &o.kind.Group, &o.kind.Kind, &o.namespace, &o.name, &o.project, &o.environment, &o.actor, &o.run, &o.commit, &o.images); err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, rows.Err()
}

// objectsOf returns the stored objects of a kind.
func (s *session) objectsOf(ctx context.Context, gk schema.GroupKind) ([]types.UID, error) {
	all, err := s.objects(ctx, `o.api_group = ? AND o.kind = ?`, gk.Group, gk.Kind)
	out := make([]types.UID, len(all))
	for i, o := range all {
		out[i] = o.uid
	}
	return out, err
}

// kindsOf returns the kinds of which objects are stored.
func (s *session) kindsOf(ctx context.Context) ([]schema.GroupKind, error) {
	rows, err := s.DB.Query(ctx, `SELECT DISTINCT api_group, kind FROM audit_object WHERE cluster = ?`, s.opts.Cluster)
	if err != nil {
		return nil, fmt.Errorf("reading the kinds of audited objects: %w", err)
	}
	defer rows.Close()
	var out []schema.GroupKind
	for rows.Next() {
		var gk schema.GroupKind
		if err := rows.Scan(&gk.Group, &gk.Kind); err != nil {
			return nil, err
		}
		out = append(out, gk)
	}
	slices.SortFunc(out, func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) })
	return out, rows.Err()
}

package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// Filter selects verdicts. Empty parts select everything.
type Filter struct {
	Project     string
	Environment string // needs Project
	Assignment  string
	Outcome     string // compliant, denied, audited, exempt or error; Violated for all but compliant ones
	Kind        string // "Deployment"
	Namespace   string
	Text        string // in the object's name or the message
	Limit       int    // of verdicts, at most MaxLimit; 0 means DefaultLimit
	Offset      int
}

// Violated selects every outcome but compliant.
const Violated = "violated"

// Limits of a report.
const (
	DefaultLimit = 200
	MaxLimit     = 2000
)

// Report says how live objects comply. The assignments are counted over everything that
// project, environment, assignment, kind and namespace of the filter select; Objects holds
// the verdicts of the page that the whole filter selects, violations first.
type Report struct {
	Set         string       `json:"set"` // digest of the set in force
	Time        time.Time    `json:"time"`
	Synced      bool         `json:"synced"`      // everything was judged under that set
	Differences int          `json:"differences"` // that the last sweep found
	Assignments []Assignment `json:"assignments"`
	Objects     []Object     `json:"objects"`
	Total       int          `json:"total"` // verdicts that the whole filter selects
}

// Assignment adds up the verdicts of an assignment: objects count once, with their worst
// outcome (error, denied, audited, exempt, compliant).
type Assignment struct {
	Name     string         `json:"name"`
	Policy   string         `json:"policy"` // digest of the assignment as compiled
	Outcomes map[string]int `json:"outcomes"`
	Objects  int            `json:"objects"`
	Percent  float64        `json:"percent"`        // of objects that are compliant or exempt; 100 when there are none
	Since    time.Time      `json:"since,omitzero"` // the last time that one of its verdicts changed
}

// Object is one rule's verdict on a live object.
type Object struct {
	Assignment  string    `json:"assignment"`
	Rule        string    `json:"rule"`
	Title       string    `json:"title"`
	Policy      string    `json:"policy"`
	Cluster     string    `json:"cluster"`
	UID         string    `json:"uid"`
	Group       string    `json:"group,omitempty"`
	Kind        string    `json:"kind"`
	Namespace   string    `json:"namespace,omitempty"`
	Name        string    `json:"name"`
	Project     string    `json:"project,omitempty"`
	Environment string    `json:"environment,omitempty"`
	Outcome     string    `json:"outcome"`
	Path        string    `json:"path,omitempty"` // of the first violation
	Message     string    `json:"message,omitempty"`
	Violations  int       `json:"violations,omitempty"`
	Exemption   string    `json:"exemption,omitempty"`
	FirstSeen   time.Time `json:"first_seen"`
	Since       time.Time `json:"since"`
	Actor       string    `json:"actor,omitempty"` // who applied it
	Run         int64     `json:"run,omitempty"`
	Commit      string    `json:"commit,omitempty"`
}

// Ref names the object: "Deployment shop/cart".
func (o Object) Ref() string {
	return titleOf(schema.GroupKind{Group: o.Group, Kind: o.Kind}, o.Namespace, o.Name)
}

// Compliance reports on live objects. Administrators of the installation may leave the
// project open; everybody else names one in which he holds Read, and sees the objects in
// its namespaces only.
func (s *Service) Compliance(ctx context.Context, a identity.Actor, f Filter) (Report, error) {
	if err := s.mayRead(ctx, a, f); err != nil {
		return Report{}, err
	}
	p, set := s.Progress(), s.Policies.Current()
	r := Report{
		Set: set.Digest(), Time: s.Clock.Now(), Synced: p.Synced && p.Set == set.Digest(), Differences: p.Differences,
		Assignments: []Assignment{}, Objects: []Object{},
	}
	var err error
	if r.Assignments, err = s.assignments(ctx, f, set); err != nil {
		return Report{}, err
	}
	where, args := f.where(s.opts.Cluster, true)
	if err := s.DB.QueryRow(ctx, `SELECT COUNT(*) `+joined+where, args...).Scan(&r.Total); err != nil {
		return Report{}, fmt.Errorf("counting verdicts: %w", err)
	}
	r.Objects, err = s.page(ctx, f, where, args)
	return r, err
}

func (s *Service) mayRead(ctx context.Context, a identity.Actor, f Filter) error {
	if f.Environment != "" && f.Project == "" {
		return fault.New(fault.Invalid, "An environment belongs to a project.").WithNext("name the project as well")
	}
	if f.Limit < 0 || f.Offset < 0 || f.Limit > MaxLimit {
		return fault.New(fault.Invalid, "A page has 1 to %d verdicts.", MaxLimit)
	}
	if outcomes := []string{"", rule.Compliant, rule.Denied, rule.Audited, rule.Exempt, rule.Error, Violated}; !slices.Contains(outcomes, f.Outcome) {
		return fault.New(fault.Invalid, "%q is no outcome.", f.Outcome).WithNext("use one of %s", strings.Join(outcomes[1:], ", "))
	}
	if f.Project == "" {
		return s.Auth.RequireAdmin(ctx, a)
	}
	return s.Auth.Require(ctx, a, f.Project, identity.Read)
}

// joined is what every question about verdicts reads.
const joined = `FROM audit_verdict v JOIN audit_object o ON o.id = v.object JOIN audit_rule r ON r.id = v.rule WHERE `

// rank orders outcomes, the worst highest.
const rank = `CASE v.outcome WHEN 'error' THEN 5 WHEN 'denied' THEN 4 WHEN 'audited' THEN 3 WHEN 'exempt' THEN 2 ELSE 1 END`

// outcomes are the words of ranks.
func outcomes() []string {
	return []string{"", rule.Compliant, rule.Exempt, rule.Audited, rule.Denied, rule.Error}
}

// where returns the condition; without all, what the counts of assignments regard.
func (f Filter) where(cluster string, all bool) (string, []any) {
	conditions, args := []string{"o.cluster = ?"}, []any{cluster}
	add := func(c string, values ...any) {
		conditions = append(conditions, c)
		args = append(args, values...)
	}
	for _, c := range []struct{ column, value string }{
		{"o.project", f.Project}, {"o.environment", f.Environment}, {"r.assignment", f.Assignment}, {"o.kind", f.Kind}, {"o.namespace", f.Namespace},
	} {
		if c.value != "" {
			add(c.column+" = ?", c.value)
		}
	}
	if all && f.Outcome == Violated {
		add("v.outcome <> ?", rule.Compliant)
	} else if all && f.Outcome != "" {
		add("v.outcome = ?", f.Outcome)
	}
	if all && f.Text != "" {
		text := "%" + strings.NewReplacer(`!`, `!!`, `%`, `!%`, `_`, `!_`).Replace(strings.ToLower(f.Text)) + "%"
		add(`(LOWER(o.name) LIKE ? ESCAPE '!' OR LOWER(v.message) LIKE ? ESCAPE '!')`, text, text)
	}
	return strings.Join(conditions, " AND "), args
}

// assignments adds verdicts up. Assignments of the set that no object is about are there
// too, where they hold in what the filter selects.
func (s *Service) assignments(ctx context.Context, f Filter, set *engine.Set) ([]Assignment, error) {
	found := map[string]*Assignment{}
	for _, r := range set.Rules() {
		if f.Assignment != "" && r.Assignment != f.Assignment || !s.holds(r, f, set) {
			continue
		}
		found[r.Assignment] = &Assignment{Name: r.Assignment, Policy: r.Policy, Outcomes: map[string]int{}, Percent: 100}
	}
	where, args := f.where(s.opts.Cluster, false)
	rows, err := s.DB.Query(ctx, `SELECT assignment, policy, worst, COUNT(*), MAX(since) FROM (
		SELECT r.assignment AS assignment, MAX(r.policy) AS policy, MAX(`+rank+`) AS worst, MAX(v.since) AS since `+joined+where+`
		GROUP BY r.assignment, v.object) AS counted GROUP BY assignment, policy, worst`, args...)
	if err != nil {
		return nil, fmt.Errorf("counting verdicts by assignment: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, policy string
		var worst, n int
		var since int64
		if err := rows.Scan(&name, &policy, &worst, &n, &since); err != nil {
			return nil, err
		}
		a := found[name]
		if a == nil { // It went a moment ago.
			a = &Assignment{Name: name, Policy: policy, Outcomes: map[string]int{}}
			found[name] = a
		}
		a.Outcomes[outcomes()[worst]] += n
		a.Objects += n
		if t := time.UnixMilli(since).UTC(); t.After(a.Since) {
			a.Since = t
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	out := make([]Assignment, 0, len(found))
	for _, a := range found {
		if a.Objects > 0 {
			a.Percent = 100 * float64(a.Outcomes[rule.Compliant]+a.Outcomes[rule.Exempt]) / float64(a.Objects)
		}
		out = append(out, *a)
	}
	slices.SortFunc(out, func(a, b Assignment) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// holds reports whether a rule can be about something that the filter selects.
func (s *Service) holds(r rule.Rule, f Filter, set *engine.Set) bool {
	if f.Project == "" {
		return true
	}
	for _, p := range set.Places() {
		if p.Cluster == s.opts.Cluster && p.Project == f.Project && (f.Environment == "" || p.Environment == f.Environment) && engine.InScope(r, p, false) {
			return true
		}
	}
	return false
}

// page returns the verdicts of a page: the worst first, then by place and name.
func (s *Service) page(ctx context.Context, f Filter, where string, args []any) ([]Object, error) {
	limit := f.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	rows, err := s.DB.Query(ctx, `SELECT r.assignment, r.rule, r.title, r.policy, o.cluster, o.uid, o.api_group, o.kind, o.namespace, o.name, o.project,
		o.environment, v.outcome, v.path, v.message, v.violations, v.exemption, v.first_seen, v.since, o.actor, o.run, o.commit_sha `+joined+where+`
		ORDER BY `+rank+` DESC, o.namespace, o.kind, o.name, r.assignment, r.rule LIMIT ? OFFSET ?`, append(slices.Clone(args), limit, f.Offset)...)
	if err != nil {
		return nil, fmt.Errorf("reading verdicts: %w", err)
	}
	defer rows.Close()
	out := []Object{}
	for rows.Next() {
		var o Object
		var first, since int64
		if err := rows.Scan(&o.Assignment, &o.Rule, &o.Title, &o.Policy, &o.Cluster, &o.UID, &o.Group, &o.Kind, &o.Namespace, &o.Name, &o.Project,
			&o.Environment, &o.Outcome, &o.Path, &o.Message, &o.Violations, &o.Exemption, &first, &since, &o.Actor, &o.Run, &o.Commit); err != nil {
			return nil, err
		}
		o.FirstSeen, o.Since = time.UnixMilli(first).UTC(), time.UnixMilli(since).UTC()
		out = append(out, o)
	}
	return out, rows.Err()
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers"
	"github.com/open-policy-agent/frameworks/constraint/pkg/types"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"towpath.dev/towpath/internal/policy/rule"
)

// Options say how a review is judged.
type Options struct {
	// Generated says that the object is a pod that was expanded from a workload: only
	// rules with source Generated or All that do not look into workloads themselves judge
	// it.
	Generated bool
	// Unbuilt says that the images of the object do not exist yet: rules that read what is
	// known of images do not judge it.
	Unbuilt bool
	// Skip says of a rule that it is not to judge, because somebody else has judged by it;
	// nil lets every rule judge.
	Skip func(rule.Rule) bool
}

// patience is how long one review may take in all. It is above what any sound program
// needs and below what the API server waits for a webhook.
const patience = 1500 * time.Millisecond

// Review judges one object: it returns a verdict of every rule that matched it, in the
// order of the rules; of a request that Leaves none. The object is not changed. An error means that nothing could be
// judged, and whoever asked must refuse.
func (s *Set) Review(ctx context.Context, r rule.Review, o Options) ([]rule.Verdict, error) {
	if s.closed != nil {
		return nil, s.closed
	}
	q, err := s.request(r)
	if err != nil {
		return nil, err
	}
	if q.leaves() {
		return []rule.Verdict{}, nil
	}
	var pod *request
	if !o.Generated && q.operation != "DELETE" {
		pod = q.expanded()
	}
	found := make([]finding, len(s.rules))
	var direct, made []int
	for i := range s.rules {
		c := &s.rules[i]
		if !InScope(c.Rule, q.place, q.clusterWide) || q.operation == "DELETE" && !c.deletes || o.Unbuilt && c.Template.Referential || o.Skip != nil && o.Skip(c.Rule) {
			continue
		}
		if c.judges(o.Generated) {
			ok, err := c.match.matches(q.kind.GroupKind(), q.namespace, q.object, q.old)
			found[i].add(ok, err)
			if ok && err == nil {
				direct = append(direct, i)
			}
		}
		if pod != nil && c.expands() {
			ok, err := c.match.matches(podKind, pod.namespace, pod.object)
			found[i].add(ok, err)
			if ok && err == nil {
				made = append(made, i)
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.judge(ctx, q, direct, found)
	if pod != nil {
		s.judge(ctx, pod, made, found)
	}
	return s.verdicts(q, found), nil
}

// judges reports whether a rule judges objects as they are, or as expanded ones.
func (c *compiled) judges(generated bool) bool {
	if generated {
		return c.expands()
	}
	return c.Source != rule.Generated
}

// expands reports whether a rule judges the pods that workloads would make.
func (c *compiled) expands() bool {
	return (c.Source == rule.Generated || c.Source == rule.All) && !c.Template.Workloads
}

// finding is what a rule found in one review.
type finding struct {
	matched    bool
	violations []rule.Violation
	err        error
}

func (f *finding) add(matched bool, err error) {
	f.matched = f.matched || matched || err != nil
	f.err = errors.Join(f.err, err)
}

// judge asks the drivers about the rules that matched. A driver that fails leaves an error
// with every rule that was asked.
func (s *Set) judge(ctx context.Context, q *request, rules []int, found []finding) {
	for _, engine := range []string{rule.CEL, rule.Rego} {
		var constraints []*unstructured.Unstructured
		index := map[string]int{}
		for _, i := range rules {
			if s.rules[i].Template.Engine != engine {
				continue
			}
			constraints = append(constraints, s.rules[i].constraint)
			index[s.rules[i].constraint.GetName()] = i
		}
		if len(constraints) == 0 {
			continue
		}
		res, err := s.query(ctx, engine, constraints, q)
		if err != nil {
			for _, i := range index {
				found[i].err = errors.Join(found[i].err, err)
			}
			continue
		}
		for _, r := range res.Results {
			i := index[r.Constraint.GetName()]
			if failed(r) {
				found[i].err = errors.Join(found[i].err, errors.New(r.Msg))
				continue
			}
			found[i].violations = append(found[i].violations, under(q.path, Violations(r.Msg))...)
		}
	}
}

func (s *Set) query(ctx context.Context, engine string, constraints []*unstructured.Unstructured, q *request) (*drivers.QueryResponse, error) {
	if engine == rule.CEL {
		return s.programs.cel.Query(ctx, target.Name, constraints, q.cel())
	}
	req, err := q.admission()
	if err != nil {
		return nil, err
	}
	_, review, err := s.programs.target.HandleReview(req)
	if err != nil {
		return nil, fmt.Errorf("preparing the review: %w", err)
	}
	res, err := s.programs.rego.Query(ctx, target.Name, constraints, review)
	if err != nil {
		return nil, err
	}
	// A program that was stopped has said nothing about what it had not reached.
	return res, ctx.Err()
}

// regoError is how the Rego driver reports, as a violation, that a program failed.
var regoError = regexp.MustCompile(`\beval_[a-z_]+_error: `)

func failed(r *types.Result) bool {
	return r.Metadata[unjudged] == true || regoError.MatchString(r.Msg)
}

// verdicts turns what was found into verdicts, with the exemptions.
func (s *Set) verdicts(q *request, found []finding) []rule.Verdict {
	now := s.now()
	out := []rule.Verdict{}
	for i, f := range found {
		if !f.matched {
			continue
		}
		r := s.rules[i].Rule
		v := rule.Verdict{Assignment: r.Assignment, Reference: r.Reference, Definition: r.Definition, Title: r.Title, Policy: r.Policy, Outcome: rule.Compliant}
		if f.err == nil && len(f.violations) == 0 {
			out = append(out, v)
			continue
		}
		v.Fix, v.Violations = r.Fix, said(r.Message, f.violations)
		v.Exemption = s.exemptionOf(r, q, f.violations, now)
		v.Refuses = r.Refuses() && v.Exemption == ""
		switch {
		case f.err != nil:
			v.Outcome, v.Why, v.Violations = rule.Error, f.err.Error(), nil
		case v.Exemption != "":
			v.Outcome = rule.Exempt
		case v.Refuses:
			v.Outcome = rule.Denied
		default:
			v.Outcome = rule.Audited
		}
		out = append(out, v)
	}
	return out
}

// said puts violations in order, once each, with the assignment's own words before them.
func said(message string, found []rule.Violation) []rule.Violation {
	out := slices.Clone(found)
	slices.SortFunc(out, func(a, b rule.Violation) int {
		return slices.Compare([]string{a.Path, a.Message}, []string{b.Path, b.Message})
	})
	out = slices.Compact(out)
	if message != "" {
		for i := range out {
			out[i].Message = message + ": " + out[i].Message
		}
	}
	return out
}

// PutImage tells the set what is known of an image. Rego programs read it as
// data.inventory.cluster["policy.towpath.dev/v1"]["ImageVerdict"][digest].
func (s *Set) PutImage(ctx context.Context, i rule.Image) error {
	if s.closed != nil {
		return nil
	}
	return s.programs.putImage(ctx, i)
}

package try

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/render"
	"towpath.dev/towpath/internal/policy/rule"
)

// answer is what is printed.
type answer struct {
	policy.Decision
	rules   []rule.Rule
	objects []render.Object
	unsure  int // verdicts that could not be given
}

// run is Run.
func (o Options) run(ctx context.Context, stdout, stderr io.Writer) int {
	print, ok := map[string]func(io.Writer, *answer) error{"": printTable, Table: printTable, JSON: printJSON, SARIF: printSARIF}[o.Format]
	if !ok {
		return complain(stderr, fault.New(fault.Invalid, "There is no format %q.", o.Format).WithNext("use %s, %s or %s", Table, JSON, SARIF))
	}
	with, err := o.load()
	if err != nil {
		return complain(stderr, err)
	}
	found, err := o.objects(ctx)
	if err != nil {
		return complain(stderr, err)
	}
	for _, w := range append(with.warnings, found.Warnings...) {
		fmt.Fprintln(stderr, "note:", w)
	}
	for _, key := range found.Unknown {
		fmt.Fprintf(stderr, "note: the value %s is known at run time alone; a stand-in is judged.\n", key)
	}
	a, err := o.judge(ctx, with, found.Objects)
	if err != nil {
		return complain(stderr, err)
	}
	if err := print(stdout, a); err != nil {
		return complain(stderr, err)
	}
	switch {
	case a.unsure > 0:
		return Unjudged
	case !a.Allowed:
		return Refused
	}
	return Allowed
}

// complain says what is wrong.
func complain(w io.Writer, err error) int {
	message, next := fault.Public(err)
	if fault.KindOf(err) == fault.Internal {
		message, next = err.Error(), "" // Nothing here is a secret of a server.
	}
	fmt.Fprintln(w, "could not judge:", message)
	if next != "" {
		fmt.Fprintln(w, "  "+next)
	}
	return Unjudged
}

// judge judges every object at rest.
func (o Options) judge(ctx context.Context, with policies, objects []render.Object) (*answer, error) {
	set, err := engine.Compile(ctx, with.rules, with.exemptions, nil, o.now)
	if err != nil {
		return nil, err
	}
	a := &answer{rules: set.Rules(), objects: objects}
	a.Decision = policy.Decision{Time: o.now().UTC(), Point: policy.PointTest, Allowed: true, Set: set.Digest(), Objects: []policy.Judged{}}
	all := sha256.New()
	for i := range objects {
		object := &objects[i]
		j := policy.Judged{
			Group: object.Kind.Group, Version: object.Kind.Version, Kind: object.Kind.Kind, Namespace: object.Namespace, Name: object.Name,
			Verdicts: []policy.Located{},
		}
		if j.Input, err = policy.InputDigest(object.Data); err != nil {
			return nil, err
		}
		_, _ = all.Write([]byte(j.Input)) // A hash never returns an error.
		verdicts, err := set.Review(ctx, object.Review(rule.Place{Cluster: "embedded"}), engine.Options{})
		if err != nil {
			return nil, fmt.Errorf("judging %s: %w", nameOf(j), err)
		}
		for _, v := range verdicts {
			l := policy.Located{Verdict: v}
			for _, violation := range v.Violations {
				file, line := object.Lines(violation.Path)
				l.At = append(l.At, policy.Source{File: file, Line: line})
			}
			if v.Outcome == rule.Error {
				a.unsure++
			}
			a.Allowed = a.Allowed && !v.Refuses
			j.Verdicts = append(j.Verdicts, l)
		}
		a.Objects = append(a.Objects, j)
	}
	a.Input = "sha256:" + hex.EncodeToString(all.Sum(nil))
	if len(a.Objects) == 1 {
		a.Input = a.Objects[0].Input
	}
	return a, nil
}

// nameOf names an object for people: "Deployment shop/cart".
func nameOf(j policy.Judged) string {
	if j.Namespace == "" {
		return j.Kind + " " + j.Name
	}
	return j.Kind + " " + j.Namespace + "/" + j.Name
}

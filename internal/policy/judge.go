package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// Decide judges the objects of a question with the set in force, and records the answer as
// Question.Record says, together with its event. An error means that it could not be
// judged or recorded at all, and whoever asked must refuse; a rule that could not judge is
// a verdict of the decision.
func (s *Service) Decide(ctx context.Context, q Question) (Decision, error) {
	set := s.Current()
	d := Decision{
		Time: s.Clock.Now(), Point: q.Point, Allowed: true, Actor: q.Actor, Judges: q.Judges, Project: q.Project, Environment: q.Environment,
		Run: q.Run, Job: q.Job, Commit: q.Commit, Pull: q.Pull, Set: set.Digest(), Objects: make([]Judged, 0, len(q.Objects)),
	}
	worth := q.Record == RecordAll
	all := sha256.New()
	for _, o := range q.Objects {
		j, err := judge(ctx, set, o, q.Point)
		if err != nil {
			return Decision{}, err
		}
		// A hash never returns an error from Write.
		_, _ = all.Write([]byte(j.Input))
		for _, v := range j.Verdicts {
			d.Allowed = d.Allowed && !v.Refuses
			worth = worth || q.Record == RecordRefusals && (v.Refuses || v.Outcome == rule.Error)
		}
		d.Objects = append(d.Objects, j)
	}
	d.Input = "sha256:" + hex.EncodeToString(all.Sum(nil))
	if len(d.Objects) == 1 {
		d.Input = d.Objects[0].Input
	}
	if !worth {
		return d, nil
	}
	d, _, err := s.record(ctx, "", d)
	return d, err
}

func judge(ctx context.Context, set *engine.Set, o Object, point string) (Judged, error) {
	object := o.Object
	if object == nil {
		object = o.Old
	}
	input, err := InputDigest(object)
	if err != nil {
		return Judged{}, err
	}
	verdicts, err := set.Review(ctx, o.Review, engine.Options{
		Generated: o.Generated,
		// The pipeline builds the images of a pull request when it is merged.
		Unbuilt: point == PointPull,
	})
	if err != nil {
		return Judged{}, fmt.Errorf("judging %s %s/%s: %w", o.Kind.Kind, o.Place.Namespace, o.Name, err)
	}
	j := Judged{
		Group: o.Kind.Group, Version: o.Kind.Version, Kind: o.Kind.Kind, Namespace: o.Place.Namespace, Name: o.Name, UID: textAt(object, "metadata", "uid"),
		Operation: o.Operation, Sub: o.Sub, Input: input, Verdicts: make([]Located, len(verdicts)),
	}
	if j.Name == "" {
		j.Name = textAt(object, "metadata", "name")
	}
	for i, v := range verdicts {
		j.Verdicts[i] = Located{Verdict: v, At: o.Source.locate(v.Violations)}
	}
	return j, nil
}

// locate finds the lines of violations; nil when nothing is known of the source.
func (s Source) locate(found []rule.Violation) []Source {
	if s.File == "" && s.Lines == nil || len(found) == 0 {
		return nil
	}
	out := make([]Source, len(found))
	for i, v := range found {
		out[i] = Source{File: s.File, Line: s.Line}
		if s.Lines == nil {
			continue
		}
		if file, line := s.Lines(v.Path); file != "" {
			out[i] = Source{File: file, Line: line}
		}
	}
	return out
}

// serverMade are the fields of metadata that the API server makes; they are no part of
// what somebody asked for.
var serverMade = []string{"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"}

// InputDigest names an object by what was asked for: "sha256:…" over its JSON with sorted
// keys, without its status and the fields of metadata that the API server makes.
func InputDigest(object map[string]any) (string, error) {
	out := make(map[string]any, len(object))
	for k, v := range object {
		meta, isMap := v.(map[string]any)
		switch {
		case k == "status":
		case k == "metadata" && isMap:
			kept := map[string]any{}
			for f, w := range meta {
				if !slices.Contains(serverMade, f) {
					kept[f] = w
				}
			}
			out[k] = kept
		default:
			out[k] = v
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("making the digest of an object: %w", err)
	}
	d := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(d[:]), nil
}

// textAt returns a text within an object; "" when there is none.
func textAt(object map[string]any, path ...string) string {
	var v any = object
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[p]
	}
	s, _ := v.(string)
	return s
}

package insight

import (
	"context"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// decisionMade makes a signal of each rule that refused a workload at admission, that a
// workload violates, or that was passed by because admission failed open.
func (f *feed) decisionMade(ctx context.Context, p event.DecisionMade) error {
	if p.Point != "admission" && p.Point != "audit" {
		return nil // Who asked sees it on the pull request or the run.
	}
	if p.Allowed && len(p.Verdicts) == 0 {
		return f.admitted(ctx, p)
	}
	for _, v := range p.Verdicts {
		o, ok := f.policySignal(p, v)
		if !ok {
			continue
		}
		if err := f.observe(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// policySignal is what a verdict says; ok is false when it asks for nothing.
func (f *feed) policySignal(p event.DecisionMade, v event.Verdict) (observation, bool) {
	source, words := SourcePolicy, "was refused by"
	switch {
	case v.Outcome == "exempt", v.Outcome == "compliant", v.Outcome == "":
		return observation{}, false
	case p.Point == "admission" && p.Allowed && v.Outcome == "error":
		source, words = SourceAdmission, "was let in unjudged by"
	case p.Point == "admission" && p.Allowed:
		words = "does not comply with"
	case p.Point == "audit" && v.Outcome == "denied":
		source, words = SourceAdmission, "was let in although it is refused by"
	case p.Point == "audit":
		words = "does not comply with"
	}
	object := stableObject(v.Object)
	_, workload, _ := cutLast(object, "/")
	if workload == "" {
		_, workload, _ = strings.Cut(object, " ")
	}
	severity := "medium"
	if source == SourceAdmission {
		severity = "critical"
	}
	text := v.Message
	if v.Fix != "" {
		text += " Mend: " + v.Fix
	}
	return observation{
		source: source, rule: v.Assignment + "/" + v.Rule, resource: p.Environment + "/" + object, environment: p.Environment, severity: severity,
		proof:  Evidence{Subject: f.e.Subject, Text: clip(object + " " + words + " " + v.Assignment + "/" + v.Rule + ": " + text), At: f.e.Time},
		Record: Record{Title: fmt.Sprintf("%s %s %s/%s", object, words, v.Assignment, v.Rule), Type: "security", Workloads: named(workload), Exposure: exposure(p.Environment), Commit: p.Commit, Path: v.File},
	}, true
}

// stableObject names an object by what stays: a pod by its workload.
func stableObject(object string) string {
	kind, name, ok := strings.Cut(object, " ")
	if !ok {
		return object
	}
	space, last, ok := cutLast(name, "/")
	if !ok {
		space, last = "", name
	} else {
		space += "/"
	}
	if kind == "Pod" || kind == "ReplicaSet" {
		kind, last = "workload", Workload(last)
	}
	return kind + " " + space + last
}

// admitted heals what was refused of an object that was now let in.
func (f *feed) admitted(ctx context.Context, p event.DecisionMade) error {
	rows, err := f.standing(ctx, p.Environment, SourcePolicy, SourceAdmission)
	if err != nil {
		return err
	}
	object := p.Environment + "/" + stableObject(p.Object)
	for _, r := range rows {
		if r.Resource != object {
			continue
		}
		if err := f.well(ctx, r, f.s.options.PolicyQuiet, "", p.Object+" was admitted at "+moment(f.e.Time)+"."); err != nil {
			return err
		}
	}
	return nil
}

// secretBypassed makes a signal of a secret that somebody let in for now. What is said to
// be none, or a value of a test, is none.
func (f *feed) secretBypassed(ctx context.Context, p event.SecretBypassed) error {
	if p.Reason != "fix-later" || p.Revoked {
		return nil
	}
	return f.observe(ctx, observation{
		source: SourceSecret, rule: p.Rule, resource: p.Repo + "/" + p.Fingerprint, severity: "critical",
		proof: Evidence{Subject: f.e.Subject, Text: clip(fmt.Sprintf("%s let a secret (%s) into %s until %s: %s", f.e.Actor, p.Rule, p.Repo, moment(p.Expires), p.Comment)), At: f.e.Time},
		Record: Record{
			Title: "Secret (" + p.Rule + ") in " + p.Repo, Type: "security", Repo: p.Repo, Exposure: 8,
		},
	})
}

package insight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// decisionMade makes a signal of each rule that refused a workload at admission, that a
// workload violates, or that was passed by because admission failed open.
func (f *feed) decisionMade(ctx context.Context, p event.DecisionMade) error {
	if p.Point != "admission" && p.Point != "audit" {
		return nil // Who asked sees it on the pull request or the run.
	}
	if p.Allowed && p.Point == "admission" {
		if err := f.admitted(ctx, p); err != nil {
			return err
		}
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
		words = violatesWords
	case p.Point == "audit" && v.Outcome == "denied":
		source, words = SourceAdmission, passedWords
	case p.Point == "audit":
		words = violatesWords
	}
	return f.guarded(source, words, p.Environment, p.Commit, v), true
}

// What a live object does to a rule, in the title of its item.
const (
	violatesWords = "does not comply with"
	passedWords   = "was let in although it is refused by"
)

// guarded is the observation of a verdict on a workload.
func (f *feed) guarded(source, words, environment, commit string, v event.Verdict) observation {
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
		source: source, rule: v.Assignment + "/" + v.Rule, resource: environment + "/" + object, environment: environment, severity: severity,
		proof:  Evidence{Subject: f.e.Subject, Text: clip(object + " " + words + " " + v.Assignment + "/" + v.Rule + ": " + text), At: f.e.Time},
		Record: Record{Title: fmt.Sprintf("%s %s %s/%s", object, words, v.Assignment, v.Rule), Type: "security", Workloads: named(workload), Exposure: exposure(environment), Commit: commit, Path: v.File},
	}
}

// stableObject names an object by what stays: whatever makes pods, and the pods, are one
// workload, "workload shop/cart".
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
	switch kind {
	case "Pod", "ReplicaSet":
		kind, last = "workload", Workload(last)
	case "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob":
		kind = "workload"
	}
	return kind + " " + space + last
}

// admitted heals what was refused of an object that was now let in by the same rule.
func (f *feed) admitted(ctx context.Context, p event.DecisionMade) error {
	still := map[string]bool{}
	for _, v := range p.Verdicts {
		still[bounded(v.Assignment+"/"+v.Rule)] = v.Outcome != "exempt"
	}
	return f.heal(ctx, p.Environment, p.Object, func(r *row) (string, bool) {
		return p.Object + " was admitted at " + moment(f.e.Time) + ".", !still[r.Rule] && len(r.Firing) == 0
	})
}

// heal says that the signals of an object which are over are well.
func (f *feed) heal(ctx context.Context, environment, object string, over func(*row) (why string, ok bool)) error {
	rows, err := f.standing(ctx, environment, SourcePolicy, SourceAdmission)
	if err != nil {
		return err
	}
	resource := bounded(environment + "/" + stableObject(object))
	for _, r := range rows {
		if r.Resource != resource || r.seq >= f.e.Seq {
			continue
		}
		why, ok := over(&r)
		if ok {
			err = f.well(ctx, r, f.s.options.PolicyQuiet, "", why)
		} else {
			err = put(ctx, f.tx, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// complianceChanged makes a signal of each rule that a live object began to violate, and
// heals those that none of the workload's objects violates any more.
func (f *feed) complianceChanged(ctx context.Context, p event.ComplianceChanged) error {
	ended := map[string]string{} // rules, with the outcome
	for _, v := range p.Verdicts {
		if v.Outcome != "audited" && v.Outcome != "denied" {
			ended[bounded(v.Assignment+"/"+v.Rule)] = v.Outcome
			continue
		}
		o := f.guarded(SourcePolicy, violatesWords, p.Environment, p.Commit, v)
		passed := f.guarded(SourceAdmission, passedWords, p.Environment, p.Commit, v)
		r, known, err := locked(ctx, f.tx, f.e.Project, key(SourceAdmission, bounded(passed.rule), bounded(passed.resource)))
		if err != nil {
			return err
		}
		if known && v.Outcome == "denied" && r.State != Resolved {
			o = passed // The decision before this event said so; it is one thing.
		}
		o.firing, o.wait = p.UID, f.s.options.Debounce // What is known of an image may come a moment after it.
		if err := f.observe(ctx, o); err != nil {
			return err
		}
	}
	if len(ended) == 0 {
		return nil
	}
	return f.heal(ctx, p.Environment, p.Object, func(r *row) (string, bool) {
		outcome, ok := ended[r.Rule]
		if !ok {
			return "", false
		}
		r.Firing = slices.DeleteFunc(r.Firing, func(uid string) bool { return uid == p.UID })
		why := p.Object + " complies since " + moment(f.e.Time) + "."
		switch outcome {
		case "gone":
			why = p.Object + ", or the rule for it, is gone since " + moment(f.e.Time) + "."
		case "exempt":
			why = p.Object + " is exempt since " + moment(f.e.Time) + "."
		}
		return why, len(r.Firing) == 0
	})
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

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Where the change that is refused is made.
const (
	template = "charts/shop/templates/_service.tpl"
	harmless = "allowPrivilegeEscalation: false"
	harmful  = "privileged: {{ eq .name \"cart\" }}\n            allowPrivilegeEscalation: {{ eq .name \"cart\" }}"
)

// pullRequestDenied proposes a privileged container and wants to see it refused on its
// line.
func (t *tour) pullRequestDenied(ctx context.Context) (found, error) {
	if err := t.protect(ctx); err != nil {
		return found{}, err
	}
	t.branch = fmt.Sprintf("cart-%d", time.Now().Unix())
	if _, err := t.git(ctx, "checkout", "-q", "-b", t.branch); err != nil {
		return found{}, err
	}
	line, err := t.change(harmless, harmful)
	if err != nil {
		return found{}, err
	}
	if err := t.proposed(ctx, "Let the cart see the host"); err != nil {
		return found{}, err
	}
	var made proposal
	if err := t.read(ctx, &made, "pull", "create", "--source", t.branch, "--title", "Let the cart see the host"); err != nil {
		return found{}, err
	}
	t.pull = made.Number
	p, state, err := t.checked(ctx, "policy", time.Minute)
	if err != nil {
		return found{}, err
	}
	if state != "failure" {
		return found{}, fmt.Errorf("the check policy of pull request %d is %s", t.pull, state)
	}
	at := slices.IndexFunc(p.Decisions, func(d decision) bool { return !d.Allowed })
	if at < 0 {
		return found{}, errors.New("no decision refuses the pull request")
	}
	t.verdict, _ = p.Decisions[at].refusal()
	t.refused = p.Decisions[at].ID
	if t.verdict.File != template || t.verdict.Line != line {
		return found{}, fmt.Errorf("the verdict stands at %s:%d, not at %s:%d", t.verdict.File, t.verdict.Line, template, line)
	}
	_, merged := t.towpath(ctx, "pull", "merge", fmt.Sprint(t.pull))
	if merged == nil {
		return found{}, errors.New("the refused pull request was merged")
	}
	return found{
		detail: fmt.Sprintf("#%d: %s:%d %s (assignment %s, policy %.19s); it cannot be merged", t.pull, template, line, t.verdict.Message, t.verdict.Assignment, t.verdict.Policy),
		evidence: map[string]any{"pull": t.pull, "decision": t.refused, "file": t.verdict.File, "line": t.verdict.Line, "path": t.verdict.Path, "message": t.verdict.Message,
			"assignment": t.verdict.Assignment, "rule": t.verdict.Rule, "policy": t.verdict.Policy, "blocks": p.Gate.Blocks},
	}, nil
}

// manifest writes the Deployment of the cart as the pull request would apply it.
func (t *tour) manifest(ctx context.Context) (string, error) {
	all, err := t.towpath(ctx, "pull", "manifests", fmt.Sprint(t.pull), "--environment", "production")
	if err != nil {
		return "", err
	}
	for _, doc := range strings.Split(string(all), "\n---\n") {
		if strings.Contains(doc, "kind: Deployment") && strings.Contains(doc, "  name: cart\n") {
			file := filepath.Join(t.work, "cart.yaml")
			return file, os.WriteFile(file, []byte(strings.TrimPrefix(doc, "---\n")), 0o600)
		}
	}
	return "", errors.New("the pull request renders no Deployment cart")
}

// kubectlDenied applies the same manifest by hand: the API server must say the same.
func (t *tour) kubectlDenied(ctx context.Context) (found, error) {
	file, err := t.manifest(ctx)
	if err != nil {
		return found{}, err
	}
	_, refused := t.towpath(ctx, "kubectl", "apply", "-f", file)
	if refused == nil {
		return found{}, errors.New("kubectl applied a privileged container")
	}
	for _, want := range []string{t.verdict.Assignment, t.verdict.Policy[:len("sha256:")+12]} {
		if !strings.Contains(refused.Error(), want) {
			return found{}, fmt.Errorf("the API server's refusal does not name %s: %w", want, refused)
		}
	}
	var same decision
	err = until(ctx, 20*time.Second, "the record of the API server's refusal", func() (bool, error) {
		var all []decision
		if err := t.read(ctx, &all, "policy", "decisions", "--point", "admission", "--refused"); err != nil {
			return false, err
		}
		for _, d := range all {
			if r, ok := d.refusal(); ok && r.Assignment == t.verdict.Assignment && r.Policy == t.verdict.Policy && r.Object == t.verdict.Object {
				same = d
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return found{}, err
	}
	chain, err := t.towpath(ctx, "trace", fmt.Sprintf("pull/shop/shop/%d", t.pull), "-o", "json")
	if err != nil {
		return found{}, err
	}
	for _, id := range []string{t.refused, same.ID} {
		if !bytes.Contains(chain, []byte(id)) {
			return found{}, fmt.Errorf("the chain of pull request %d does not show decision %s", t.pull, id)
		}
	}
	return found{
		detail:   fmt.Sprintf("the API server refused %s by the same assignment %s and policy %.19s", t.verdict.Object, t.verdict.Assignment, t.verdict.Policy),
		evidence: map[string]any{"decision": same.ID, "assignment": t.verdict.Assignment, "policy": t.verdict.Policy, "message": tail(refused.Error())},
	}, nil
}

// fixAllowed mends the change and wants to see it allowed in both places.
func (t *tour) fixAllowed(ctx context.Context) (found, error) {
	if _, err := t.change(harmful, harmless); err != nil {
		return found{}, err
	}
	// What the change was for, without the privileges.
	if _, err := t.change("terminationGracePeriodSeconds: 8", "terminationGracePeriodSeconds: 9"); err != nil {
		return found{}, err
	}
	if err := t.proposed(ctx, "A longer farewell is all the cart needs"); err != nil {
		return found{}, err
	}
	p, state, err := t.checked(ctx, "policy", time.Minute)
	if err != nil {
		return found{}, err
	}
	if state != "success" {
		return found{}, fmt.Errorf("the check policy of the fix is %s", state)
	}
	file, err := t.manifest(ctx)
	if err != nil {
		return found{}, err
	}
	if _, err := t.towpath(ctx, "kubectl", "apply", "--dry-run=server", "-f", file); err != nil {
		return found{}, err
	}
	at := slices.IndexFunc(p.Decisions, func(d decision) bool { return d.Allowed })
	if at < 0 {
		return found{}, errors.New("no decision allows the fix")
	}
	return found{
		detail:   fmt.Sprintf("allowed in #%d and by the API server", t.pull),
		evidence: map[string]any{"pull": t.pull, "head": p.Head, "decision": p.Decisions[at].ID, "set": p.Decisions[at].Set},
	}, nil
}

// merged has the fix reviewed and merged, and waits until it serves.
func (t *tour) merged(ctx context.Context) (found, error) {
	if _, err := t.towpath(ctx, "pull", "review", fmt.Sprint(t.pull), "--approve"); err == nil {
		return found{}, errors.New("the author approved the own pull request")
	}
	if _, err := t.towpath(ctx, "--token", t.reviewToken, "pull", "review", fmt.Sprint(t.pull), "--approve", "--body", "No privileges: good."); err != nil {
		return found{}, err
	}
	if _, state, err := t.checked(ctx, "azure-pipelines.yml", 5*time.Minute); err != nil || state != "success" {
		return found{}, errors.Join(err, fmt.Errorf("the pipeline of pull request %d: %s", t.pull, state))
	}
	start := time.Now()
	var p proposal
	if err := t.read(ctx, &p, "pull", "merge", fmt.Sprint(t.pull), "--method", "squash", "--delete-source"); err != nil {
		return found{}, err
	}
	for _, args := range [][]string{{"checkout", "-q", "main"}, {"pull", "-q", "--ff-only", "origin", "main"}} {
		if _, err := t.git(ctx, args...); err != nil {
			return found{}, err
		}
	}
	head, err := t.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return found{}, err
	}
	t.commit = strings.TrimSpace(string(head))
	if t.commit != p.Result {
		return found{}, fmt.Errorf("main is %s, the merge said %s", t.commit, p.Result)
	}
	builds, err := t.serves(ctx, t.commit, 5*time.Minute)
	if err != nil {
		return found{}, err
	}
	total := time.Since(start).Seconds()
	r, err := t.runOf(ctx, t.commit)
	if err != nil {
		return found{}, err
	}
	t.run = r.Number
	if _, err := t.ended(ctx); err != nil {
		return found{}, err
	}
	if rel, err := t.current(ctx); err == nil && len(rel.Pods) > 0 {
		t.pod = rel.Pods[0].Name
	}
	return found{
		detail:   fmt.Sprintf("approved by %s, merged as %.12s, serving %.1f s later", t.reviewer, t.commit, total),
		evidence: map[string]any{"pull": t.pull, "commit": t.commit, "run": t.run, "reviewer": t.reviewer, "builds": builds}, seconds: total,
	}, nil
}

// compliance lists what every assignment says of every live object.
func (t *tour) compliance(ctx context.Context) (found, error) {
	type object struct {
		Assignment string    `json:"assignment"`
		Kind       string    `json:"kind"`
		Namespace  string    `json:"namespace"`
		Name       string    `json:"name"`
		Outcome    string    `json:"outcome"`
		Since      time.Time `json:"since"`
	}
	var r struct {
		Assignments []struct {
			Name     string         `json:"name"`
			Policy   string         `json:"policy"`
			Objects  int            `json:"objects"`
			Percent  float64        `json:"percent"`
			Outcomes map[string]int `json:"outcomes"`
		} `json:"assignments"`
		Objects []object `json:"objects"`
	}
	compliant := 0
	err := until(ctx, 30*time.Second, "the verdicts on what runs", func() (bool, error) {
		if err := t.read(ctx, &r, "policy", "compliance", "--limit", "2000"); err != nil {
			return false, err
		}
		compliant = 0
		cart := false
		for _, o := range r.Objects {
			if o.Since.IsZero() {
				return false, fmt.Errorf("the verdict on %s %s does not say since when", o.Kind, o.Name)
			}
			if o.Outcome == "compliant" {
				compliant++
				cart = cart || o.Kind == "Deployment" && o.Name == "cart"
			}
		}
		if !cart {
			return false, errors.New("Deployment cart is not among the compliant objects")
		}
		return true, nil
	})
	if err != nil {
		return found{}, err
	}
	return found{
		detail:   fmt.Sprintf("%d assignments, %d verdicts, %d of them compliant", len(r.Assignments), len(r.Objects), compliant),
		evidence: map[string]any{"assignments": r.Assignments, "objects": r.Objects},
	}, nil
}

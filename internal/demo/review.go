package demo

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
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

// decision is a policy decision as the command line shows it.
type decision struct {
	ID      string `json:"id"`
	Point   string `json:"point"`
	Allowed bool   `json:"allowed"`
	Set     string `json:"set"`
	Objects []struct {
		Kind     string `json:"kind"`
		Name     string `json:"name"`
		Verdicts []struct {
			Assignment string `json:"assignment"`
			Rule       string `json:"rule"`
			Policy     string `json:"policy"`
			Refuses    bool   `json:"refuses"`
			Violations []struct {
				Path    string `json:"path"`
				Message string `json:"message"`
			} `json:"violations"`
			At []struct {
				File string `json:"file"`
				Line int    `json:"line"`
			} `json:"at"`
		} `json:"verdicts"`
	} `json:"objects"`
}

// refusal is the first verdict of a decision that refuses.
type refusal struct {
	Object, Assignment, Rule, Policy, Path, Message, File string
	Line                                                  int
}

func (d decision) refusal() (refusal, bool) {
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if !v.Refuses {
				continue
			}
			r := refusal{Object: o.Kind + " " + o.Name, Assignment: v.Assignment, Rule: v.Rule, Policy: v.Policy}
			if len(v.Violations) > 0 {
				r.Path, r.Message = v.Violations[0].Path, v.Violations[0].Message
			}
			if len(v.At) > 0 {
				r.File, r.Line = v.At[0].File, v.At[0].Line
			}
			return r, true
		}
	}
	return refusal{}, false
}

// proposal is a pull request as `towpath pull show` tells it.
type proposal struct {
	Number int64  `json:"number"`
	Head   string `json:"head"`
	State  string `json:"state"`
	Result string `json:"result"`
	Gate   struct {
		Allowed bool `json:"allowed"`
		Blocks  []struct {
			Kind string `json:"kind"`
			What string `json:"what"`
			Name string `json:"name"`
		} `json:"blocks"`
	} `json:"gate"`
	Checks []struct {
		Name        string `json:"name"`
		Source      string `json:"source"`
		State       string `json:"state"`
		Title       string `json:"title"`
		Annotations []struct {
			Path      string `json:"path"`
			StartLine int    `json:"start_line"`
			Message   string `json:"message"`
			Rule      string `json:"rule"`
		} `json:"annotations"`
	} `json:"checks_reported"`
	Decisions []decision `json:"decisions"`
}

// secretRefused pushes a private key, which must not get in.
func (t *tour) secretRefused(ctx context.Context) (found, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return found{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return found{}, err
	}
	const name = "deploy/tls-key.pem"
	file := filepath.Join(t.work, "shop", filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return found{}, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return found{}, err
	}
	for _, args := range [][]string{{"checkout", "-q", "-b", "tls"}, {"add", "-A"}, {"commit", "-q", "-m", "Serve the shop over TLS"}} {
		if _, err := t.git(ctx, args...); err != nil {
			return found{}, err
		}
	}
	head, err := t.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return found{}, err
	}
	commit := strings.TrimSpace(string(head))
	_, refused := t.git(ctx, "push", "origin", "tls")
	if refused == nil {
		return found{}, errors.New("the push of a private key was accepted")
	}
	for _, want := range []string{"private-key", commit[:7], name + ":1", "towpath secret bypass"} {
		if !strings.Contains(refused.Error(), want) {
			return found{}, fmt.Errorf("the refusal does not say %q: %w", want, refused)
		}
	}
	there, err := t.git(ctx, "ls-remote", "origin", "refs/heads/tls")
	if err != nil {
		return found{}, err
	}
	if len(bytes.TrimSpace(there)) > 0 {
		return found{}, errors.New("the refused branch is there")
	}
	for _, args := range [][]string{{"checkout", "-q", "main"}, {"branch", "-q", "-D", "tls"}} {
		if _, err := t.git(ctx, args...); err != nil {
			return found{}, err
		}
	}
	fmt.Fprintln(&indent{out: t.out}, remoteLines(refused.Error()))
	return found{
		detail:   fmt.Sprintf("private-key in %s:1 of commit %.12s, and no ref moved", name, commit),
		evidence: map[string]any{"rule": "private-key", "commit": commit, "path": name, "line": 1, "message": remoteLines(refused.Error())},
	}, nil
}

// remoteLines are what the server said in the output of git push.
func remoteLines(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "remote: "); ok {
			out = append(out, strings.TrimRight(rest, " "))
		}
	}
	return strings.Join(out, "\n")
}

// protect lets nothing into main but reviewed pull requests, and makes the reviewer.
func (t *tour) protect(ctx context.Context) error {
	const rules = `name: main is reviewed
enforcement: active
refs: ["~default"]
rules:
  blockForcePush: true
  restrictDeletion: true
  pullRequest: {approvals: 1, dropStale: true}
  requiredChecks:
    - {name: policy, source: "system:policy"}
    - {name: azure-pipelines.yml, source: "system:pipeline"}
`
	file := filepath.Join(t.work, "ruleset.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		return err
	}
	if _, err := t.towpath(ctx, "ruleset", "apply", file); err != nil {
		return err
	}
	var users []struct{ Name string }
	if err := t.read(ctx, &users, "user", "list"); err != nil {
		return err
	}
	raw := make([]byte, 12)
	if _, err := rand.Read(raw); err != nil {
		return err
	}
	// A user of its own for each demonstration: passwords are not kept anywhere.
	t.reviewer = fmt.Sprintf("reviewer-%d", len(users))
	password := fmt.Sprintf("%x", raw)
	if err := t.api(ctx, "admin token", http.MethodPost, "/users", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+t.token) },
		map[string]any{"name": t.reviewer, "password": password}, nil); err != nil {
		return err
	}
	if _, err := t.towpath(ctx, "project", "grant", t.reviewer, "write"); err != nil {
		return err
	}
	var made struct {
		Secret string `json:"secret"`
	}
	err := t.api(ctx, "reviewer's token", http.MethodPost, "/tokens", func(r *http.Request) { r.SetBasicAuth(t.reviewer, password) },
		map[string]any{"name": "demo", "scope": "write", "days": 1}, &made)
	t.reviewToken = made.Secret
	if err == nil && made.Secret == "" {
		err = errors.New("the reviewer got no token")
	}
	return err
}

// unprotect takes the ruleset of an earlier demonstration away.
func (t *tour) unprotect(ctx context.Context) error {
	var all []struct{ Name string }
	if err := t.read(ctx, &all, "ruleset", "list"); err != nil {
		return err
	}
	for _, r := range all {
		if _, err := t.towpath(ctx, "ruleset", "delete", r.Name); err != nil {
			return err
		}
	}
	return nil
}

// api makes one request to the API as somebody else than the command line's user.
func (t *tour) api(ctx context.Context, what, method, path string, sign func(*http.Request), in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, t.server+"/api/v1"+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	sign(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s", what, resp.Status, tail(text.String()))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text.Bytes(), out)
}

// change writes the template with one line replaced and returns the number of the line.
func (t *tour) change(from, to string) (int, error) {
	file := filepath.Join(t.work, "shop", filepath.FromSlash(template))
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	i := bytes.Index(b, []byte(from))
	if i < 0 {
		return 0, fmt.Errorf("%s does not hold %q", template, from)
	}
	line := bytes.Count(b[:i], []byte("\n")) + 1
	return line, os.WriteFile(file, bytes.Replace(b, []byte(from), []byte(to), 1), 0o644)
}

// proposed commits on the branch and pushes it.
func (t *tour) proposed(ctx context.Context, message string) error {
	for _, args := range [][]string{{"commit", "-q", "-am", message}, {"push", "-q", "origin", t.branch}} {
		if _, err := t.git(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// checked waits until a check of the pull request's head has ended.
func (t *tour) checked(ctx context.Context, name string, limit time.Duration) (proposal, string, error) {
	head, err := t.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return proposal{}, "", err
	}
	var p proposal
	state := ""
	err = until(ctx, limit, "check "+name, func() (bool, error) {
		p = proposal{}
		if err := t.read(ctx, &p, "pull", "show", fmt.Sprint(t.pull)); err != nil {
			return false, err
		}
		if p.Head != strings.TrimSpace(string(head)) {
			return false, errors.New("the pull request does not have the pushed head yet")
		}
		for _, c := range p.Checks {
			if c.Name == name && c.State != "queued" && c.State != "running" {
				state = c.State
				return true, nil
			}
		}
		return false, fmt.Errorf("check %s is not reported", name)
	})
	return p, state, err
}

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

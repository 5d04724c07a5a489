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
	"strings"
)

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

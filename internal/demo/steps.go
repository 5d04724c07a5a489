package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func (t *tour) build(ctx context.Context) (found, error) {
	if err := t.live(ctx, t.root, "make", "--no-print-directory", "build", "kube"); err != nil {
		return found{}, err
	}
	sizes := map[string]any{}
	for _, p := range []string{"towpath", "towpath-agent", "towpath-hook", "towpath-lake", "towpath-kube"} {
		st, err := os.Stat(filepath.Join(t.bin, p))
		if err != nil {
			return found{}, err
		}
		sizes[p] = st.Size()
	}
	return found{detail: fmt.Sprintf("%d programs", len(sizes)), evidence: map[string]any{"bytes": sizes}}, nil
}

func (t *tour) start(ctx context.Context) (found, error) {
	start := time.Now()
	served := make(chan float64, 1)
	pr, pw := io.Pipe()
	go func() {
		// `up` tells each part that becomes ready; the server is the first.
		all := &watcher{out: &indent{out: t.out}, at: func() { served <- time.Since(start).Seconds() }}
		_, _ = io.Copy(all, pr)
	}()
	err := t.up(ctx, pw)
	if err := errors.Join(err, pw.Close()); err != nil {
		return found{}, err
	}
	var s struct {
		URL     string `json:"url"`
		Version string `json:"version"`
		Cluster struct {
			FrontDoor string `json:"front_door"`
		} `json:"cluster"`
	}
	if err := t.read(ctx, &s, "status"); err != nil {
		return found{}, err
	}
	token, err := os.ReadFile(filepath.Join(t.Data, "admin-token"))
	if err != nil {
		return found{}, err
	}
	t.server, t.door, t.token = s.URL, s.Cluster.FrontDoor, strings.TrimSpace(string(token))
	seconds := 0.0
	select {
	case seconds = <-served:
	default:
	}
	return found{detail: s.URL, evidence: map[string]any{"url": s.URL, "version": s.Version}, seconds: seconds}, nil
}

// watcher calls at when the server's line comes by.
type watcher struct {
	out  io.Writer
	at   func()
	seen bool
}

func (w *watcher) Write(p []byte) (int, error) {
	if !w.seen && bytes.Contains(p, []byte("server")) && bytes.Contains(p, []byte("ready")) {
		w.seen = true
		w.at()
	}
	return w.out.Write(p)
}

func (t *tour) clusterReady(ctx context.Context) (found, error) {
	var s struct {
		Cluster struct {
			State      string           `json:"state"`
			Version    string           `json:"version"`
			ReadyIn    float64          `json:"ready_in"`
			Components []map[string]any `json:"components"`
		} `json:"cluster"`
	}
	err := until(ctx, 3*time.Minute, "the cluster", func() (bool, error) {
		err := t.read(ctx, &s, "status")
		return err == nil && s.Cluster.State == "ready", err
	})
	return found{
		detail:   fmt.Sprintf("Kubernetes %s, ready %.1f s after its start", s.Cluster.Version, s.Cluster.ReadyIn),
		evidence: map[string]any{"version": s.Cluster.Version, "components": s.Cluster.Components}, seconds: s.Cluster.ReadyIn,
	}, err
}

// firstPod runs a pod of the image that every cluster has and waits until it is ready.
func (t *tour) firstPod(ctx context.Context) (found, error) {
	var images struct {
		Items []struct {
			Status struct {
				Images []struct {
					Names []string `json:"names"`
				} `json:"images"`
			} `json:"status"`
		} `json:"items"`
	}
	pause := ""
	err := until(ctx, 30*time.Second, "the node's list of images", func() (bool, error) {
		b, err := t.towpath(ctx, "kubectl", "get", "nodes", "-o", "json")
		if err != nil {
			return false, err
		}
		if err := json.Unmarshal(b, &images); err != nil {
			return false, err
		}
		for _, n := range images.Items {
			for _, i := range n.Status.Images {
				for _, name := range i.Names {
					if strings.Contains(name, "pause") && !strings.Contains(name, "@") {
						pause = name
					}
				}
			}
		}
		return pause != "", nil
	})
	if err != nil {
		return found{}, err
	}
	start := time.Now()
	if _, err := t.towpath(ctx, "kubectl", "run", "first", "--image", pause, "--image-pull-policy", "IfNotPresent", "--restart", "Never"); err != nil {
		return found{}, err
	}
	if _, err := t.towpath(ctx, "kubectl", "wait", "--for=condition=Ready", "pod/first", "--timeout=60s"); err != nil {
		return found{}, err
	}
	seconds := time.Since(start).Seconds()
	uid, err := t.towpath(ctx, "kubectl", "get", "pod", "first", "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		return found{}, err
	}
	_, err = t.towpath(ctx, "kubectl", "delete", "pod", "first", "--wait=false")
	return found{detail: "pod first is ready", evidence: map[string]any{"image": pause, "uid": string(uid)}, seconds: seconds}, err
}

// remote is the address of the sample's repository.
func (t *tour) remote() string { return t.server + "/shop/shop.git" }

func (t *tour) git(ctx context.Context, args ...string) ([]byte, error) {
	// The token reaches git through its environment, so that it stands in no list of
	// processes and in no file.
	t.setGit()
	return t.command(ctx, filepath.Join(t.work, "shop"), "git", args...)
}

func (t *tour) push(ctx context.Context) (found, error) {
	dir := filepath.Join(t.work, "shop")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(t.root, "examples", "shop"))); err != nil {
		return found{}, fmt.Errorf("copying the sample: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "bin")); err != nil {
		return found{}, err
	}
	var projects []struct{ Name string }
	if err := t.read(ctx, &projects, "project", "list"); err != nil {
		return found{}, err
	}
	steps := [][]string{
		{"init", "-q", "-b", "main"}, {"config", "user.name", "Towpath demo"}, {"config", "user.email", "demo@towpath.local"},
		{"add", "-A"}, {"commit", "-q", "-m", "The shop: four services, one chart, one pipeline"},
		{"remote", "add", "origin", t.remote()},
	}
	for _, args := range steps {
		if _, err := t.git(ctx, args...); err != nil {
			return found{}, err
		}
	}
	// A second demonstration on the same data goes on from where the first stopped.
	if _, err := t.git(ctx, "fetch", "-q", "origin", "main"); err == nil {
		if err := t.unprotect(ctx); err != nil {
			return found{}, err
		}
		for _, args := range [][]string{{"reset", "-q", "--soft", "FETCH_HEAD"}, {"commit", "-q", "--allow-empty", "-m", "The shop again"}} {
			if _, err := t.git(ctx, args...); err != nil {
				return found{}, err
			}
		}
	}
	t.pushed = time.Now()
	if _, err := t.git(ctx, "push", "-q", "origin", "main"); err != nil {
		return found{}, err
	}
	seconds := time.Since(t.pushed).Seconds()
	head, err := t.git(ctx, "rev-parse", "HEAD")
	t.commit = strings.TrimSpace(string(head))
	return found{
		detail:   fmt.Sprintf("commit %.12s to %s", t.commit, t.remote()),
		evidence: map[string]any{"commit": t.commit, "repository": "shop/shop", "ref": "refs/heads/main"}, seconds: seconds,
	}, err
}

// setGit puts the credential for the server into the environment of git.
func (t *tour) setGit() {
	os.Setenv("GIT_CONFIG_COUNT", "2")
	os.Setenv("GIT_CONFIG_KEY_0", "http."+t.server+"/.extraHeader")
	os.Setenv("GIT_CONFIG_VALUE_0", "Authorization: Bearer "+t.token)
	os.Setenv("GIT_CONFIG_KEY_1", "credential.helper")
	os.Setenv("GIT_CONFIG_VALUE_1", "")
	os.Setenv("GIT_TERMINAL_PROMPT", "0")
}

// follow finds the run of the commit, shows its log and waits for its end.
func (t *tour) follow(ctx context.Context) (found, error) {
	r, err := t.runOf(ctx, t.commit)
	if err != nil {
		return found{}, err
	}
	t.run = r.Number
	if err := t.live(ctx, t.root, filepath.Join(t.bin, "towpath"), "run", "logs", "-f", fmt.Sprint(t.run)); err != nil {
		return found{}, err
	}
	return t.ended(ctx)
}

type run struct {
	Number int64  `json:"number"`
	Commit string `json:"commit"`
	State  string `json:"state"`
	Result string `json:"result"`
}

func (t *tour) runOf(ctx context.Context, commit string) (run, error) {
	var got run
	err := until(ctx, 30*time.Second, "a run of commit "+commit[:12], func() (bool, error) {
		var all []run
		if err := t.read(ctx, &all, "run", "list"); err != nil {
			return false, err
		}
		i := slices.IndexFunc(all, func(r run) bool { return r.Commit == commit })
		if i >= 0 {
			got = all[i]
		}
		return i >= 0, nil
	})
	return got, err
}

func (t *tour) ended(ctx context.Context) (found, error) {
	var r struct {
		run
		Stages []struct {
			span
			Name   string `json:"name"`
			Result string `json:"result"`
		} `json:"stages"`
	}
	err := until(ctx, time.Minute, "the end of the run", func() (bool, error) {
		err := t.read(ctx, &r, "run", "show", fmt.Sprint(t.run))
		return err == nil && r.Result != "", err
	})
	if err != nil {
		return found{}, err
	}
	if r.Result != "Succeeded" {
		return found{}, fmt.Errorf("run %d ended %s; see %s/projects/shop/runs/%d", t.run, r.Result, t.server, t.run)
	}
	var stages []any
	for _, s := range r.Stages {
		stages = append(stages, map[string]any{"name": s.Name, "result": s.Result, "seconds": s.seconds()})
	}
	return found{detail: fmt.Sprintf("run %d %s", t.run, r.Result), evidence: map[string]any{"run": t.run, "result": r.Result, "stages": stages}}, nil
}

func (t *tour) tests(ctx context.Context) (found, error) {
	var r struct {
		Tests []struct {
			Title                          string
			Total, Passed, Failed, Skipped int
		} `json:"tests"`
	}
	if err := t.read(ctx, &r, "run", "show", fmt.Sprint(t.run)); err != nil {
		return found{}, err
	}
	total, passed := 0, 0
	for _, s := range r.Tests {
		total, passed = total+s.Total, passed+s.Passed
	}
	if total == 0 || passed != total {
		return found{}, fmt.Errorf("run %d shows %d tests, %d passed", t.run, total, passed)
	}
	return found{detail: fmt.Sprintf("%d of %d passed", passed, total), evidence: map[string]any{"total": total, "passed": passed}}, nil
}

func (t *tour) image(ctx context.Context) (found, error) {
	var all []image
	if err := t.read(ctx, &all, "image", "list"); err != nil {
		return found{}, err
	}
	t.images = nil
	evidence := map[string]any{}
	for _, i := range all {
		if i.Run == t.run {
			t.images = append(t.images, i)
			evidence[i.Repository] = i.Digest
		}
	}
	if len(t.images) != 4 {
		return found{}, fmt.Errorf("run %d pushed %d images, not 4", t.run, len(t.images))
	}
	return found{detail: "4 images", evidence: evidence}, nil
}

func (t *tour) trace(ctx context.Context) (found, error) {
	b, err := t.towpath(ctx, "trace", "pod/"+t.pod, "-o", "json")
	if err != nil {
		return found{}, err
	}
	var chain map[string]any
	if err := json.Unmarshal(b, &chain); err != nil {
		return found{}, err
	}
	wanted := []string{t.commit, fmt.Sprintf("run:%d", t.run), "release:shop/production/"}
	for _, w := range wanted {
		if !bytes.Contains(b, []byte(w)) {
			return found{}, fmt.Errorf("the chain of pod %s does not name %s", t.pod, w)
		}
	}
	return found{detail: "pod " + t.pod + " leads back to commit " + t.commit[:12], evidence: map[string]any{"chain": chain}}, nil
}

func (t *tour) logbook(ctx context.Context) (found, error) {
	var r struct {
		OK     bool   `json:"ok"`
		Events int64  `json:"events"`
		Head   string `json:"head"`
	}
	if err := t.read(ctx, &r, "log", "verify"); err != nil {
		return found{}, err
	}
	if !r.OK {
		return found{}, errors.New("the logbook is broken")
	}
	return found{detail: fmt.Sprintf("%d events, the chain is whole", r.Events), evidence: map[string]any{"events": r.Events, "head": r.Head}}, nil
}

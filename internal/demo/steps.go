package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// image is an image as the command line shows it.
type image struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Run        int64  `json:"run"`
}

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

// report is an image's evidence as the command line shows it.
type report struct {
	Referrers []struct {
		ArtifactType string `json:"artifact_type"`
		Digest       string `json:"digest"`
	} `json:"referrers"`
	Report *struct {
		Scanned bool `json:"scanned"`
		Verdict struct {
			Status     string
			Critical   int
			High       int
			Packages   int
			Advisories time.Time
		} `json:"verdict"`
		Packages   []any `json:"packages"`
		Documents  []struct{ Kind, Digest string }
		Signatures []struct {
			Digest, Identity string
			Verified         bool
		}
		Provenance *struct {
			Digest    string
			Verified  bool
			Statement json.RawMessage
		}
	} `json:"report"`
}

// eachImage reads the report of every image, waiting for it as long as the product
// promises and some more, and keeps what take finds in it.
func (t *tour) eachImage(ctx context.Context, take func(report) (any, error)) (map[string]any, error) {
	out := map[string]any{}
	for _, i := range t.images {
		err := until(ctx, 30*time.Second, i.Repository, func() (bool, error) {
			var r report
			if err := t.read(ctx, &r, "image", "show", i.Repository+"@"+i.Digest); err != nil {
				return false, err
			}
			if r.Report == nil {
				return false, errors.New("there is no report yet")
			}
			v, err := take(r)
			out[i.Repository] = v
			return err == nil, err
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (t *tour) sbom(ctx context.Context) (found, error) {
	packages := 0
	evidence, err := t.eachImage(ctx, func(r report) (any, error) {
		docs := map[string]string{}
		for _, d := range r.Report.Documents {
			docs[d.Kind] = d.Digest
		}
		if docs["spdx"] == "" || docs["cyclonedx"] == "" || len(r.Report.Packages) == 0 {
			return nil, errors.New("the SBOMs are missing")
		}
		packages = len(r.Report.Packages)
		return map[string]any{"spdx": docs["spdx"], "cyclonedx": docs["cyclonedx"], "packages": len(r.Report.Packages)}, nil
	})
	return found{detail: fmt.Sprintf("SPDX and CycloneDX of each image, %d packages in the last", packages), evidence: evidence}, err
}

func (t *tour) scan(ctx context.Context) (found, error) {
	status := ""
	evidence, err := t.eachImage(ctx, func(r report) (any, error) {
		if !r.Report.Scanned {
			return nil, errors.New("the image is not scanned yet")
		}
		v := r.Report.Verdict
		status = fmt.Sprintf("%s, advisory data of %s", v.Status, v.Advisories.Format(time.DateOnly))
		return map[string]any{"status": v.Status, "critical": v.Critical, "high": v.High, "packages": v.Packages, "advisories": v.Advisories}, nil
	})
	return found{detail: status, evidence: evidence}, err
}

func (t *tour) sign(ctx context.Context) (found, error) {
	identity := ""
	evidence, err := t.eachImage(ctx, func(r report) (any, error) {
		for _, s := range r.Report.Signatures {
			if s.Verified && r.Report.Provenance != nil && r.Report.Provenance.Verified && bytes.Contains(r.Report.Provenance.Statement, []byte(t.commit)) {
				identity = s.Identity
				return map[string]any{"signature": s.Digest, "identity": s.Identity, "provenance": r.Report.Provenance.Digest}, nil
			}
		}
		return nil, errors.New("there is no valid signature and provenance that names the commit")
	})
	if err != nil {
		return found{evidence: evidence}, err
	}
	worst, err := t.afterPush(ctx)
	evidence["seconds_after_push"] = worst
	return found{detail: fmt.Sprintf("signed by %s, provenance names the commit; the last document came %.1f s after its push", identity, worst), evidence: evidence}, err
}

// afterPush reads in the logbook how long after its push the last document about an
// image of the run was there: the worst of all images, in seconds.
func (t *tour) afterPush(ctx context.Context) (float64, error) {
	var all []struct {
		Time    time.Time
		Type    string
		Payload struct {
			Image  string
			Digest string
		}
	}
	if err := t.read(ctx, &all, "log", "list", "--limit", "1000"); err != nil {
		return 0, err
	}
	pushed, last := map[string]time.Time{}, map[string]time.Time{}
	for _, e := range all {
		switch e.Type {
		case "image.pushed":
			pushed[e.Payload.Digest] = e.Time
		case "sbom.created", "scan.finished", "image.signed", "provenance.created":
			if e.Time.After(last[e.Payload.Image]) {
				last[e.Payload.Image] = e.Time
			}
		}
	}
	worst := 0.0
	for _, i := range t.images {
		p, ok := pushed[i.Digest]
		if !ok || last[i.Digest].IsZero() {
			return 0, fmt.Errorf("the logbook does not tell when %s was pushed and described", i.Repository)
		}
		worst = max(worst, last[i.Digest].Sub(p).Seconds())
	}
	return worst, nil
}

// release is the environment's current release as the command line shows it.
type release struct {
	Number int64    `json:"number"`
	Run    int64    `json:"run"`
	Images []string `json:"images"`
	Hosts  []string `json:"hosts"`
	Result string   `json:"result"`
	Pods   []struct {
		UID   string `json:"uid"`
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	} `json:"pods"`
}

func (t *tour) current(ctx context.Context) (release, error) {
	var env struct {
		Current *release `json:"current"`
	}
	if err := t.read(ctx, &env, "env", "show", "production"); err != nil {
		return release{}, err
	}
	if env.Current == nil {
		return release{}, errors.New("environment production has no release")
	}
	return *env.Current, nil
}

func (t *tour) deploy(ctx context.Context) (found, error) {
	r, err := t.current(ctx)
	if err != nil {
		return found{}, err
	}
	if r.Run != t.run || r.Result != "deployed" || len(r.Pods) < 4 {
		return found{}, fmt.Errorf("release %d is of run %d, %s, with %d pods", r.Number, r.Run, r.Result, len(r.Pods))
	}
	for _, i := range r.Images {
		if !strings.Contains(i, "@sha256:") {
			return found{}, fmt.Errorf("image %s is not deployed by digest", i)
		}
	}
	t.pod = r.Pods[0].Name
	running, err := t.towpath(ctx, "kubectl", "get", "pods", "-A", "-o", "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.phase} {.spec.containers[0].image}{\"\\n\"}{end}")
	if err != nil {
		return found{}, err
	}
	return found{
		detail:   fmt.Sprintf("release production/%d, %d pods", r.Number, len(r.Pods)),
		evidence: map[string]any{"release": r.Number, "images": r.Images, "pods": r.Pods, "kubectl": strings.Split(strings.TrimSpace(string(running)), "\n")},
	}, nil
}

// builds asks the shop through the front door which builds answer.
func (t *tour) builds(ctx context.Context) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.door+"/api/shop", nil)
	if err != nil {
		return nil, err
	}
	// The name shop.localhost is loopback everywhere, but not every resolver knows it.
	req.Host = "shop.localhost"
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var got struct {
		Services []struct{ Service, Build string }
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the shop answers %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&got); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, s := range got.Services {
		out[s.Service] = s.Build
	}
	return out, nil
}

// serves waits until all four services answer with the build of a commit.
func (t *tour) serves(ctx context.Context, commit string, limit time.Duration) (map[string]string, error) {
	var got map[string]string
	err := until(ctx, limit, "build "+commit[:12]+" to serve", func() (bool, error) {
		var err error
		if got, err = t.builds(ctx); err != nil {
			return false, err
		}
		for _, s := range []string{"web", "catalog", "cart", "pricing"} {
			if got[s] != commit {
				return false, fmt.Errorf("%s answers with build %q", s, got[s])
			}
		}
		return true, nil
	})
	return got, err
}

func (t *tour) serving(ctx context.Context) (found, error) {
	got, err := t.serves(ctx, t.commit, time.Minute)
	return found{detail: fmt.Sprintf("all four services answer with build %.12s", t.commit), evidence: map[string]any{"builds": got, "url": "http://shop.localhost" + t.door[strings.LastIndexByte(t.door, ':'):]}}, err
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

func (t *tour) secondPush(ctx context.Context) (found, error) {
	path := filepath.Join(t.work, "shop", "README.md")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return found{}, err
	}
	_, err = fmt.Fprintf(f, "\nChanged by the demo at %s.\n", time.Now().UTC().Format(time.RFC3339))
	if err := errors.Join(err, f.Close()); err != nil {
		return found{}, err
	}
	if _, err := t.git(ctx, "commit", "-q", "-am", "Say when the demo ran"); err != nil {
		return found{}, err
	}
	start := time.Now()
	if _, err := t.git(ctx, "push", "-q", "origin", "main"); err != nil {
		return found{}, err
	}
	pushed := time.Since(start).Seconds()
	head, err := t.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return found{}, err
	}
	t.commit = strings.TrimSpace(string(head))
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
	f2, err := t.ended(ctx)
	if err != nil {
		return found{}, err
	}
	if rel, err := t.current(ctx); err == nil && len(rel.Pods) > 0 {
		t.pod = rel.Pods[0].Name
	}
	shares := map[string]any{"push": pushed, "stages": f2.evidence["stages"], "steps": t.steps(ctx), "total": total}
	return found{
		detail:   fmt.Sprintf("git push to serving in %.1f s", total),
		evidence: map[string]any{"commit": t.commit, "run": t.run, "builds": builds, "shares": shares}, seconds: total,
	}, nil
}

// span is from when to when a part of a run went on.
type span struct {
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
}

func (s span) seconds() float64 { return s.Finished.Sub(s.Started).Seconds() }

// steps lists how long each step of the run took, in their order.
func (t *tour) steps(ctx context.Context) []map[string]any {
	var r struct {
		Stages []struct {
			Jobs []struct {
				Name  string
				Steps []struct {
					span
					Display string `json:"display_name"`
				}
			}
		}
	}
	if t.read(ctx, &r, "run", "show", fmt.Sprint(t.run)) != nil {
		return nil
	}
	var out []map[string]any
	for _, s := range r.Stages {
		for _, j := range s.Jobs {
			for _, p := range j.Steps {
				out = append(out, map[string]any{"job": j.Name, "step": p.Display, "seconds": p.seconds()})
			}
		}
	}
	return out
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

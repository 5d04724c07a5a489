package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Options of a demonstration.
type Options struct {
	Once   bool   // take everything down at the end
	Report string // where the steps are written as JSON
	Data   string // folder of the installation; "" chooses one
}

// Step is one step of the loop as it went.
type Step struct {
	Name     string         `json:"name"`
	Status   string         `json:"status"` // ok, failed
	Seconds  float64        `json:"seconds"`
	Detail   string         `json:"detail"`
	Evidence map[string]any `json:"evidence"`
}

// Report is build/demo.json.
type Report struct {
	Steps   []Step  `json:"steps"`
	Seconds float64 `json:"seconds"`
}

// found is what a step says when it went well.
type found struct {
	detail   string
	evidence map[string]any
	seconds  float64 // when the step measured itself; else its wall time counts
}

// tour is a demonstration under way.
type tour struct {
	Options
	out    io.Writer
	root   string // the checkout
	bin    string
	work   string // temporary folder for the sample's clone and the command line's contexts
	report Report

	server, token, door string
	commit              string
	run                 int64
	pushed              time.Time
	images              []image
	pod                 string

	reviewer, reviewToken string
	branch                string
	pull                  int64
	refused               string  // id of the decision about the pull request
	verdict               refusal // what it said
	pager                 *pager  // who is told of alerts

	traffic  *shoppers // who visit while canaries are tried
	serving0 int64     // release that served before the regression
	broken   string    // commit of the regression
	fixed    string    // commit of its fix
	item     int64     // that the platform opened about it
}

// Run goes through the loop. It returns an error when a step failed; the report is
// written all the same.
func Run(ctx context.Context, o Options, out io.Writer) (err error) {
	t := &tour{Options: o, out: out}
	if t.root, err = os.Getwd(); err != nil {
		return err
	}
	t.bin = filepath.Join(t.root, "bin")
	if t.work, err = os.MkdirTemp("", "towpath-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.work)) }()
	if err := t.place(); err != nil {
		return err
	}
	start := time.Now()
	failed := t.walk(ctx)
	t.report.Seconds = time.Since(start).Seconds()
	if o.Once || failed != nil {
		failed = errors.Join(failed, t.takeDown())
	}
	if err := t.write(); err != nil {
		return errors.Join(failed, err)
	}
	if failed == nil && !o.Once {
		t.farewell()
	}
	return failed
}

// place chooses the folder of the installation. It must be short, because sockets live
// in it.
func (t *tour) place() error {
	switch {
	case t.Data != "":
		var err error
		t.Data, err = filepath.Abs(t.Data)
		return err
	case t.Once:
		dir, err := os.MkdirTemp("", "tp-")
		t.Data = dir
		return err
	}
	t.Data = "/var/lib/towpath-demo"
	return nil
}

type stage struct {
	name string
	what string // what it does, for the one who waits
	do   func(ctx context.Context) (found, error)
}

func (t *tour) stages() []stage {
	return []stage{
		{"build", "building Towpath and the embedded Kubernetes (cold: about 15 minutes)", t.build},
		{"start", "starting the server", t.start},
		{"cluster-ready", "waiting for Kubernetes", t.clusterReady},
		{"first-pod", "running a first pod", t.firstPod},
		{"push", "pushing examples/shop", t.push},
		{"run", "running azure-pipelines.yml", t.follow},
		{"test-results", "reading the test results", t.tests},
		{"image", "reading the images", t.image},
		{"sbom", "reading the SBOMs", t.sbom},
		{"scan", "reading the scans", t.scan},
		{"sign", "verifying the signatures", t.sign},
		{"deploy", "reading the release", t.deploy},
		{"serving", "asking the shop through the front door", t.serving},
		{"trace", "tracing a pod back to its commit", t.trace},
		{"second-push", "pushing a change and waiting until it serves", t.secondPush},
		{"secret-refused", "pushing a private key", t.secretRefused},
		{"pull-request-denied", "proposing a privileged container", t.pullRequestDenied},
		{"kubectl-denied", "applying the same manifest by kubectl", t.kubectlDenied},
		{"fix-allowed", "mending the proposal", t.fixAllowed},
		{"merged", "reviewing, merging, and waiting until it serves", t.merged},
		{"compliance", "reading the verdicts on everything that runs", t.compliance},
		{"logs-query", "asking logs, requests and the cluster's inventory in KQL", t.logsAsked},
		{"metrics-query", "asking metrics in PromQL", t.metricsAsked},
		{"trace-query", "following one request through the services", t.traceAsked},
		{"alert-fired", "making a pod crash, and waiting for the alert", t.alertFired},
		{"alert-resolved", "mending it, and waiting for the end of the alert", t.alertResolved},
		{"dev-session", "running cart here, inside the environment development", t.devSession},
		{"canary", "pushing a regression that only traffic shows", t.canary},
		{"regression-found", "comparing the canary with its baseline", t.regressionFound},
		{"rolled-back", "taking it back", t.rolledBack},
		{"work-item-opened", "reading the item that the platform opened", t.itemOpened},
		{"fix-shipped", "pushing the fix", t.fixShipped},
		{"work-item-closed", "waiting until the item closes by itself", t.itemClosed},
		{"trace-full", "following the item to its commits, and exporting the chain", t.traceFull},
		{"logbook", "verifying the logbook", t.logbook},
	}
}

// walk does the stages until one fails.
func (t *tour) walk(ctx context.Context) error {
	all := t.stages()
	for i, s := range all {
		fmt.Fprintf(t.out, "[%2d/%d] %-20s %s\n", i+1, len(all), s.name, s.what)
		start := time.Now()
		f, err := s.do(ctx)
		step := Step{Name: s.name, Status: "ok", Seconds: time.Since(start).Seconds(), Detail: f.detail, Evidence: f.evidence}
		if f.seconds > 0 {
			step.Seconds = f.seconds
		}
		if step.Evidence == nil {
			step.Evidence = map[string]any{}
		}
		if err != nil {
			step.Status, step.Detail = "failed", err.Error()
		}
		t.report.Steps = append(t.report.Steps, step)
		fmt.Fprintf(t.out, "        %-20s %s in %.1f s: %s\n", "", step.Status, step.Seconds, step.Detail)
		if err != nil {
			return fmt.Errorf("step %s: %w", s.name, err)
		}
	}
	return nil
}

func (t *tour) write() error {
	b, err := json.MarshalIndent(t.report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.Options.Report), 0o755); err != nil {
		return err
	}
	return os.WriteFile(t.Options.Report, append(b, '\n'), 0o644)
}

// takeDown stops Towpath, and removes what --once made.
func (t *tour) takeDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	fmt.Fprintln(t.out, "taking everything down")
	_, err := t.towpath(ctx, "down", "--data", t.Data)
	if !t.Once || err != nil {
		return err
	}
	if config := filepath.Join(t.Data, "kube", "cluster.json"); exists(config) {
		if _, rerr := t.command(ctx, t.root, filepath.Join(t.bin, "towpath-kube"), "reset", "--config", config); rerr != nil {
			return rerr
		}
	}
	return os.RemoveAll(t.Data)
}

func (t *tour) farewell() {
	password, err := os.ReadFile(filepath.Join(t.Data, "admin-password"))
	if err != nil {
		password = []byte("in " + filepath.Join(t.Data, "admin-password"))
	}
	fmt.Fprintf(t.out, `
Towpath is up.
  Path page   %s/projects/shop      (user admin, password %s)
  The shop    http://shop.localhost%s
  Try         bin/towpath trace pod/%s --project shop
              bin/towpath kubectl get pods -A
  Stop        bin/towpath down --data %s
`, t.server, strings.TrimSpace(string(password)), t.door[strings.LastIndexByte(t.door, ':'):], t.pod, t.Data)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

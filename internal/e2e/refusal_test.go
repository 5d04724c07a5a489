package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/policy"
)

// inChart puts text in the place of some of the project's chart.
func (p *project) inChart(from, to string) {
	p.t.Helper()
	const name = "chart/templates/app.yaml"
	b, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	if n := strings.Count(string(b), from); n != 1 {
		p.t.Fatalf("%s holds %q %d times", name, from, n)
	}
	p.write(name, strings.Replace(string(b), from, to, 1))
}

// inLog is the identifier of a decision that a run's log names.
var inLog = regexp.MustCompile(`decision ([0-9A-HJKMNP-TV-Z]{26})`)

// wantDecision wants that a decision is about a run, and that the run's trace shows it.
func (p *project) wantDecision(id string, run int64, commit, assignment, reference string) policy.Decision {
	p.t.Helper()
	var d policy.Decision
	if err := p.read(&d, "policy", "decision", id); err != nil {
		p.t.Fatal(err)
	}
	if d.Run != run || d.Commit != commit || d.Actor != fmt.Sprintf("run:%d", run) || d.Project != p.name || d.Environment != "production" ||
		!strings.Contains(d.Job, "Production") || !refuses(d, assignment, reference) {
		p.t.Errorf("decision %s is %+v, want a refusal of run %d by %s/%s", id, d, run, assignment, reference)
	}
	p.eventually(fmt.Sprintf("the trace of run %d shows decision %s", run, id), func() error {
		var chain json.RawMessage
		if err := p.read(&chain, "trace", fmt.Sprintf("run/%d", run)); err != nil {
			return err
		}
		if !strings.Contains(string(chain), id) {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	return d
}

// TestRefusalInRunLog wants that who reads a run's log learns what refused it, and why.
func TestRefusalInRunLog(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "told")
	good := p.deployed("Good", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(good.Commit)

	t.Run("AtTheGate", func(t *testing.T) {
		q := p.in(t)
		before, err := os.ReadFile(filepath.Join(q.dir, "chart/templates/app.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		q.inChart("allowPrivilegeEscalation: false", "privileged: true")
		run, said := q.refused("Privileged", q.imageStage(), q.helmStage(q.byDigest()))
		q.write("chart/templates/app.yaml", string(before))
		for _, want := range []string{
			"baseline/privileged", "spec.template.spec.containers[name=app].securityContext.privileged", "fix: ", "Policy refuses this release",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("the log does not say %q:\n%s", want, said)
			}
		}
		id := inLog.FindStringSubmatch(said)
		if id == nil {
			t.Fatalf("the log names no decision:\n%s", said)
		}
		if d := q.wantDecision(id[1], run.Number, run.Commit, policy.Baseline, "privileged"); d.Point != policy.PointDeploy {
			t.Errorf("it was decided at %s", d.Point)
		}
		if r := q.latest(); r.Result != deploy.Failed || r.Run != run.Number {
			t.Errorf("the release is %+v", r)
		}
		q.serves(good.Commit)
	})
	// The rule judges pods and not what makes them: the gate lets the Deployment pass, and
	// the API server refuses its pods to the ReplicaSet's controller, long after the run
	// has applied it.
	t.Run("BehindADeployment", func(t *testing.T) {
		q := p.in(t)
		q.onPods("toldnoteam", "production", "!has(object.metadata.labels) || !('team' in object.metadata.labels)", "metadata.labels.team: it is of no use here")
		q.inForce()
		q.refusedSoon("a pod of a team", func() error {
			_, err := q.apply("told", strings.Replace(podOf("team", ""), "  name: team", "  name: team\n  labels: {team: red}", 1))
			return err
		}, "toldnoteam", "toldnoteam")
		q.inChart("labels: {app: app}\n    spec:", "labels: {app: app, team: red}\n    spec:")
		run, said := q.refused("Of a team", q.imageStage(), q.helmStage(q.byDigest()))
		d := q.decided("the refused pods", func(d policy.Decision) bool {
			return d.Run == run.Number && d.Point == policy.PointAdmission && refuses(d, "toldnoteam", "toldnoteam")
		}, "--refused", "--run", fmt.Sprint(run.Number))
		if o := d.Objects[0]; o.Kind != "Pod" || !strings.HasPrefix(o.Name, "app-") || o.Namespace != "told" {
			t.Errorf("it is about %+v", o)
		}
		q.wantDecision(d.ID, run.Number, run.Commit, "toldnoteam", "toldnoteam")
		for _, want := range []string{"its pods are refused", "toldnoteam", "it is of no use here", "fix: Leave it out.", d.ID} {
			if !strings.Contains(said, want) {
				t.Errorf("the log does not say %q:\n%s", want, said)
			}
		}
		if r := q.latest(); r.Result != deploy.RolledBack || r.Run != run.Number {
			t.Errorf("the release is %+v", r)
		}
		q.serves(good.Commit)
	})
}

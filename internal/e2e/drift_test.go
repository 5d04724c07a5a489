package e2e_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/event"
)

// TestDrift changes what was deployed by hand: where drift warns it is told of and stays,
// where it is enforced it is put back.
func TestDrift(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "drifting")
	p.deployed("First", p.imageStage(), p.helmStage(p.byDigest()))
	p.must("env", "edit", "production", "--project", p.name, "--drift", deploy.Warn)
	name, err := p.kubectl("-n", p.name, "get", "deployments", "-o", "jsonpath={.items[0].metadata.name}")
	if err != nil {
		t.Fatal(err)
	}
	replicas := func() string {
		got, err := p.kubectl("-n", p.name, "get", "deployment", name, "-o", "jsonpath={.spec.replicas}")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(got)
	}
	was := replicas()
	if _, err := p.kubectl("-n", p.name, "scale", "deployment", name, "--replicas=0"); err != nil {
		t.Fatal(err)
	}
	var env deploy.Environment
	drifted := func() bool {
		env = deploy.Environment{} // what is left out of an answer is none
		if err := p.read(&env, "env", "show", "production", "--project", p.name); err != nil {
			t.Fatal(err)
		}
		return len(env.Drifted) > 0
	}
	p.soon("the drift is found", drifted)
	if d := env.Drifted[0]; !strings.HasSuffix(d.Object, "/"+name) || !slices.Equal(d.Fields, []string{"spec.replicas"}) {
		t.Errorf("the drift is %+v", d)
	}
	if got := replicas(); got != "0" {
		t.Errorf("a warning put %s replicas back", got)
	}
	p.must("env", "edit", "production", "--project", p.name, "--drift", deploy.Enforce)
	p.soon("the drift is put back", func() bool { return replicas() == was && !drifted() })
	if _, err := p.kubectl("-n", p.name, "delete", "deployment", name); err != nil {
		t.Fatal(err)
	}
	p.soon("the Deployment is there again", func() bool {
		_, err := p.kubectl("-n", p.name, "get", "deployment", name)
		return err == nil && !drifted()
	})
	if found, mended := p.driftsSaid(); found != 1 || mended != 2 {
		t.Errorf("the logbook has %d drifts found and %d mended, want 1 and 2", found, mended)
	}
}

// driftsSaid counts what the logbook says of drifts of the project.
func (p *project) driftsSaid() (found, mended int) {
	p.t.Helper()
	var events []event.Event
	if err := p.read(&events, "log", "list", "--project", p.name, "--type", event.TypeDriftFound); err != nil {
		p.t.Fatal(err)
	}
	for _, e := range events {
		var d event.DriftFound
		if err := e.Into(&d); err != nil {
			p.t.Fatal(err)
		}
		if d.Mended {
			mended++
		} else {
			found++
		}
	}
	return found, mended
}

// soon waits until something is so.
func (p *project) soon(what string, so func() bool) {
	p.t.Helper()
	p.eventually(what, func() error {
		if !so() {
			return errors.New("not yet")
		}
		return nil
	})
}

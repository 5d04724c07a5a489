package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy"
)

// TestAdopted deploys from a second server to the same cluster as one that somebody
// else runs: by its kubeconfig, impersonating the run. It runs alone,
// because the policies of the second server hold in the whole cluster as well.
func TestAdopted(t *testing.T) {
	owner := newProject(t, shared, "stock")
	built := owner.deployed("Image", owner.imageStage())
	image := shared.registry() + "/stock/app@" + built.Stages[0].Jobs[0].Outputs["app.digest"]

	second, err := bare(shared.place)
	if err != nil {
		t.Fatal(err)
	}
	node, err := owner.kubectl("get", "nodes", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	if err != nil {
		t.Fatal(err)
	}
	free, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(free)
	if err != nil {
		t.Fatal(err)
	}
	second.args = append(second.args, "--pods-listen", net.JoinHostPort(strings.TrimSpace(node), port))
	second.args = append(second.args, "--cluster", "adopted", "--kubeconfig", filepath.Join(shared.data, "kube", "admin.kubeconfig"))
	second.door = shared.door
	t.Cleanup(func() {
		// What it wrote into the cluster would hold on without it.
		for _, name := range []string{"baseline", "supply-chain"} {
			if _, err := second.command(nil, "policy", "unassign", name); err != nil {
				t.Errorf("unassigning %s: %v", name, err)
			}
		}
		err := until("the second server's policies are gone", func() error {
			var s struct{ Enforcement struct{ Policies int } }
			if err := second.read(&s, "policy", "status"); err != nil || s.Enforcement.Policies == 0 {
				return err
			}
			return fmt.Errorf("%d policies are left", s.Enforcement.Policies)
		})
		if err := errors.Join(err, second.remove()); err != nil {
			t.Errorf("taking the second server away: %v", err)
		}
	})
	if err := second.start(); err != nil {
		t.Fatal(err)
	}
	p := newProject(t, second, "guest")
	run := p.deployed("By impersonation", p.helmStage(image))
	p.serves(built.Commit)
	if r := p.environment("production").Current; r == nil || r.Result != deploy.Deployed || r.Run != run.Number || len(r.Pods) != 1 || !r.Pods[0].Ready {
		t.Errorf("the release is %+v", r)
	}
	wantAudit(t, p, fmt.Sprintf("towpath:run:%d", run.Number), "guest", run)

	t.Run("PoliciesBesideOurs", func(t *testing.T) {
		var before, after [2]struct {
			Enforcement struct {
				Policies int
				Drift    int64
				Error    string
			}
		}
		servers := []*installation{shared, second}
		for i, s := range servers {
			err := until("the policies in force", func() error {
				if err := s.read(&before[i], "policy", "status"); err != nil {
					return err
				}
				if e := before[i].Enforcement; e.Policies == 0 || e.Error != "" {
					return fmt.Errorf("%+v", e)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		// Each would have undone the other's within a second.
		owner.deployed("Deploy", owner.imageStage(), owner.helmStage(owner.byDigest()))
		for i, s := range servers {
			if err := s.read(&after[i], "policy", "status"); err != nil {
				t.Fatal(err)
			}
			if after[i] != before[i] {
				t.Errorf("server %d undid what the other wrote: %+v, before %+v", i, after[i], before[i])
			}
		}
	})
	t.Run("AJobInAPod", func(t *testing.T) {
		// The node has nothing that opens the second server's registry but what comes with the pod.
		box := &inPods{project: newProject(t, shared, "toolbox")}
		box.withTools()
		tools := shared.registry() + "/toolbox/app:" + fmt.Sprint(box.deployed("An image with tools", box.imageStage()).Number)
		q := newProject(t, second, "podded")
		q.must("pool", "edit", "Kubernetes", "--namespace", "podded-agents")
		run := q.deployed("In a pod", "\n  - stage: Pod\n    jobs:\n      - job: Inside\n        container: "+tools+"\n        steps:\n          - checkout: self\n            fetchDepth: 1\n          - bash: cat Dockerfile && echo in a pod of another cluster\n")
		if log := q.log(run.Number); !strings.Contains(log, "in a pod of another cluster") || !strings.Contains(log, "FROM scratch") {
			t.Errorf("the log of the job:\n%s", log)
		}
	})
	t.Run("NamespaceThatIsNotOurs", func(t *testing.T) {
		if _, err := p.kubectl("create", "namespace", "theirs"); err != nil {
			t.Fatal(err)
		}
		q := newProject(t, second, "theirs")
		_, said := q.refused("Take over", q.helmStage(image))
		if !strings.Contains(said, "Namespace theirs exists in the cluster and does not belong to environment production of project theirs") {
			t.Errorf("the refusal says:\n%s", said)
		}
	})
	t.Run("NamespaceOfAnotherInstallation", func(t *testing.T) {
		// Both servers have a project stock, and neither knows the other's.
		owner.deployed("Deploy", owner.imageStage(), owner.helmStage(owner.byDigest()))
		q := newProject(t, second, "stock")
		_, said := q.refused("Take over", q.helmStage(image))
		if !strings.Contains(said, "Namespace stock belongs to another Towpath installation on this cluster") {
			t.Errorf("the refusal says:\n%s", said)
		}
	})
}

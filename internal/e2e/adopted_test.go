package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy"
)

// TestAdopted deploys from a second server to the same cluster as one that somebody
// else runs: by its kubeconfig, impersonating the run. It runs alone: both servers write
// the policies of the one cluster under the same names, and each puts back what the other
// has written, so that what holds there is now the one's and now the other's.
func TestAdopted(t *testing.T) {
	owner := newProject(t, shared, "stock")
	built := owner.deployed("Image", owner.imageStage())
	image := shared.registry() + "/stock/app@" + built.Stages[0].Jobs[0].Outputs["app.digest"]

	second, err := bare(shared.place)
	if err != nil {
		t.Fatal(err)
	}
	second.args = append(second.args, "--cluster", "adopted", "--kubeconfig", filepath.Join(shared.data, "kube", "admin.kubeconfig"))
	second.door = shared.door
	t.Cleanup(func() {
		if err := second.remove(); err != nil {
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

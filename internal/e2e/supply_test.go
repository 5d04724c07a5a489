package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	imagerandom "github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
)

// repoint makes a tag of the project's image name another image, that no pipeline built,
// and returns its digest.
func (p *project) repoint(tag string) string {
	p.t.Helper()
	ref, err := name.ParseReference(p.registry()+"/"+p.name+"/app:"+tag, name.Insecure)
	if err != nil {
		p.t.Fatal(err)
	}
	other, err := imagerandom.Image(2048, 1)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := remote.Write(ref, other, remote.WithAuth(&authn.Basic{Username: "admin", Password: p.token})); err != nil {
		p.t.Fatal(err)
	}
	digest, err := other.Digest()
	if err != nil {
		p.t.Fatal(err)
	}
	got, err := remote.Head(ref, remote.WithAuth(&authn.Basic{Username: "admin", Password: p.token}))
	if err != nil || got.Digest != digest {
		p.t.Fatalf("the tag names %+v, %v", got, err)
	}
	return digest.String()
}

// TestTagMoved re-points a tag after the release that named it was judged: what was judged
// is what runs, also when the pod is made anew and its image is pulled again.
func TestTagMoved(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "moved")
	p.inChart("image: {{ .Values.image | quote }}", "image: {{ .Values.image | quote }}\n          imagePullPolicy: Always")
	run := p.deployed("By tag", p.imageStage(), p.helmStage(p.byTag()))
	digest := run.Stages[0].Jobs[0].Outputs["app.digest"]
	tag := fmt.Sprint(run.Number)
	judged := p.registry() + "/moved/app@" + digest

	other := p.repoint(tag)
	if r := p.environment("production").Current; r == nil || !slices.Equal(r.Images, []string{judged}) {
		t.Errorf("the release is %+v, want image %s", r, judged)
	}
	out, err := p.kubectl("-n", "moved", "get", "deployment", "app", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	if err != nil || out != judged {
		t.Errorf("the Deployment runs %q, %v", out, err)
	}
	if _, err := p.kubectl("-n", "moved", "delete", "pods", "--all", "--grace-period=1"); err != nil {
		t.Fatal(err)
	}
	p.serves(run.Commit)
	p.eventually("the new pod runs what was judged", func() error {
		out, err := p.kubectl("-n", "moved", "get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].imageID}")
		if err == nil && (!strings.HasSuffix(out, "@"+digest) || strings.Contains(out, other)) {
			err = fmt.Errorf("it runs %q", out)
		}
		return err
	})
	d := p.decided("the release", func(d policy.Decision) bool { return d.Point == policy.PointDeploy }, "--run", tag)
	if !d.Allowed {
		t.Errorf("it is %+v", d)
	}
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if v.Assignment == policy.SupplyChain && v.Outcome != rule.Compliant {
				t.Errorf("%s %s by %s: %s %v", o.Kind, o.Name, v.Reference, v.Outcome, v.Violations)
			}
		}
	}

	image := func(name, ref string) string { return strings.Replace(podOf(name, ""), pause, ref, 1) }
	t.Run("Reported", func(t *testing.T) {
		p := p.in(t)
		if _, err := p.apply("moved", image("by-tag", p.registry()+"/moved/app:"+tag)); err != nil {
			t.Fatal(err)
		}
		p.audited("moved", "Pod", "by-tag", policy.SupplyChain+"/digest", rule.Audited)
		p.audited("moved", "Pod", "by-tag", policy.SupplyChain+"/registry", rule.Compliant)
	})
	t.Run("Refused", func(t *testing.T) {
		p := p.in(t)
		const strict = "moved-strict"
		p.must("policy", "assign", "--initiative", policy.SupplyChain, "--name", strict, "--scope", "environment:moved/production", "--effect", "Deny",
			"--parameter", `registries=["`+p.registry()+`"]`)
		p.inForce()
		try := func(ref string) func() error {
			return func() error {
				_, err := p.apply("moved", image("tried", ref))
				return err
			}
		}
		p.refusedSoon("a pod by tag", try(p.registry()+"/moved/app:"+tag), strict, "digest")
		p.refusedSoon("an image of another registry", try("registry.example.com/moved/app@"+digest), strict, "registry")
		p.refusedSoon("a registry whose name begins as ours does", try(p.registry()+"0/moved/app@"+digest), strict, "registry")
		p.refusedSoon("a registry as a folder of another", try("registry.example.com/"+p.registry()+"/moved/app@"+digest), strict, "registry")
		// In the registry and by digest, but no pipeline signed it: only the webhook knows.
		p.refusedSoon("the image that the tag names now", try(p.registry()+"/moved/app@"+other), strict, "verdict")
		p.refusedSoon("it under the name of what was judged", try(p.registry()+"/moved/app:"+tag+"@"+other), strict, "verdict")
		if err := try(judged)(); err != nil {
			t.Errorf("what the pipeline built: %v", err)
		}
	})
}

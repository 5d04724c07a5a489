package deploy

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// The tests of the post-renderer are inside the package: Helm alone calls it.

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

type onlyShop struct{}

func (onlyShop) Require(_ context.Context, _ identity.Actor, project string, _ identity.Role) error {
	if project != "shop" {
		return fault.New(fault.NotFound, "There is no project %s.", project)
	}
	return nil
}

type oneTag struct{}

func (oneTag) Digest(_ context.Context, repository, tag string) (string, error) {
	if repository == "shop/web" && (tag == "12" || tag == "latest") {
		return digest, nil
	}
	return "", fault.New(fault.NotFound, "There is no image %s:%s.", repository, tag)
}

func newPinner() *pinner {
	return &pinner{ctx: context.Background(), registry: "localhost:7080", auth: onlyShop{}, images: oneTag{}}
}

func TestPin(t *testing.T) {
	for _, c := range []struct {
		name, image, want string
		kind              fault.Kind
	}{
		{"TagBecomesDigest", "localhost:7080/shop/web:12", "localhost:7080/shop/web@" + digest, ""},
		{"NoTagIsLatest", "localhost:7080/shop/web", "localhost:7080/shop/web@" + digest, ""},
		{"DigestStays", "localhost:7080/shop/web@" + digest, "localhost:7080/shop/web@" + digest, ""},
		{"TagBesideDigestGoes", "localhost:7080/shop/web:old@" + digest, "localhost:7080/shop/web@" + digest, ""},
		{"ForeignStays", "registry.example.com/shop/web:12", "registry.example.com/shop/web:12", ""},
		{"LookAlikeHostStays", "localhost:70800/shop/web:12", "localhost:70800/shop/web:12", ""},
		{"ErrUnknownTag", "localhost:7080/shop/web:13", "", fault.NotFound},
		{"ErrOtherProject", "localhost:7080/secret/web@" + digest, "", fault.Denied},
		{"ErrOtherProjectSingleSegment", "localhost:7080/secret:12", "", fault.Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := newPinner().pin(c.image)
			if fault.KindOf(err) != c.kind {
				t.Fatalf("pin(%q) = %q, %v; want kind %q", c.image, got, err, c.kind)
			}
			if got != c.want {
				t.Errorf("pin(%q) = %q, want %q", c.image, got, c.want)
			}
		})
	}
}

func TestRunRewritesEveryContainer(t *testing.T) {
	in := `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      initContainers: [{name: a, image: "localhost:7080/shop/web:12"}]
      containers: [{name: b, image: "localhost:7080/shop/web"}, {name: c, image: "example.com/x:1"}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tidy}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: d, image: "localhost:7080/shop/web:12"}]}}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {rules: [{host: shop.localhost}, {host: shop.localhost}]}
---
# nothing but a comment
`
	p := newPinner()
	out, err := p.Run(bytes.NewBufferString(in))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "localhost:7080/shop/web@"+digest); n != 3 {
		t.Errorf("%d images were pinned, want 3:\n%s", n, out)
	}
	if diff := cmp.Diff([]string{"shop.localhost"}, p.hosts); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if len(p.seen) != 2 {
		t.Errorf("images seen: %v, want 2", p.seen)
	}
	if diff := cmp.Diff([]object{{"Deployment", "web"}, {"CronJob", "tidy"}, {"Ingress", "web"}}, p.kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

func TestRunReplacesAndKeeps(t *testing.T) {
	p := newPinner()
	p.keep, p.replace = true, map[string]string{"web": "localhost:7080/shop/web:12"}
	out, err := p.Run(bytes.NewBufferString("kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: web}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"helm.sh/resource-policy: keep", "localhost:7080/shop/web@" + digest} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}

// TestRunAsksTheGateOnce judges everything together, images pinned, and lets nothing pass
// that was refused.
func TestRunAsksTheGateOnce(t *testing.T) {
	in := "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: \"localhost:7080/shop/web:12\"}]}\n---\nkind: Service\nmetadata: {name: b}\n"
	var asked [][]string
	var image string
	no := errors.New("refused")
	p := newPinner()
	p.admit = func(objects []map[string]any) error {
		var names []string
		for _, o := range objects {
			names = append(names, o["kind"].(string))
		}
		asked = append(asked, names)
		image = objects[0]["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"].(string)
		return no
	}
	if _, err := p.Run(bytes.NewBufferString(in)); !errors.Is(err, no) {
		t.Errorf("Run = %v, want the gate's refusal", err)
	}
	if diff := cmp.Diff([][]string{{"Pod", "Service"}}, asked); diff != "" {
		t.Errorf("the gate was asked (-want +got):\n%s", diff)
	}
	if want := "localhost:7080/shop/web@" + digest; image != want {
		t.Errorf("the gate saw image %s, want %s", image, want)
	}
}

func FuzzRun(f *testing.F) {
	f.Add("kind: Pod\nspec: {containers: [{image: localhost:7080/shop/web:12}]}\n")
	f.Add("---\n---\n[]")
	f.Add("containers: {containers: [containers: []]}")
	f.Fuzz(func(t *testing.T, in string) {
		p := newPinner()
		out, err := p.Run(bytes.NewBufferString(in))
		if err != nil {
			return
		}
		// What was pinned once stays as it is.
		again, err := newPinner().Run(bytes.NewBuffer(bytes.Clone(out.Bytes())))
		if err != nil {
			t.Fatalf("the result cannot be read again: %v\n%s", err, out)
		}
		if again.String() != out.String() {
			t.Fatalf("a second pass changes the result:\n%s\n%s", out, again)
		}
	})
}

func TestMerge(t *testing.T) {
	got, err := Chart{
		Values: [][]byte{[]byte("a: {b: 1, c: 2}\nd: x"), []byte("a: {c: 3}\nd: {e: 1}")}, Set: []string{"a.b=9", "f=g,h=i"},
		Overrides: Overrides{
			SetJSON: []string{`j={"k":[1]}`}, SetString: []string{"s=12"}, SetLiteral: []string{"l=a,b=c"}, SetFile: []string{"t=files/x"},
			Given: []File{{Name: "files/x", Data: []byte("text\n")}},
		},
	}.values()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": map[string]any{"b": int64(9), "c": float64(3)}, "d": map[string]any{"e": float64(1)}, "f": "g", "h": "i",
		"j": map[string]any{"k": []any{float64(1)}}, "s": "12", "l": "a,b=c", "t": "text\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("merge (-want +got):\n%s", diff)
	}
	if _, err := (Chart{Values: [][]byte{[]byte("a: [")}}).values(); !fault.Is(err, fault.Invalid) {
		t.Errorf("broken YAML gives %v", err)
	}
	if _, err := (Chart{Set: []string{"novalue"}}).values(); !fault.Is(err, fault.Invalid) {
		t.Errorf("a broken override gives %v", err)
	}
	if _, err := (Chart{Overrides: Overrides{SetFile: []string{"a=/etc/hostname"}}}).values(); !fault.Is(err, fault.Invalid) {
		t.Errorf("a file that did not come along gives %v", err)
	}
}

// TestTestHooks pins the images of what `helm test` alone runs, and leaves them out of the
// release.
func TestTestHooks(t *testing.T) {
	for hooks, want := range map[string]int{"": 1, "test": 0, "test, test-success": 0, "pre-install,test": 1, "pre-install": 1} {
		p := newPinner()
		in := "kind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: '" + hooks + "'}}\nspec: {containers: [{image: 'localhost:7080/shop/web:12'}]}\n"
		out, err := p.Run(bytes.NewBufferString(in))
		if err != nil || !strings.Contains(out.String(), digest) || len(p.seen) != want {
			t.Errorf("hooks %q: %v of the release, %v\n%s", hooks, p.seen, err, out)
		}
	}
}

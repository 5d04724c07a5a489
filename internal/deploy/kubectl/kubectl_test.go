package kubectl_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/deploy/kubectl"
	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
)

// TestParseK022 reads command lines: what kubectl takes is taken, and what would leave the
// job's own namespace, or is not known, is refused by its name.
func TestParseK022(t *testing.T) {
	for _, c := range []struct {
		line    string
		sub     string
		args    string
		options string // "name=value …" that must be set
		refused string // in the error or its next step
	}{
		{line: "get pods -l app=web -o json", args: "pods", options: "selector=app=web output=json"},
		{line: "get deploy/web -ntest", args: "deploy/web", options: "namespace=test"},
		{line: "APPLY -f k8s -R --server-side", options: "filename=k8s recursive=true server-side=true"},
		{line: "set image deploy/web web=r/web:1", sub: "image", args: "deploy/web web=r/web:1"},
		{line: "rollout restart deployment/web", sub: "restart", args: "deployment/web"},
		{line: "create cm settings --from-literal=a=b", sub: "configmap", args: "settings", options: "from-literal=a=b"},
		{line: "create -f x.yaml", options: "filename=x.yaml"},
		{line: "logs -p web-1 --tail 5", args: "web-1", options: "previous=true tail=5"},
		{line: "exec web-1 -- ls -n x", args: "web-1"},
		{line: "delete pods a b --ignore-not-found", args: "pods a b", options: "ignore-not-found=true"},
		{line: "run x --image=i --dry-run -o yaml", args: "x", options: "dry-run=client output=yaml"},
		{line: "login", refused: "no job holds a kubeconfig"},
		{line: "port-forward svc/web 80", refused: "does not run kubectl port-forward"},
		{line: "drain node-1", refused: "operator"},
		{line: "create namespace x", refused: "kubectl create namespace"},
		{line: "get pods --kubeconfig /etc/x", refused: "--kubeconfig"},
		{line: "get pods --as=admin", refused: "--as"},
		{line: "get pods -A", refused: "--all-namespaces"},
		{line: "delete pods --all", refused: "--all"},
		{line: "apply -f x --prune", refused: "--prune"},
		{line: "get pods --frobnicate", refused: "--frobnicate"},
		{line: "logs x -f", refused: "--follow"},
		{line: "exec -it x -- sh", refused: "--stdin"},
		{line: "get pods -o", refused: "has no value"},
		{line: "frobnicate", refused: "it runs annotate, apply"},
	} {
		t.Run("K022 "+c.line, func(t *testing.T) {
			words := strings.Fields(c.line)
			got, err := kubectl.Parse(words[0], words[1:])
			if c.refused != "" {
				message, next := fault.Public(err)
				if !fault.Is(err, fault.Invalid) || !strings.Contains(message+" "+next, c.refused) {
					t.Errorf("%v (%s), want it refused with %q", err, next, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Sub != c.sub || strings.Join(got.Args, " ") != c.args {
				t.Errorf("got %q %q, want %q %q", got.Sub, got.Args, c.sub, c.args)
			}
			for _, o := range strings.Fields(c.options) {
				if name, value, _ := strings.Cut(o, "="); got.Option(name) != value {
					t.Errorf("--%s is %q, want %q", name, got.Option(name), value)
				}
			}
		})
	}
}

// TestTargets reads the words that name objects.
func TestTargets(t *testing.T) {
	for _, c := range []struct {
		line string
		kind string
		want []manifest.Named
		err  bool
	}{
		{"pods", "pods", nil, false},
		{"deploy web api", "", []manifest.Named{{Kind: "deploy", Name: "web"}, {Kind: "deploy", Name: "api"}}, false},
		{"deploy/web svc/web", "", []manifest.Named{{Kind: "deploy", Name: "web"}, {Kind: "svc", Name: "web"}}, false},
		{"deploy/web web", "", nil, true}, {"deploy/", "", nil, true}, {"", "", nil, true},
	} {
		kind, got, err := kubectl.Targets(strings.Fields(c.line))
		if (err != nil) != c.err || kind != c.kind {
			t.Errorf("%q: %q, %v", c.line, kind, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.line, diff)
		}
	}
}

// TestMakeK022 makes the objects of create, run and expose.
func TestMakeK022(t *testing.T) {
	files := func(name string) ([]byte, bool) {
		data, ok := map[string]string{"files/s/app.conf": "x=1\n", "files/s/.env": "# none\nA=1\nB=two\n"}[name]
		return []byte(data), ok
	}
	owner := map[string]any{
		"kind": "Deployment", "metadata": map[string]any{"name": "web"},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
			"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"ports": []any{map[string]any{"containerPort": int64(8080)}}}}}},
		},
	}
	for _, c := range []struct{ line, want, refused string }{
		{line: "create configmap c --from-literal=a=b=c --from-file app.conf=files/s/app.conf --from-env-file=files/s/.env",
			want: "apiVersion: v1\ndata:\n  A: \"1\"\n  B: two\n  a: b=c\n  app.conf: |\n    x=1\nkind: ConfigMap\nmetadata:\n  name: c\n"},
		{line: "create secret generic s --from-literal=a=b", want: "apiVersion: v1\ndata:\n  a: Yg==\nkind: Secret\nmetadata:\n  name: s\ntype: Opaque\n"},
		{line: "create deployment web --image=r/web:1 --replicas=2 --port=80",
			want: "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  labels:\n    app: web\n  name: web\nspec:\n  replicas: 2\n  selector:\n    matchLabels:\n      app: web\n  template:\n    metadata:\n      labels:\n        app: web\n    spec:\n      containers:\n      - image: r/web:1\n        name: web\n        ports:\n        - containerPort: 80\n"},
		{line: "run once --image=r/job@sha256:1 --restart=Never --env A=1 --command -- sh -c x",
			want: "apiVersion: v1\nkind: Pod\nmetadata:\n  labels:\n    run: once\n  name: once\nspec:\n  containers:\n  - command:\n    - sh\n    - -c\n    - x\n    env:\n    - name: A\n      value: \"1\"\n    image: r/job@sha256:1\n    name: once\n  restartPolicy: Never\n"},
		{line: "expose deployment/web --port=80 --target-port=http", want: "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - port: 80\n    protocol: TCP\n    targetPort: http\n  selector:\n    app: web\n"},
		{line: "expose deployment/web --name=front", want: "apiVersion: v1\nkind: Service\nmetadata:\n  name: front\nspec:\n  ports:\n  - port: 8080\n    protocol: TCP\n    targetPort: 8080\n  selector:\n    app: web\n"},
		{line: "create configmap c --from-file=missing", refused: "is not there"},
		{line: "create configmap c --from-literal=a=1 --from-literal=a=2", refused: "twice"},
		{line: "create secret tpm x", refused: "create secret tpm"},
		{line: "run x", refused: "wants one image"},
		{line: "run x --image=i --restart=Sometimes", refused: "Sometimes"},
	} {
		t.Run("K022 "+c.line, func(t *testing.T) {
			words := strings.Fields(c.line)
			call, err := kubectl.Parse(words[0], words[1:])
			if err != nil {
				t.Fatal(err)
			}
			got, err := call.Make(files, owner)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%v, want it refused with %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := yaml.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAssignments splits what is set from what it is set on.
func TestAssignments(t *testing.T) {
	call, err := kubectl.Parse("label", []string{"pods", "a", "b", "tier=x", "old-", "--overwrite"})
	if err != nil {
		t.Fatal(err)
	}
	names, assign, err := call.Assignments()
	if diff := cmp.Diff([][]string{{"pods", "a", "b"}, {"tier=x", "old-"}}, [][]string{names, assign}); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if wait, err := call.Wait("timeout", time.Minute); wait != time.Minute || err != nil {
		t.Errorf("a time-out that nobody gave: %s, %v", wait, err)
	}
}

// FuzzParse wants that no line makes it panic, and that what it takes has no option that picks
// another cluster or user.
func FuzzParse(f *testing.F) {
	for _, line := range []string{"get pods -o json", "exec x -- sh", "create secret generic s --from-literal=a=b", "logs -ntest x", "set image d/x a=b", "-", "get -"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Fields(line)
		if len(words) == 0 {
			return
		}
		call, err := kubectl.Parse(words[0], words[1:])
		if err != nil {
			return
		}
		for _, o := range []string{"kubeconfig", "context", "cluster", "server", "token", "as", "user", "all-namespaces"} {
			if call.Option(o) != "" {
				t.Errorf("%q sets --%s", line, o)
			}
		}
		_, _, _ = call.Targets()
		_, _, _ = call.Assignments()
		_, _ = call.Make(func(string) ([]byte, bool) { return nil, false }, nil)
	})
}

package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/pipeline"
)

const manifest = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: app%s
spec:
  selector:
    matchLabels: {app: app}
  template:
    metadata:
      labels: {app: app}
    spec:
      containers:
        - name: app
          image: %s
`

// TestDelivery follows one push to everything that must come of it.
func TestDelivery(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "line")
	if err := os.Mkdir(filepath.Join(p.dir, "manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.write("manifests/app.yaml", fmt.Sprintf(manifest, "", p.registry()+"/line/app"))
	run := p.deployed("First", p.imageStage(), p.helmStage(p.byDigest()), manifestStage("staging", p.byTag()))
	digest := run.Stages[0].Jobs[0].Outputs["app.digest"]
	image := p.registry() + "/line/app@" + digest

	t.Run("ServesTheCommit", func(t *testing.T) { p.serves(run.Commit) })
	t.Run("ReleaseByDigestWithPods", func(t *testing.T) { wantRelease(t, p, "production", run, image, "http://line.localhost:"+port(p.door)) })
	// The manifest names no tag, the task's input names one: what runs is a digest.
	t.Run("TagBecomesDigest", func(t *testing.T) { wantRelease(t, p, "staging", run, image, "") })
	t.Run("EventNamesPods", func(t *testing.T) { wantReleaseEvent(t, p, run) })
	t.Run("TraceOfPod", func(t *testing.T) { wantTrace(t, p, run, digest) })
	t.Run("AuditNamesTheRun", func(t *testing.T) { wantAudit(t, p, fmt.Sprintf("towpath:run:%d", run.Number), "line", run) })
	t.Run("RightsEndAtTheNamespace", func(t *testing.T) { wantRights(t, p, run.Number) })
	t.Run("CommandLine", func(t *testing.T) { wantCommandLine(t, p) })
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func wantRelease(t *testing.T, p *project, env string, run pipeline.Detail, image, url string) {
	r := p.environment(env).Current
	if r == nil || r.Run != run.Number || r.Commit != run.Commit || r.Result != deploy.Deployed {
		t.Fatalf("the current release of %s is %+v", env, r)
	}
	if !slices.Equal(r.Images, []string{image}) {
		t.Errorf("images %v, want %s", r.Images, image)
	}
	if strings.Join(r.Hosts, " ") != url {
		t.Errorf("URLs %v, want %q", r.Hosts, url)
	}
	there := p.pods(r.Namespace)
	for _, pod := range r.Pods {
		if !pod.Ready || there[pod.UID] != pod.Name {
			t.Errorf("pod %+v is not one of the cluster's ready pods %v", pod, there)
		}
	}
	if len(r.Pods) != 1 || len(there) != 1 {
		t.Errorf("release has pods %v, the cluster %v", r.Pods, there)
	}
}

// fact is an event as `towpath log list` prints it.
type fact struct {
	Type    string          `json:"type"`
	Subject string          `json:"subject"`
	Payload json.RawMessage `json:"payload"`
}

func wantReleaseEvent(t *testing.T, p *project, run pipeline.Detail) {
	var facts []fact
	if err := p.read(&facts, "log", "list", "--project", p.name, "--limit", "200"); err != nil {
		t.Fatal(err)
	}
	uids := slices.Collect(maps.Keys(p.pods("line")))
	for _, f := range facts {
		if f.Type != event.TypeReleaseFinished || f.Subject != "release:line/production/1" {
			continue
		}
		var r event.Release
		if err := json.Unmarshal(f.Payload, &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Pods) != 1 || !slices.Contains(uids, r.Pods[0].UID) || r.Commit != run.Commit || r.Run != run.Number {
			t.Errorf("the event says %+v, the pods are %v", r, uids)
		}
		return
	}
	t.Errorf("no event says how release line/production/1 ended: %v", facts)
}

func wantTrace(t *testing.T, p *project, run pipeline.Detail, digest string) {
	pod := p.environment("production").Current.Pods[0]
	p.eventually("the whole chain of pod "+pod.Name, func() error {
		var chain evidence.Chain
		if err := p.read(&chain, "trace", "pod/"+pod.Name); err != nil {
			return err
		}
		have := map[string][]string{}
		for _, s := range chain.Stations {
			have[s.Kind] = append(have[s.Kind], string(s.Subject))
		}
		for kind, subject := range map[string]string{
			"commit": "commit:" + run.Commit, "run": fmt.Sprintf("run:%d", run.Number), "image": "image:" + digest,
			"release": "release:line/production/1", "pod": "pod:" + pod.UID, "sbom": "", "scan": "", "signature": "", "provenance": "",
		} {
			if len(have[kind]) == 0 || subject != "" && !slices.Contains(have[kind], subject) {
				return fmt.Errorf("%s is %v, want %q (missing: %v)", kind, have[kind], subject, chain.Missing)
			}
		}
		return nil
	})
}

// wantAudit wants that the API server itself noted who wrote: the run, with its job,
// project and commit, and that it wrote nowhere but in its namespace.
func wantAudit(t *testing.T, p *project, user, namespace string, run pipeline.Detail) {
	t.Helper()
	p.eventually("the audit log names "+user, func() error {
		b, err := os.ReadFile(filepath.Join(shared.data, "kube", "audit", "audit.log"))
		if err != nil {
			return err
		}
		type person struct {
			Username string
			Groups   []string
			Extra    map[string][]string
		}
		wrote := map[string]int{}
		for line := range strings.Lines(string(b)) {
			var e struct {
				Verb             string
				User             person
				ImpersonatedUser *person
				ObjectRef        struct{ Resource, Namespace, Name string }
			}
			if json.Unmarshal([]byte(line), &e) != nil {
				continue // The last line may be half written.
			}
			who := e.User
			if e.ImpersonatedUser != nil {
				who = *e.ImpersonatedUser
			}
			if who.Username != user || e.ObjectRef.Namespace != namespace {
				continue
			}
			for key, want := range map[string]string{"run": fmt.Sprint(run.Number), "project": p.name, "commit": run.Commit} {
				if !slices.Equal(who.Extra["towpath.dev/"+key], []string{want}) {
					return fmt.Errorf("%s of %s says %v, want %s", key, line, who.Extra, want)
				}
			}
			if len(who.Extra["towpath.dev/job"]) != 1 {
				return fmt.Errorf("no job in %s", line)
			}
			wrote[e.Verb+" "+e.ObjectRef.Resource]++
		}
		if wrote["patch deployments"] == 0 || wrote["create secrets"] == 0 {
			return fmt.Errorf("it wrote %v", wrote)
		}
		return nil
	})
}

// wantRights asks the API server what the run's identity may do.
func wantRights(t *testing.T, p *project, run int64) {
	for _, c := range []struct {
		what []string
		want string
	}{
		{[]string{"create", "deployments.apps", "-n", "line"}, "yes"},
		{[]string{"get", "secrets", "-n", "line"}, "yes"},
		{[]string{"get", "secrets", "-n", "line-staging"}, "no"}, // The other environment's.
		{[]string{"get", "secrets", "-n", "kube-system"}, "no"},
		{[]string{"create", "pods", "-n", "default"}, "no"},
		{[]string{"create", "namespaces"}, "no"},
		{[]string{"create", "clusterrolebindings.rbac.authorization.k8s.io"}, "no"},
		{[]string{"impersonate", "users"}, "no"},
	} {
		args := append([]string{"auth", "can-i", "--as", fmt.Sprintf("towpath:run:%d", run), "--as-group", "system:authenticated",
			"--as-group", deploy.Group("line", "production")}, c.what...)
		got, _ := p.kubectl(args...) // It exits with 1 for "no".
		if strings.TrimSpace(got) != c.want {
			t.Errorf("can the run %v? %q, want %s", c.what, got, c.want)
		}
	}
}

func wantCommandLine(t *testing.T, p *project) {
	out, err := p.kubectl("get", "pods", "-A")
	if err != nil || !strings.Contains(out, "line-staging") {
		t.Errorf("towpath kubectl get pods -A: %v\n%s", err, out)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config, err := p.command(nil, "kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := p.kubectl("--kubeconfig", file, "get", "nodes", "-o", "name"); err != nil || strings.TrimSpace(out) != "node/towpath" {
		t.Errorf("with the kubeconfig that towpath prints: %v\n%s", err, out)
	}
	var status struct {
		Cluster struct {
			Kind, State, Version string
			FrontDoor            string `json:"front_door"`
			Components           []struct{ Name, State string }
		}
	}
	if err := p.read(&status, "status"); err != nil {
		t.Fatal(err)
	}
	if c := status.Cluster; c.Kind != "embedded" || c.State != "ready" || c.FrontDoor != "http://"+p.door || len(c.Components) < 8 || !strings.HasPrefix(c.Version, "v1.") {
		t.Errorf("status says %+v", c)
	}
}

// TestBorders tries to deploy what belongs to others, and where others are.
func TestBorders(t *testing.T) {
	t.Parallel()
	owner := newProject(t, shared, "owner")
	run := owner.deployed("First", owner.imageStage())
	digest := run.Stages[0].Jobs[0].Outputs["app.digest"]

	t.Run("ImageOfAnotherProject", func(t *testing.T) {
		p := newProject(t, shared, "attacker")
		_, said := p.refused("Steal", p.helmStage(p.registry()+"/owner/app@"+digest))
		if !strings.Contains(said, "belongs to project owner, which this run may not read") {
			t.Errorf("the refusal says:\n%s", said)
		}
		if got := p.pods("attacker"); len(got) != 0 {
			t.Errorf("pods came up: %v", got)
		}
	})
	t.Run("ObjectInAnotherNamespace", func(t *testing.T) {
		p := newProject(t, shared, "trespasser")
		if err := os.Mkdir(filepath.Join(p.dir, "manifests"), 0o755); err != nil {
			t.Fatal(err)
		}
		p.write("manifests/app.yaml", fmt.Sprintf(manifest, "\n  namespace: default", "registry.example.com/app:1"))
		_, said := p.refused("Trespass", manifestStage("staging", "registry.example.com/app:2"))
		if !strings.Contains(said, "a run may change nothing outside of its environment's namespace") || !strings.Contains(said, `in the namespace "default"`) {
			t.Errorf("the refusal says:\n%s", said)
		}
		if out, err := p.kubectl("-n", "default", "get", "deployments", "-o", "name"); err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("in namespace default there is %q, %v", out, err)
		}
	})
	t.Run("NamespaceOfAnotherProject", func(t *testing.T) {
		p := newProject(t, shared, "squatter")
		stage := strings.Replace(p.helmStage("registry.example.com/app:1"), "namespace: squatter", "namespace: owner", 1)
		_, said := p.refused("Squat", stage)
		if !strings.Contains(said, "may not deploy to namespace") {
			t.Errorf("the refusal says:\n%s", said)
		}
	})
}

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/supervise"
)

const probeImage = "localhost/towpath/probe:v1"

// application is a Deployment with a volume, a Service and an Ingress for it, and a second one that calls the first.
const application = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: notes}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: probe}
spec:
  replicas: 2
  selector: {matchLabels: {app: probe}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: probe}}
    spec:
      securityContext: {fsGroup: 1000}
      terminationGracePeriodSeconds: 5
      containers:
      - name: probe
        image: ` + probeImage + `
        env: [{name: VERSION, value: one}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: notes, mountPath: /data}]
      volumes: [{name: notes, persistentVolumeClaim: {claimName: notes}}]
---
apiVersion: v1
kind: Service
metadata: {name: probe}
spec: {selector: {app: probe}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: probe}
spec:
  rules:
  - host: probe.localhost
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: probe, port: {name: http}}}}]}
`

// get asks the front door for a path of a host.
func (c *cluster) get(host, path string) (int, string, error) {
	request, err := http.NewRequest(http.MethodGet, "http://"+c.config.FrontDoorAddr+path, nil)
	if err != nil {
		return 0, "", err
	}
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// serves waits until the application answers at path with text in it.
func (c *cluster) serves(path, text string) {
	c.t.Helper()
	c.eventually("the front door serves "+path, func() error {
		status, body, err := c.get("probe.localhost", path)
		if err == nil && (status != http.StatusOK || !strings.Contains(body, text)) {
			err = fmt.Errorf("status %d, body %q, want %q in it", status, body, text)
		}
		return err
	})
}

// TestCluster walks through the life of one cluster; its steps build on each other.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real cluster")
	}
	tokens := newIssuer(t)
	c := newCluster(t, 0, func(c *config.Config) { c.OIDC = tokens.config() })
	began := time.Now()
	for _, event := range c.up() {
		if event.Phase == supervise.Failed {
			t.Errorf("%s failed while the cluster started: %s", event.Component, event.Detail)
		}
	}
	t.Logf("ready after %s:\n%s", time.Since(began).Round(time.Millisecond), c.story())
	c.kubectl("", "run", "first", "--image=localhost/towpath/pause:v1", "--restart=Never")
	c.kubectl("", "wait", "--for=condition=Ready", "pod/first", "--timeout=60s")
	t.Logf("first pod ready %s after the supervisor was started", time.Since(began).Round(time.Millisecond))
	c.importProbe()

	steps := []struct {
		name string
		run  func(*testing.T, *cluster)
	}{
		{"application serves", applicationServes},
		{"pods reach Services by name", podsReachServices},
		{"front door explains itself", frontDoorExplains},
		{"rollout loses no request", rolloutLosesNothing},
		{"volume keeps its content", volumeKeepsContent},
		{"token is accepted with its run", func(t *testing.T, c *cluster) { tokenIsAccepted(t, c, tokens) }},
		{"strangers are refused", strangersAreRefused},
		{"secrets are encrypted on disk", secretsAreEncrypted},
		{"audit log names the writer", auditNamesWriter},
		{"second supervisor is refused", secondSupervisorIsRefused},
		{"killed components come back", killedComponentsComeBack},
		{"killed supervisor leaves pods that are taken over", killedSupervisor},
		{"down and up keep everything", downAndUp},
		{"memory", memory},
		{"reset leaves nothing", resetLeavesNothing},
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) {
			outer := c.t
			c.t = t
			defer func() { c.t = outer }()
			step.run(t, c)
		}) {
			return
		}
	}
}

func applicationServes(t *testing.T, c *cluster) {
	began := time.Now()
	c.kubectl(application, "apply", "-f", "-")
	c.kubectl("", "rollout", "status", "deployment/probe", "--timeout=120s")
	t.Logf("two pods of an imported image ready after %s", time.Since(began).Round(time.Millisecond))
	c.serves("/", "version=one")
	if logs := c.kubectl("", "logs", "deployment/probe"); !strings.Contains(logs, "probe serves, version one") {
		t.Errorf("logs: %q", logs)
	}
	if version := c.kubectl("", "version", "-o", "json"); !strings.Contains(version, `"gitVersion": "v1.37.2"`) {
		t.Errorf("version: %s", version)
	}
	if nodes := c.kubectl("", "get", "nodes", "-o", "wide"); !strings.Contains(nodes, "v1.37.2") {
		t.Errorf("nodes: %s", nodes)
	}
}

func podsReachServices(t *testing.T, c *cluster) {
	if got := c.kubectl("", "exec", "deployment/probe", "--", "/probe", "lookup", "probe.default.svc.cluster.local"); !strings.HasPrefix(got, "10.233.") {
		t.Errorf("the Service's name resolves to %q", got)
	}
	c.serves("/fetch?url=http://probe/", "version=one host=probe")
}

func frontDoorExplains(t *testing.T, c *cluster) {
	status, body, err := c.get("nobody.localhost", "/")
	if err != nil || status != http.StatusNotFound || !strings.Contains(body, "probe.localhost") {
		t.Errorf("unknown host: status %d, err %v, body %q; want 404 and the known hosts", status, err, body)
	}
	_, body, err = c.get("probe.localhost", "/")
	if err != nil || !strings.Contains(body, "host=probe.localhost") || !strings.Contains(body, "forwarded=probe.localhost for=127.0.0.1") {
		t.Errorf("err %v, the application saw %q", err, body)
	}
	c.eventually("the ingress shows its address", func() error {
		if ip, err := c.try("", "get", "ingress", "probe", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}"); err != nil || ip != "127.0.0.1" {
			return fmt.Errorf("address %q, err %w", ip, err)
		}
		return nil
	})
}

func rolloutLosesNothing(t *testing.T, c *cluster) {
	var asked, lost atomic.Int64
	stop := make(chan struct{})
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				if status, body, err := c.get("probe.localhost", "/"); err != nil || status != http.StatusOK {
					lost.Add(1)
					t.Logf("lost: status %d, err %v, body %q", status, err, body)
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	c.kubectl("", "set", "env", "deployment/probe", "VERSION=two")
	c.kubectl("", "rollout", "status", "deployment/probe", "--timeout=120s")
	c.kubectl("", "wait", "--for=jsonpath={.status.replicas}=2", "deployment/probe", "--timeout=60s")
	close(stop)
	askers.Wait()
	t.Logf("%d requests during the rollout, %d lost", asked.Load(), lost.Load())
	if lost.Load() > 0 || asked.Load() == 0 {
		t.Errorf("%d of %d requests were lost", lost.Load(), asked.Load())
	}
	c.serves("/", "version=two")
}

func volumeKeepsContent(t *testing.T, c *cluster) {
	c.serves("/note?write=remember", "remember")
	c.kubectl("", "delete", "pod", "-l", "app=probe", "--wait=true")
	c.kubectl("", "rollout", "status", "deployment/probe", "--timeout=120s")
	c.serves("/note", "remember")
}

func tokenIsAccepted(t *testing.T, c *cluster, tokens *issuer) {
	token := tokens.token(t, map[string]any{"sub": "run-7", "groups": []string{"deployers"}, "run": "01RUN", "project": "shop", "commit": "abc"})
	var review struct {
		Status struct {
			UserInfo struct {
				Username string
				Groups   []string
				Extra    map[string][]string
			}
		}
	}
	c.eventually("the token is accepted", func() error {
		output, err := c.asToken(token, "auth", "whoami", "-o", "json")
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(output), &review)
	})
	info := review.Status.UserInfo
	want := map[string]string{"towpath.dev/run": "01RUN", "towpath.dev/project": "shop", "towpath.dev/commit": "abc"}
	for key, value := range want {
		if got := strings.Join(info.Extra[key], ","); got != value {
			t.Errorf("extra %s is %q, want %q", key, got, value)
		}
	}
	if _, present := info.Extra["towpath.dev/job"]; present {
		t.Errorf("extra has a job although the token has none: %v", info.Extra)
	}
	if info.Username != "towpath:run-7" || !strings.Contains(strings.Join(info.Groups, ","), "deployers") {
		t.Errorf("user %q, groups %v", info.Username, info.Groups)
	}
	for name, claims := range map[string]map[string]any{
		"of another audience":           {"sub": "x", "aud": "elsewhere"},
		"that has expired":              {"sub": "x", "exp": time.Now().Add(-time.Hour).Unix()},
		"that claims to administrate":   {"sub": "x", "groups": []string{"system:masters"}},
		"of a stranger with our issuer": {"sub": "x", "iss": "https://elsewhere.local"},
	} {
		if output, err := c.asToken(tokens.token(t, claims), "auth", "whoami"); err == nil {
			t.Errorf("a token %s is accepted: %s", name, output)
		}
	}
}

// asToken runs kubectl with nothing but a token.
func (c *cluster) asToken(token string, args ...string) (string, error) {
	cmd := exec.Command(c.program, append([]string{"kubectl", "--kubeconfig=/dev/null", "--server=" + c.config.APIServerURL(), "--certificate-authority=" + c.layout.Certificate("ca"), "--token=" + token}, args...)...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, output)
	}
	return string(output), err
}

func strangersAreRefused(t *testing.T, c *cluster) {
	curl := func(address string) string {
		output, _ := exec.Command("curl", "-sk", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", address).CombinedOutput()
		return string(output)
	}
	if got := curl(c.config.APIServerURL() + "/readyz"); got != "200" {
		t.Errorf("health of the API server is answered with %s", got)
	}
	if got := curl(c.config.APIServerURL() + "/api"); got != "401" {
		t.Errorf("an anonymous request to the API is answered with %s, want 401", got)
	}
	if got := curl(fmt.Sprintf("https://%s:%d/pods", c.config.NodeIP, c.config.KubeletPort)); got != "401" {
		t.Errorf("an anonymous request to the kubelet is answered with %s, want 401", got)
	}
	if got := curl(fmt.Sprintf("https://%s:%d/version", c.config.LocalIP, c.config.EtcdPort)); got != "000" {
		t.Errorf("etcd answers a client without certificate with %s", got)
	}
}

func secretsAreEncrypted(t *testing.T, c *cluster) {
	const word = "grapefruit-7261"
	c.kubectl("", "create", "secret", "generic", "hidden", "--from-literal=word="+word)
	c.kubectl("", "create", "configmap", "open", "--from-literal=word=open-"+word[:10])
	found := map[string]bool{}
	err := filepath.WalkDir(c.layout.Etcd(), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found["secret"] = found["secret"] || strings.Contains(string(content), word)
		found["configmap"] = found["configmap"] || strings.Contains(string(content), "open-"+word[:10])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found["secret"] || !found["configmap"] {
		t.Errorf("secret in plain text on disk: %v (must not be); config map: %v (must be, or the search proves nothing)", found["secret"], found["configmap"])
	}
}

func auditNamesWriter(t *testing.T, c *cluster) {
	content, err := os.ReadFile(c.layout.AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		var entry struct {
			Verb          string
			User          struct{ Username string }
			ObjectRef     struct{ Resource, Name string }
			RequestObject any
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("the audit log has a line that is not JSON: %v", err)
		}
		if entry.ObjectRef.Resource == "secrets" && entry.ObjectRef.Name == "hidden" && entry.Verb == "create" {
			if entry.User.Username != "towpath-admin" || entry.RequestObject != nil {
				t.Errorf("entry: %s", line)
			}
			return
		}
	}
	t.Error("the audit log does not have the creation of the secret")
}

func secondSupervisorIsRefused(t *testing.T, c *cluster) {
	output, err := exec.Command(c.program, "up", "--config", c.configFile).CombinedOutput()
	if err == nil || !strings.Contains(string(output), strconv.Itoa(c.supervisor.Process.Pid)) {
		t.Errorf("err %v, output must name process %d: %s", err, c.supervisor.Process.Pid, output)
	}
}

// child finds the running process of a component.
func (c *cluster) child(component string) (int, error) {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", c.supervisor.Process.Pid, c.supervisor.Process.Pid))
	pids := strings.Fields(string(children))
	if tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", c.supervisor.Process.Pid)); err != nil || len(tasks) > 1 {
		pids = nil
		for _, task := range tasks {
			content, _ := os.ReadFile(task)
			pids = append(pids, strings.Fields(string(content))...)
		}
	}
	for _, text := range pids {
		command, _ := os.ReadFile("/proc/" + text + "/cmdline")
		words := strings.Split(string(command), "\x00")
		if filepath.Base(words[0]) == component || len(words) > 1 && words[1] == component {
			return strconv.Atoi(text)
		}
	}
	return 0, fmt.Errorf("no process of %s below the supervisor", component)
}

func killedComponentsComeBack(t *testing.T, c *cluster) {
	before := c.kubectl("", "get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}")
	for _, component := range []string{"kube-apiserver", "containerd", "etcd", "kubelet", "kube-proxy", "coredns", "front-door", "kube-controller-manager", "kube-scheduler", "storage", "network-policy"} {
		pid, err := c.child(component)
		if err != nil {
			t.Fatal(err)
		}
		from := c.position()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.eventually(component+" is restarted", func() error { return c.has(supervise.Restarted, component, from) })
	}
	c.serves("/", "version=two")
	c.eventually("pods still answer exec", func() error {
		_, err := c.try("", "exec", "deployment/probe", "--", "/probe", "lookup", "probe")
		return err
	})
	if after := c.kubectl("", "get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}"); after != before {
		t.Errorf("containers changed while components were killed: before %s, after %s", before, after)
	}
	c.kubectl("", "run", "after", "--image="+probeImage, "--restart=Never")
	c.kubectl("", "wait", "--for=condition=Ready", "pod/after", "--timeout=60s")
}

func killedSupervisor(t *testing.T, c *cluster) {
	ids := func() string {
		return c.kubectl("", "get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}")
	}
	before := ids()
	apiServer, err := c.child("kube-apiserver")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.stop(syscall.SIGKILL)
	c.eventually("no component outlives the supervisor", func() error {
		if err := syscall.Kill(apiServer, 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d is still there (%v)", apiServer, err)
		}
		return nil
	})
	c.up()
	c.serves("/note", "remember")
	if after := ids(); after != before {
		t.Errorf("containers were not taken over: before %s, after %s", before, after)
	}
}

func downAndUp(t *testing.T, c *cluster) {
	began := time.Now()
	if err := c.stop(syscall.SIGTERM); err != nil {
		t.Fatalf("the supervisor ended with %v", err)
	}
	t.Logf("down after %s", time.Since(began).Round(time.Millisecond))
	c.leavesNothing(t)
	began = time.Now()
	c.up()
	c.serves("/note", "remember")
	t.Logf("up again and serving after %s", time.Since(began).Round(time.Millisecond))
	if got := c.kubectl("", "get", "secret", "hidden", "-o", "jsonpath={.data.word}"); got == "" {
		t.Error("the secret is gone")
	}
}

// leavesNothing looks for traces of the cluster on the host, apart from its data.
func (c *cluster) leavesNothing(t *testing.T) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{c.config.Data, c.layout.Run} {
		if strings.Contains(string(mounts), dir) {
			t.Errorf("something is still mounted below %s", dir)
		}
	}
	tables, err := exec.Command("nft", "list", "tables").CombinedOutput()
	if err != nil || strings.Contains(string(tables), "towpath-"+c.config.Bridge+"\n") || strings.Contains(string(tables), "towpath-"+c.config.Bridge+"-") {
		t.Errorf("err %v, nftables tables: %s", err, tables)
	}
	if _, err := os.Stat("/sys/class/net/" + c.config.Bridge); err == nil {
		t.Errorf("the device %s is still there", c.config.Bridge)
	}
	if _, err := os.Stat(c.layout.Run); err == nil {
		t.Errorf("%s is still there", c.layout.Run)
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range commands {
		if command, _ := os.ReadFile(path); strings.Contains(string(command), c.layout.Run) || strings.Contains(string(command), c.config.Data) {
			t.Errorf("a process is still there: %s", strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/towpath-" + c.config.Bridge)
	single, _ := filepath.Glob("/sys/fs/cgroup/towpath-" + c.config.Bridge)
	if left := append(groups, single...); len(left) > 0 {
		t.Errorf("control groups are still there: %v", left)
	}
}

// memory tells what the cluster takes; it judges nothing. The resident size counts the program's shared pages for each process
// again, the proportional size counts them once in all.
func memory(t *testing.T, c *cluster) {
	var total [2]int
	show := func(name string, pid int) {
		resident, proportional := sizes(pid)
		total[0], total[1] = total[0]+resident, total[1]+proportional
		t.Logf("%-24s %4d MB resident %4d MB proportional", name, resident, proportional)
	}
	for _, component := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd", "kubelet", "kube-proxy", "coredns", "front-door", "storage", "network-policy"} {
		pid, err := c.child(component)
		if err != nil {
			t.Fatal(err)
		}
		show(component, pid)
	}
	show("supervisor", c.supervisor.Process.Pid)
	t.Logf("%-24s %4d MB resident %4d MB proportional", "all", total[0], total[1])
}

// sizes reads a process's resident and proportional set sizes in MB.
func sizes(pid int) (resident, proportional int) {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kilobytes, _ := strconv.Atoi(fields[1])
		switch fields[0] {
		case "Rss:":
			resident = kilobytes / 1024
		case "Pss:":
			proportional = kilobytes / 1024
		}
	}
	return resident, proportional
}

// resetLeavesNothing kills the supervisor first, so that pods are running that reset has to end.
func resetLeavesNothing(t *testing.T, c *cluster) {
	if output, err := exec.Command(c.program, "reset", "--config", c.configFile).CombinedOutput(); err == nil {
		t.Fatalf("reset of a running cluster was not refused: %s", output)
	}
	_ = c.stop(syscall.SIGKILL)
	if output, err := exec.Command(c.program, "reset", "--config", c.configFile).CombinedOutput(); err != nil {
		t.Fatalf("reset: %v: %s", err, output)
	}
	c.leavesNothing(t)
	if _, err := os.Stat(c.config.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data folder: %v", err)
	}
}

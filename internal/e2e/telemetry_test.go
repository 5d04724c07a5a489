package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/kube"
)

// query asks in KQL and returns the rows as text, cell by cell.
func (p *project) query(text string) ([][]string, error) {
	var got monitor.Answer
	if err := p.read(&got, "query", "--project", p.name, text); err != nil {
		return nil, err
	}
	out := make([][]string, len(got.Rows))
	for i, r := range got.Rows {
		for _, v := range r {
			out[i] = append(out[i], fmt.Sprint(v))
		}
	}
	return out, nil
}

// wants waits until a query has rows, the first of which begins with the cells given.
func (p *project) wants(text string, cells ...string) {
	p.t.Helper()
	p.eventually(text, func() error {
		rows, err := p.query(text)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return errors.New("there is no row")
		}
		for i, want := range cells {
			if rows[0][i] != want {
				return fmt.Errorf("cell %d is %q, want %q: %v", i, rows[0][i], want, rows)
			}
		}
		return nil
	})
}

// visits asks for a path of the project's app at the front door.
func (p *project) visits(path string) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.door+path, nil)
	if err != nil {
		return err
	}
	req.Host = p.host()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", path, resp.Status)
	}
	return nil
}

// TestTelemetry follows what a pod writes and sends to where people find it.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "tell")
	run := p.deployed("Tells", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(run.Commit)
	digest := run.Stages[0].Jobs[0].Outputs["app.digest"]
	pod := p.environment("production").Current.Pods[0]

	t.Run("LinesJoinTheChain", func(t *testing.T) { wantLines(t, p, pod.Name, digest) })
	t.Run("Live", func(t *testing.T) { wantLive(t, p, pod.Name) })
	t.Run("PodsArePlacedByAddress", func(t *testing.T) { wantPlaced(t, p, digest) })
	t.Run("Cluster", func(t *testing.T) { wantCluster(t, p, pod.Name) })
	t.Run("CrashFiresAndResolves", func(t *testing.T) { wantAlert(t, p) })
}

// wantLines writes lines through the app and wants them in the table that Container
// Insights has, tied to what was released. How long that takes is logged.
func wantLines(t *testing.T, p *project, pod, digest string) {
	var slowest, sum time.Duration
	const n = 20
	for i := range n {
		word := fmt.Sprintf("marker-%d", i)
		start := time.Now()
		if err := p.visits("/say?level=WARN&text=" + word); err != nil {
			t.Fatal(err)
		}
		p.wants(`ContainerLogV2 | where tostring(LogMessage) has "`+word+`" | project PodName, Project, Environment, Release, ImageDigest, LogLevel, LogSource`,
			pod, "tell", "production", "tell/production/1", digest, "WARNING", "stdout")
		took := time.Since(start)
		slowest, sum = max(slowest, took), sum+took
	}
	t.Logf("from the request that writes a line to its row, with the start of a command line: mean %s, slowest %s of %d", sum/n, slowest, n)
	// What somebody else may see does not have them.
	p.wants(`ContainerLogV2 | where tostring(LogMessage) has "marker" | count`, fmt.Sprint(n))
	other := newProject(t, shared, "tell-not")
	other.git("commit", "-q", "--allow-empty", "-m", "Nothing")
	other.git("push", "-q", "origin", "main")
	other.wants(`union withsource=T * | where Project == "tell" or tostring(pack_all()) has "marker" | count`, "0")
}

// wantLive follows lines as they come.
func wantLive(t *testing.T, p *project, pod string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "towpath"), "logs", "app-", "-f", "--project", p.name, "--tail", "1")
	cmd.Env = p.env()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // It is ended by its context.
	}()
	said := make(chan string, 1000)
	go func() {
		defer close(said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said <- lines.Text()
		}
	}()
	// Lines are written until one of them comes: the stream may begin after the first.
	for i := 0; ; i++ {
		start := time.Now()
		if err := p.visits(fmt.Sprintf("/say?text=live-%d", i)); err != nil {
			t.Fatal(err)
		}
		for wait := time.After(2 * time.Second); wait != nil; {
			select {
			case line, ok := <-said:
				if !ok {
					t.Fatalf("the stream ended: %s", errs.String())
				}
				if strings.Contains(line, "live-") {
					if !strings.Contains(line, pod) {
						t.Errorf("the line does not name its pod %s: %s", pod, line)
					}
					t.Logf("line %d came %s after its request began", i, time.Since(start))
					return
				}
			case <-wait:
				wait = nil
			}
		}
	}
}

// wantPlaced has a pod send a span that claims to be of another project.
func wantPlaced(t *testing.T, p *project, digest string) {
	p.eventually("the pod's export is taken", func() error { return p.visits("/export?claim=line&name=GET+/claimed") })
	p.wants(`AppRequests | where Name == "GET /claimed" | project Project, Environment, Release, ImageDigest`, "tell", "production", "tell/production/1", digest)
	out, err := p.command(nil, "query", "--all", "-o", "csv", `AppRequests | where Name == "GET /claimed" and Project != "tell" | count`)
	if err != nil || strings.TrimSpace(out) != "Count\n0" {
		t.Errorf("rows in other places: %q, %v", out, err)
	}
}

// wantCluster wants the tables that the cluster itself fills.
func wantCluster(t *testing.T, p *project, pod string) {
	p.wants(`KubePodInventory | where Name == "`+pod+`" | summarize arg_max(TimeGenerated, PodStatus, Namespace) by Name | project Name, PodStatus, Namespace`, pod, "Running", "tell")
	p.wants(`KubeEvents | where Namespace == "tell" and Reason == "Started" | summarize count() by Reason | project Reason`, "Started")
	p.wants(`Perf | where ObjectName == "K8SContainer" and CounterName == "memoryWorkingSetBytes" | summarize Most = max(CounterValue) by CounterName | where Most > 0 | project CounterName`, "memoryWorkingSetBytes")
	p.wants(`InsightsMetrics | summarize count() | where count_ > 0 | project "yes"`, "yes")
	p.eventually("the working set in PromQL", func() error {
		var series []struct{ Labels map[string]string }
		if err := p.read(&series, "query", "--project", p.name, "--promql", `sum by (project, pod) (container_memory_working_set_bytes{pod="`+pod+`"})`); err != nil {
			return err
		}
		if len(series) != 1 || series[0].Labels["project"] != "tell" {
			return fmt.Errorf("series are %v", series)
		}
		return nil
	})
	p.eventually("towpath top knows the pod", func() error {
		var top kube.Top
		if err := p.read(&top, "top", "--project", p.name); err != nil {
			return err
		}
		for _, u := range top.Pods {
			if u.Name == pod && u.Memory > 0 && u.Release == "tell/production/1" && len(top.Nodes) == 0 {
				return nil
			}
		}
		return fmt.Errorf("it shows %+v", top)
	})
}

// wantAlert breaks what is deployed behind the platform's back and mends it.
func wantAlert(t *testing.T, p *project) {
	const rule = "KubePodCrashLooping"
	if _, err := p.command(nil, "alert", "rule", "tune", rule, "--for", "10s", "--every", "5s"); err != nil {
		t.Fatal(err)
	}
	// No old pod is kept while the new one does not come.
	if _, err := p.kubectl("-n", "tell", "patch", "deployment/app", "-p", `{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}`); err != nil {
		t.Fatal(err)
	}
	if _, err := p.kubectl("-n", "tell", "set", "env", "deployment/app", "CRASH=true"); err != nil {
		t.Fatal(err)
	}
	p.eventually("health is shut, with the reason", func() error {
		w, err := p.workload("app")
		if err == nil && (w.State != kube.Shut || !strings.Contains(w.Why, "exit code 3")) {
			err = fmt.Errorf("it is %s: %s", w.State, w.Why)
		}
		return err
	})
	fired := p.alerted(rule, alert.Firing)
	if fired.Environment != "production" || fired.Release == "" || !strings.HasPrefix(fired.Pod, "app-") {
		t.Errorf("the alert is %+v", fired)
	}
	if _, err := p.kubectl("-n", "tell", "set", "env", "deployment/app", "CRASH-"); err != nil {
		t.Fatal(err)
	}
	p.eventually("alert "+fired.ID+" is resolved", func() error {
		var d alert.Detail
		if err := p.read(&d, "alert", "show", fired.ID); err != nil {
			return err
		}
		if d.Alert.State != alert.Resolved {
			return fmt.Errorf("it is %+v, the last evaluations are %+v", d.Alert, d.Evaluations[:min(len(d.Evaluations), 3)])
		}
		return nil
	})
	// The crash was one: the alert did not end and begin again meanwhile.
	var all []alert.Alert
	if err := p.read(&all, "alert", "list", "--project", p.name); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Name == rule && a.Pod == fired.Pod && a.ID != fired.ID {
			t.Errorf("one crash fired twice: as %+v and as %+v", fired, a)
		}
	}
	p.eventually("health is open again", func() error {
		w, err := p.workload("app")
		if err == nil && w.State != kube.Open && w.State != kube.Held {
			err = fmt.Errorf("it is %s: %s", w.State, w.Why)
		}
		return err
	})
	p.eventually("the alert stands in the release's chain", func() error {
		var chain evidence.Chain
		if err := p.read(&chain, "trace", "release/"+fired.Release); err != nil {
			return err
		}
		for _, s := range chain.Stations {
			if s.Kind == "alert" && strings.Contains(fmt.Sprint(s), fired.ID) {
				return nil
			}
		}
		return fmt.Errorf("stations are %v", chain.Stations)
	})
}

// workload is how a workload of the project is.
func (p *project) workload(name string) (kube.Workload, error) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+"/api/v1/monitor/workloads?project="+p.name, nil)
	if err != nil {
		return kube.Workload{}, err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return kube.Workload{}, err
	}
	defer resp.Body.Close()
	var all []kube.Workload
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return kube.Workload{}, err
	}
	for _, w := range all {
		if w.Name == name {
			return w, nil
		}
	}
	return kube.Workload{}, fmt.Errorf("there is no workload %s: %+v", name, all)
}

// alerted waits until an alert of a rule is in a state.
func (p *project) alerted(rule, state string) alert.Alert {
	p.t.Helper()
	var found alert.Alert
	p.eventually("an alert of "+rule+" that is "+state, func() error {
		var all []alert.Alert
		if err := p.read(&all, "alert", "list", "--project", p.name, "--state", state); err != nil {
			return err
		}
		for _, a := range all {
			if a.Name == rule {
				found = a
				return nil
			}
		}
		return fmt.Errorf("there are %d others", len(all))
	})
	return found
}

// TestLinesSurvive kills the engine of the logs, kills the server and ends it in order while
// a pod writes numbered lines: what stands in the log files is stored once, without a gap,
// and tied to its release.
func TestLinesSurvive(t *testing.T) {
	p := newProject(t, shared, "lines")
	run := p.deployed("Writes", p.imageStage(), p.helmStage(p.byDigest(), "chatter=true"))
	p.serves(run.Commit)
	written := map[string]int64{}
	for range 3 {
		p.wants(`ContainerLogV2 | where tostring(LogMessage) startswith "number " | take 1`)
		pid, err := child(p.running.Process.Pid, "towpath-lake")
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		p.wants(`ContainerLogV2 | where tostring(LogMessage) startswith "number " | take 1`)
		if err := p.stop(sig); err != nil {
			t.Fatal(err)
		}
		p.inFiles(written)
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		p.serves(run.Commit)
	}
	p.inFiles(written)
	if len(written) == 0 {
		t.Fatal("no log file has a numbered line")
	}
	var lines int64
	p.eventually("every line is stored, once", func() error {
		rows, err := p.query(`ContainerLogV2 | where tostring(LogMessage) startswith "number " | extend Words = split(tostring(LogMessage), " ")
			| summarize Times = count() by Life = tostring(Words[1]), N = tolong(Words[2]) | summarize Lines = sum(Times), Numbers = count(), First = min(N), Last = max(N) by Life`)
		if err != nil {
			return err
		}
		lines = 0
		stored := map[string]int64{}
		for _, r := range rows {
			n, err := strconv.ParseFloat(r[4], 64)
			if err != nil {
				return err
			}
			stored[r[0]], lines = int64(n), lines+int64(n)
			if r[1] != r[2] || r[1] != r[4] || r[3] != "1" {
				return fmt.Errorf("of life %s there are %s lines with %s different numbers, from %s to %s", r[0], r[1], r[2], r[3], r[4])
			}
		}
		for life, n := range written {
			if stored[life] < n {
				return fmt.Errorf("life %s wrote %d lines, %d are stored", life, n, stored[life])
			}
		}
		return nil
	})
	p.wants(`ContainerLogV2 | where Environment != "production" or Release != "lines/production/1" or isempty(ImageDigest) | count`, "0")
	t.Logf("%d lines of %d lives, each there once", lines, len(written))
	wholeLog(t, p)
}

// inFiles notes the last number of each life that stands in the log files of the project's pods.
func (p *project) inFiles(last map[string]int64) {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.data, "kube", "pod-logs", p.name+"_*", "*", "*.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // It was removed meanwhile.
		}
		for line := range strings.Lines(string(b)) {
			// A line of the container runtime: time, stream, F, then what was written.
			f := strings.Fields(line)
			if len(f) != 6 || f[3] != "number" || !strings.HasSuffix(line, "\n") {
				continue
			}
			n, err := strconv.ParseInt(f[5], 10, 64)
			if err != nil {
				p.t.Fatalf("%s has the line %q", file, line)
			}
			last[f[4]] = max(last[f[4]], n)
		}
	}
}

// child finds a process of a name below a parent.
func child(parent int, name string) (int, error) {
	out, err := exec.Command("ps", "-o", "pid=,comm=", "--ppid", strconv.Itoa(parent)).Output()
	if err != nil {
		return 0, fmt.Errorf("looking for %s below process %d: %w", name, parent, err)
	}
	for line := range strings.Lines(string(out)) {
		if pid, comm, ok := strings.Cut(strings.TrimSpace(line), " "); ok && comm == name {
			return strconv.Atoi(pid)
		}
	}
	return 0, fmt.Errorf("process %d has no child %s:\n%s", parent, name, out)
}

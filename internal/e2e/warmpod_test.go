package e2e_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
)

// warmFlag is how many jobs the warm pool gets, one after the other.
var warmFlag = flag.Int("warm-jobs", 2, "jobs for pods that wait, one after the other")

// warms has jobs taken by pods that wait for them, and says how long that takes: from the moment
// a job is queued to its first output. A pod that no row knows of lies beside, and goes.
func (p *inPods) warms() {
	if _, err := p.command(nil, "pool", "create", "warm", "--kind", "kubernetes", "--image", p.image, "--warm", "1", "--max", "4"); err != nil {
		p.t.Fatal(err)
	}
	var took []time.Duration
	for n := range *warmFlag {
		free := p.freePod()
		var run pipeline.Run
		if n == 0 {
			p.orphan(free)
			run = p.push("jobs for a warm pool", `
  - stage: Pod
    jobs:
      - job: Warm
        pool: warm
        steps:
          - checkout: none
          - bash: echo "it is $EPOCHREALTIME"
`)
		} else if err := p.read(&run, "pipeline", "run", "app", "--project", p.name); err != nil {
			p.t.Fatal(err)
		}
		if d := p.ended(run.Number); d.Result != plan.Succeeded {
			p.t.Fatalf("run %d ended %s: %s", run.Number, d.Result, d.Why)
		}
		job, log := p.jobOf(run.Number, "Pod.Warm"), p.log(run.Number)
		if job.Agent != free {
			p.t.Errorf("the job went to %s, and %s was free", job.Agent, free)
		}
		_, at, _ := strings.Cut(log, "it is ")
		at, _, _ = strings.Cut(at, "\n")
		seconds, err := strconv.ParseFloat(at, 64)
		if err != nil {
			p.t.Fatalf("no time in the log: %v\n%s", err, log)
		}
		took = append(took, time.UnixMicro(int64(seconds*1e6)).Sub(job.Queued))
	}
	slices.Sort(took)
	p.t.Logf("queued to first output in a warm pod, %d jobs: p50 %.2f s, p95 %.2f s", len(took), took[len(took)/2].Seconds(), took[len(took)*95/100].Seconds())
	if _, err := p.command(nil, "pool", "remove", "warm"); err != nil {
		p.t.Error(err)
	}
}

// freePod waits for a pod that is free, as the pool lists it.
func (p *inPods) freePod() (name string) {
	p.t.Helper()
	p.eventually("a pod of the warm pool is free", func() error {
		var got struct {
			pool.Pool
			Members []pipeline.Agent `json:"members"`
		}
		if err := p.read(&got, "pool", "show", "warm"); err != nil {
			return err
		}
		for _, a := range got.Members {
			if a.State == "free" && got.Online > 0 && got.Agents >= got.Online {
				name = a.Name
				return nil
			}
		}
		return fmt.Errorf("%d of %d are online: %+v", got.Online, got.Agents, got.Members)
	})
	return name
}

// orphan makes a pod with the labels of an agent's that the server knows nothing of.
func (p *inPods) orphan(like string) {
	raw, err := p.byKubectl("get", "pod", "-n", "towpath-agents", like, "-o", "jsonpath={.metadata.labels}")
	if err != nil {
		p.t.Fatal(raw, err)
	}
	var labels map[string]string
	if err := json.Unmarshal([]byte(raw), &labels); err != nil {
		p.t.Fatal(err)
	}
	no := map[string]any{"allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 1001, "capabilities": map[string]any{"drop": []string{"ALL"}}, "seccompProfile": map[string]any{"type": "RuntimeDefault"}}
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "towpath-agent-orphan", "namespace": "towpath-agents", "labels": labels},
		"spec": map[string]any{"terminationGracePeriodSeconds": 0, "containers": []any{map[string]any{"name": "job", "image": p.image, "command": []string{"/bin/sleep", "600"}, "securityContext": no,
			"resources": map[string]any{"limits": map[string]any{"memory": "32Mi", "cpu": "100m"}}}}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(p.t.TempDir(), "orphan.json")
	if err := os.WriteFile(file, manifest, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if out, err := p.byKubectl("create", "-f", file); err != nil {
		p.t.Fatal(out, err)
	}
}

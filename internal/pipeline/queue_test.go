package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// pools makes pools of hosts.
func (w *world) pools(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if _, err := w.svc.Pools().Create(context.Background(), root, name, pool.Host, pool.Settings{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// demanding is a pipeline of jobs for a pool, in legs, whose demands take turns.
func demanding(in string, jobs, legs int, demands ...string) string {
	var b strings.Builder
	b.WriteString("jobs:\n")
	for i := range jobs {
		fmt.Fprintf(&b, "- job: j%d\n  pool: {name: %s, demands: %s}\n  strategy: {parallel: %d}\n  steps: [{checkout: none}, {bash: 'true'}]\n", i, in, demands[i%len(demands)], legs)
	}
	return b.String()
}

// takesAll claims until there is nothing more.
func (w *world) takesAll(agent string) []string {
	w.t.Helper()
	var got []string
	for {
		job := w.takes(agentToken, agent)
		if job == "" {
			return got
		}
		got = append(got, job)
	}
}

// TestQueueIsFairBetweenRunsJ011_Y193 makes sure that the runs of a pool get its agents in the order
// in which they came, that a job which no agent can have holds nobody up, and that a leg
// which maxParallel held back goes behind those that have waited for an agent meanwhile.
func TestQueueIsFairBetweenRunsJ011_Y193(t *testing.T) {
	each(t, func(t *testing.T, change func(*world)) {
		w := newWorld(t, change)
		w.pools("linux")
		w.joined("away", "linux", map[string]string{"gpu": "1"})
		w.joined("a", "linux", nil)
		w.queuedRun("jobs:\n- {job: stuck, pool: {name: linux, demands: gpu}, steps: [{bash: 'true'}]}\n- job: held\n  pool: linux\n  strategy: {maxParallel: 1, matrix: {a: {x: 1}, b: {x: 2}}}\n  steps: [{bash: 'true'}]\n")
		time.Sleep(2 * time.Millisecond) // The queue counts milliseconds.
		w.queuedRun("jobs:\n- {job: second, pool: linux, steps: [{bash: 'true'}]}\n- {job: third, pool: linux, steps: [{bash: 'true'}]}\n")
		_, body := w.ask(agentToken, "claim", "", protocol.Claim{Agent: "a", Ticket: "t"})
		var job protocol.Job
		if err := json.Unmarshal([]byte(body), &job); err != nil || job.Name != "held" {
			t.Fatalf("the first job is %s: %v", body, err)
		}
		if status, body := w.ask(agentToken, "jobs/"+job.ID+"/complete", job.Lease, protocol.Complete{Result: plan.Succeeded}); status >= 300 {
			t.Fatal(status, body)
		}
		if got := w.takesAll("a"); !slices.Equal(got, []string{"second", "third", "held"}) {
			t.Errorf("the jobs came in the order %v", got)
		}
		if got := w.takes(agentToken, "away"); got != "stuck" {
			t.Errorf("the agent with the capability got %q", got)
		}
	})
}

// TestQueueOutlivesTheServerJ011 makes sure that the index of the queue is made of the rows:
// after a restart, and when rows changed behind its back.
func TestQueueOutlivesTheServerJ011(t *testing.T) {
	each(t, func(t *testing.T, change func(*world)) {
		w := newWorld(t, change)
		w.pools("linux")
		gone := w.queuedRun(demanding("linux", 2, 2, "[]"))
		kept := w.queuedRun("jobs:\n- {job: one, pool: linux, steps: [{bash: 'true'}]}\n- {job: two, pool: linux, steps: [{bash: 'true'}]}\n")
		w.joined("a", "linux", nil)
		if err := w.svc.Cancel(t.Context(), ada, gone.Number); err != nil {
			t.Fatal(err)
		}
		if got := w.takes(agentToken, "a"); got != "one" {
			t.Fatalf("after the run before was cancelled the agent got %q", got)
		}
		w.down()
		w.up()
		if got := w.takesAll("a"); !slices.Equal(got, []string{"two"}) {
			t.Errorf("run %d: after a restart the agent got %v", kept.Number, got)
		}
	})
}

// TestQueueByManyAgentsJ011 has agents with different capabilities claim at once: every job has
// exactly one of them, and none that it may not have.
func TestQueueByManyAgentsJ011(t *testing.T) {
	each(t, func(t *testing.T, change func(*world)) {
		w := newWorld(t, change)
		w.pools("linux")
		has := map[string]map[string]string{"none": nil, "docker": {"docker": "1"}, "gpu": {"gpu": "1"}, "all": {"docker": "1", "gpu": "1"}, "away": {"java": "1"}}
		for name, capabilities := range has {
			w.joined(name, "linux", capabilities)
		}
		var runs []*pipeline.Detail
		for range 2 {
			runs = append(runs, w.queuedRun(demanding("linux", 5, 4, "[]", "[docker]", "[gpu]", "[docker, gpu]", "[java]")))
		}
		var wg sync.WaitGroup
		counts := map[string]int{}
		var mu sync.Mutex
		for name := range has {
			if name == "away" {
				continue
			}
			for range 2 { // Two slots of each.
				wg.Go(func() {
					n := len(w.takesAll(name))
					mu.Lock()
					defer mu.Unlock()
					counts[name] += n
				})
			}
		}
		wg.Wait()
		total := 0
		for _, n := range counts {
			total += n
		}
		if total != 32 {
			t.Errorf("%d jobs were given, want 32: %v", total, counts)
		}
		for _, run := range runs {
			d, err := w.svc.Show(t.Context(), ada, run.Number)
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range d.Stages[0].Jobs {
				java := slices.Equal(j.Demands, []string{"java"})
				if java != (j.Status == "Queued") || !java && (j.Status != plan.Running || len(pool.Capabilities(has[j.Agent]).Lacks(pool.FromText(strings.Join(j.Demands, "\n")))) > 0) {
					t.Errorf("%s with demands %v is %s on %q", j.Path, j.Demands, j.Status, j.Agent)
				}
			}
		}
	})
}

// BenchmarkQueue measures what it takes to decide which of the queued jobs an agent gets, of 100
// and of 10,000 in turn, so that both have the same load, and beside it whole claims: the
// request, the decision and everything that is written durably.
func BenchmarkQueue(b *testing.B) {
	w := newWorld(b)
	w.pools("small", "large")
	for _, in := range []string{"small", "large"} {
		// A quarter of the jobs waits for an agent that is away.
		w.joined(in+"-away", in, map[string]string{"java": "21", "docker": "1"})
		w.joined(in, in, map[string]string{"docker": "1", "gpu": "1"})
	}
	w.queuedRun(demanding("small", 4, 25, "[gpu]", "[docker]", "[java]", "[docker, java]"))
	w.queuedRun(demanding("large", 40, 250, "[gpu]", "[docker]", "[java]", "[docker, java]"))
	var small, large, claims []time.Duration
	decide := func(in string) time.Duration {
		started := time.Now()
		id, err := w.svc.Decide(context.Background(), in)
		if err != nil || id == "" {
			b.Fatal("no job was found: ", err)
		}
		return time.Since(started)
	}
	for b.Loop() {
		small, large = append(small, decide("small")), append(large, decide("large"))
		if len(claims) < 100 {
			started := time.Now()
			if w.takes(agentToken, "large") == "" {
				b.Fatal("there was no job")
			}
			claims = append(claims, time.Since(started))
		}
	}
	median := func(list []time.Duration) float64 {
		slices.Sort(list)
		return float64(list[len(list)/2].Nanoseconds()) / 1000
	}
	b.ReportMetric(median(small), "µs/decision-of-100")
	b.ReportMetric(median(large), "µs/decision-of-10000")
	b.ReportMetric(median(large)/median(small), "growth")
	b.ReportMetric(median(claims), "µs/claim-of-10000")
	b.ReportMetric(0, "ns/op")
}

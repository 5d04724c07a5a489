package pipeline_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// BenchmarkStep measures what the engine adds to a step: the time of a job of many empty
// steps, a step, less what bash alone takes for an empty script.
func BenchmarkStep(b *testing.B) {
	w := newWorld(b)
	w.agent()
	const steps = 200
	yaml := "steps:\n- checkout: none\n" + strings.Repeat("- bash: ':'\n", steps)
	var total, bare time.Duration
	for b.Loop() {
		// Looking at the run at every change would be measured as well.
		number := w.ended(w.pipeline(yaml))
		d, err := w.svc.Show(context.Background(), ada, number)
		if err != nil {
			b.Fatal(err)
		}
		j := find(d, "__default.Job")
		total += j.Steps[steps-1].Finished.Sub(j.Steps[0].Started)
		started := time.Now()
		for range steps {
			if err := exec.Command("/bin/bash", "--noprofile", "--norc", "-c", ":").Run(); err != nil {
				b.Fatal(err)
			}
		}
		bare += time.Since(started)
	}
	per := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(b.N*steps) }
	b.ReportMetric(per(total), "ms/step")
	b.ReportMetric(per(bare), "bash-ms/step")
	b.ReportMetric(per(total-bare), "overhead-ms/step")
	b.ReportMetric(0, "ns/op")
}

// ended waits for the end of the run of a commit by the logbook alone.
func (w *world) ended(commit string) int64 {
	w.t.Helper()
	for {
		changed := w.log.Changed()
		runs, err := w.svc.Runs(context.Background(), ada, pipeline.Filter{Project: "shop", Commit: commit, Status: plan.Completed})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(runs) > 0 {
			return runs[0].Number
		}
		<-changed
	}
}

// BenchmarkFirstOutput measures the time from the commit's event to the first line of the
// first step, as somebody who follows the log sees it.
func BenchmarkFirstOutput(b *testing.B) {
	w := newWorld(b)
	w.agent()
	w.finish("steps:\n- checkout: none\n- bash: echo warm\n")
	var total, queue time.Duration
	for b.Loop() {
		commit := w.pipeline("steps:\n- checkout: none\n- bash: echo hello\n")
		started := time.Now()
		d := w.wait(commit, printed("__default.Job", 1))
		total += time.Since(started)
		d = w.wait(commit, over)
		p, err := w.svc.ReadLog(context.Background(), ada, d.Number, "__default.Job", 1, 0, 1)
		if err != nil {
			b.Fatal(err)
		}
		queue += p.Lines[0].Time.Sub(d.Queued)
	}
	b.ReportMetric(total.Seconds()*1000/float64(b.N), "push-to-line-ms")
	b.ReportMetric(queue.Seconds()*1000/float64(b.N), "queued-to-line-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLog measures how many lines a second go from a step to one who follows its
// log, and how many are lost.
func BenchmarkLog(b *testing.B) {
	w := newWorld(b)
	w.agent()
	const n = 1_000_000
	var total time.Duration
	lost := 0
	for b.Loop() {
		commit := w.pipeline(fmt.Sprintf("steps:\n- checkout: none\n- bash: seq -f 'a line of a log of about sixty bytes, which is common %%.0f' %d\n", n))
		started := time.Now()
		d := w.wait(commit, printed("__default.Job", 1))
		got := 0
		err := w.svc.Follow(context.Background(), ada, d.Number, "__default.Job", 1, 0, func(lines []pipeline.Line) error {
			got += len(lines)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		total += time.Since(started)
		lost += n - got
	}
	b.ReportMetric(float64(n)*float64(b.N)/total.Seconds(), "lines/s")
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(0, "ns/op")
}

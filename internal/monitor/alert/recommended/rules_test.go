package recommended_test

import (
	"bufio"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"

	"towpath.dev/towpath/internal/monitor/alert/promrule"
	"towpath.dev/towpath/internal/monitor/alert/recommended"
)

// fixture is a file of testdata: series in the notation of promtool, and for each alert
// that is to fire one line "alert FIRES RESOLVES {labels}". Nothing else may fire.
type fixture struct {
	load   string
	alerts []span
	end    time.Duration
}

type span struct {
	from, to time.Duration
	labels   string
}

func read(t *testing.T, path string, r recommended.Rule) fixture {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("rule %s has no fixture: %v", r.Name, err)
	}
	defer f.Close()
	var out fixture
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		rest, ok := strings.CutPrefix(line, "alert ")
		if !ok {
			if !strings.HasPrefix(line, "#") {
				out.load += line + "\n"
			}
			continue
		}
		parts := strings.SplitN(rest, " ", 3)
		from, err1 := model.ParseDuration(parts[0])
		to, err2 := model.ParseDuration(parts[1])
		m, err3 := parser.NewParser(parser.Options{}).ParseMetric(parts[2])
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatalf("%s: %q: %v %v %v", path, line, err1, err2, err3)
		}
		b := labels.NewBuilder(m)
		b.Set("alertname", r.Name)
		b.Set("severity", r.Severity)
		out.alerts = append(out.alerts, span{time.Duration(from), time.Duration(to), b.Labels().String()})
		out.end = max(out.end, time.Duration(to)+3*time.Minute)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(out.alerts) == 0 {
		t.Fatalf("%s: no alert fires in it", path)
	}
	return out
}

// firing lists what the fixture says fires at a moment.
func (f fixture) firing(at time.Duration) []string {
	out := []string{}
	for _, a := range f.alerts {
		if at >= a.from && at < a.to {
			out = append(out, a.labels)
		}
	}
	slices.Sort(out)
	return out
}

func rule(r recommended.Rule) promrule.Rule {
	return promrule.Rule{
		ID: r.Name, Name: r.Name, Expr: r.Expr, For: r.For, Every: time.Minute, Labels: map[string]string{"severity": r.Severity},
		Annotations: map[string]string{"summary": r.Summary, "description": r.Description, "next_step": r.NextStep},
	}
}

func rules(t *testing.T) []recommended.Rule {
	t.Helper()
	list, err := recommended.Rules()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestEveryRuleFiresAndResolves evaluates every rule each minute on the real engine, and
// compares what fires with the fixture, minute by minute.
func TestEveryRuleFiresAndResolves(t *testing.T) {
	for _, r := range rules(t) {
		t.Run(r.Name, func(t *testing.T) {
			f := read(t, filepath.Join("testdata", r.Name+".txt"), r)
			storage := promqltest.LoadedStorage(t, f.load)
			t.Cleanup(func() { _ = storage.Close() })
			e := promrule.New(storage, promqltest.NewTestEngine(t, false, 0, 100_000), slog.New(slog.DiscardHandler))
			if err := e.Put(rule(r), false); err != nil {
				t.Fatal(err)
			}
			for at := time.Duration(0); at <= f.end; at += time.Minute {
				active, err := e.Eval(t.Context(), r.Name, time.Unix(0, 0).Add(at))
				if err != nil {
					t.Fatalf("at %s: %v", at, err)
				}
				got := []string{}
				for _, a := range active {
					if !a.Firing {
						continue
					}
					got = append(got, labels.FromMap(a.Labels).String())
					for name, text := range a.Annotations {
						if strings.Contains(text, "error expanding") || strings.Contains(text, "<no value>") {
							t.Errorf("at %s: %s is %q", at, name, text)
						}
					}
				}
				slices.Sort(got)
				if diff := cmp.Diff(f.firing(at), got); diff != "" {
					t.Fatalf("at %s (-want +got):\n%s", at, diff)
				}
			}
		})
	}
}

// TestFixturesAreOfRules finds a fixture that nothing reads.
func TestFixturesAreOfRules(t *testing.T) {
	var names []string
	for _, r := range rules(t) {
		names = append(names, r.Name+".txt")
	}
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		files = append(files, e.Name())
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, files); diff != "" {
		t.Errorf("rules and fixtures differ (-rules +fixtures):\n%s", diff)
	}
}

// TestTheListIsComplete holds the names that Azure recommends, as its documentation and its
// template have them, against ours.
func TestTheListIsComplete(t *testing.T) {
	azure := []string{
		"KubePodCrashLooping", "Job did not complete in time", "Pod container restarted in the last 1 hour", "Ready state of pods is less than 80%.",
		"Number of pods in failed state are greater than 0.", "KubePodNotReadyByController", "KubeStatefulSetGenerationMismatch", "KubeJobNotCompleted", "KubeJobFailed",
		"Average CPU usage per container is greater than 95%", "Average Memory usage per container is greater than 95%.", "KubeletPodStartUpLatencyHigh",
		"Average PV usage is greater than 80%", "KubeDeploymentReplicasMismatch", "KubeStatefulSetReplicasMismatch", "KubeHpaReplicasMismatch", "KubeHpaMaxedOut",
		"KubeCPUQuotaOvercommit", "KubeMemoryQuotaOvercommit", "KubeVersionMismatch", "KubeClientErrors", "KubePersistentVolumeFillingUp",
		"KubePersistentVolumeInodesFillingUp", "KubePersistentVolumeErrors", "Average node CPU utilization is greater than 80%",
		"Working set memory for a node is greater than 80%.", "Number of OOM killed containers is greater than 0", "KubeNodeUnreachable", "KubeNodeNotReady",
		"KubeNodeReadinessFlapping", "KubeContainerWaiting", "KubeDaemonSetNotScheduled", "KubeDaemonSetMisScheduled", "KubeletClientCertificateExpiration",
		"KubeletServerCertificateExpiration", "KubeletClientCertificateRenewalErrors", "KubeletServerCertificateRenewalErrors", "KubeQuotaAlmostFull",
		"KubeQuotaFullyUsed", "KubeQuotaExceeded",
	}
	var ours []string
	for _, r := range rules(t) {
		if err := promrule.Check(rule(r)); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		if r.Summary == "" || r.Description == "" || r.NextStep == "" || !slices.Contains([]string{"critical", "error", "warning", "info"}, r.Severity) {
			t.Errorf("%s lacks a text or a severity: %+v", r.Name, r)
		}
		if r.Original != "" {
			ours = append(ours, r.Original)
		} else {
			ours = append(ours, r.Name)
		}
	}
	slices.Sort(azure)
	slices.Sort(ours)
	if diff := cmp.Diff(azure, ours); diff != "" {
		t.Errorf("(-azure +ours):\n%s", diff)
	}
}

package kube_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/clock/clocktest"
	"towpath.dev/towpath/internal/monitor/kube"
	"towpath.dev/towpath/internal/monitor/metric"
)

// meter remembers what it was asked.
type meter struct {
	mu    sync.Mutex
	asked []string
}

func (m *meter) Instant(_ context.Context, _ metric.Scope, expr string, _ time.Time) ([]metric.Point, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, expr)
	return nil, nil
}

// TestTopReadsThePlatformsSeriesOnly has every selector of Top name a job that pushed series
// cannot have.
func TestTopReadsThePlatformsSeriesOnly(t *testing.T) {
	m, client := &meter{}, fake.NewClientset()
	w := kube.New(kube.Options{
		Cluster: cluster{}, Name: "embedded", Clock: clocktest.At(noon), Meter: m, Client: func(*rest.Config) (kubernetes.Interface, error) { return client, nil },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	eventually(t, "the cluster is known", func() bool { return len(w.Targets()) > 0 })
	if _, err := w.Top(ctx, "", true); err != nil {
		t.Fatal(err)
	}
	if len(m.asked) != 6 {
		t.Errorf("it asks %d questions: %q", len(m.asked), m.asked)
	}
	jobs := map[string]bool{}
	for _, j := range metric.PlatformJobs() {
		jobs[j] = true
	}
	for _, q := range m.asked {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, selector := range parser.ExtractSelectors(expr) {
			named := false
			for _, one := range selector {
				named = named || one.Name == "job" && jobs[one.Value]
			}
			if !named {
				t.Errorf("%s reads series of any job", q)
			}
		}
	}
}

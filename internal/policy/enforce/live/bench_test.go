package live_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/enforce"
)

// Sizes of the measurements.
const (
	atOnce = 500  // creates under way
	rounds = 3    // of each variant, in turns
	each   = 1500 // creates a round
)

// creates makes pods (dry run) at once and returns how long each took.
func creates(b *testing.B, clients []*kubernetes.Clientset, namespace string) []time.Duration {
	b.Helper()
	work := make(chan int)
	var mu sync.Mutex
	var out []time.Duration
	var all sync.WaitGroup
	for i := range atOnce {
		all.Go(func() {
			for n := range work {
				p := pod(fmt.Sprintf("bench-%d", n))
				start := time.Now()
				_, err := clients[i%len(clients)].CoreV1().Pods(namespace).Create(b.Context(), p, metav1.CreateOptions{DryRun: []string{"All"}})
				took := time.Since(start)
				mu.Lock()
				out = append(out, took)
				mu.Unlock()
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	for n := range each {
		work <- n
	}
	close(work)
	all.Wait()
	return out
}

func percentile(all []time.Duration, p int) float64 {
	slices.Sort(all)
	return float64(all[min(len(all)-1, len(all)*p/100)].Microseconds()) / 1000
}

// BenchmarkAdmission measures what policies add to 500 creates at once: none, in a namespace
// in which nothing holds; the API server's own policies; the webhook besides.
func BenchmarkAdmission(b *testing.B) {
	w := newWorld(b)
	w.namespace("towpath-system", nil)
	w.freeze()
	hooks := w.admin().AdmissionregistrationV1().ValidatingWebhookConfigurations()
	hook, err := hooks.Get(b.Context(), enforce.WebhookName, metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	hook.ObjectMeta = metav1.ObjectMeta{Name: hook.Name, Labels: hook.Labels}
	var clients []*kubernetes.Clientset
	for range 8 {
		clients = append(clients, w.admin())
	}
	took := map[string][]time.Duration{}
	creates(b, clients, other) // Connections are made.
	for range rounds {
		took["webhook"] = append(took["webhook"], creates(b, clients, other)...)
		if err := hooks.Delete(b.Context(), hook.Name, metav1.DeleteOptions{}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * time.Second) // The API server learns of it.
		took["none"] = append(took["none"], creates(b, clients, "towpath-system")...)
		took["vap"] = append(took["vap"], creates(b, clients, other)...)
		if _, err := hooks.Create(b.Context(), hook, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * time.Second)
	}
	for name, all := range took {
		b.ReportMetric(percentile(all, 50), name+"-p50-ms")
		b.ReportMetric(percentile(all, 99), name+"-p99-ms")
	}
	b.ReportMetric(percentile(took["vap"], 99)/percentile(took["none"], 99), "vap/none-p99")
	b.ReportMetric(percentile(took["webhook"], 99)/percentile(took["none"], 99), "webhook/none-p99")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkVerdictVisible measures the time from the API server's answer to a create until
// the verdicts stand in a report.
func BenchmarkVerdictVisible(b *testing.B) {
	w := newWorld(b)
	c := w.admin()
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	for n := range 300 {
		name := fmt.Sprintf("seen-%03d", n)
		if _, err := c.CoreV1().Pods(other).Create(b.Context(), pod(name), metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		made := time.Now()
		all.Go(func() {
			for {
				changed := w.auditor.Changed()
				r, err := w.auditor.Compliance(b.Context(), root, audit.Filter{Kind: "Pod", Namespace: other, Text: name, Limit: 1})
				if err != nil {
					b.Error(err)
					return
				}
				if len(r.Objects) > 0 {
					mu.Lock()
					took = append(took, time.Since(made))
					mu.Unlock()
					return
				}
				<-changed
			}
		})
		time.Sleep(20 * time.Millisecond)
	}
	all.Wait()
	b.ReportMetric(percentile(took, 50), "p50-ms")
	b.ReportMetric(percentile(took, 99), "p99-ms")
	lag := w.auditor.Progress().Lag
	b.ReportMetric(float64(lag.P99.Microseconds())/1000, "event-to-stored-p99-ms")
	b.ReportMetric(0, "ns/op")
	n, err := w.auditor.SweepNow(b.Context())
	if err != nil || n != 0 {
		b.Errorf("%d differences, %v", n, err)
	}
}

package metric_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/metric"
)

// live opens a store on the machine's clock: the scraper has no other.
func live(t *testing.T, o metric.Options) *metric.Store {
	t.Helper()
	s, err := metric.Open(t.TempDir(), o, clock.System(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// background runs something until the test ends.
func background(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// eventually waits for something that another goroutine does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for !is() {
		select {
		case <-t.Context().Done():
			t.Fatalf("never: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// values returns an instant vector by its labels, without instance.
func values(t *testing.T, s *metric.Store, in metric.Scope, expr string) map[string]float64 {
	t.Helper()
	points, err := s.Instant(context.Background(), in, expr, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, p := range points {
		delete(p.Labels, "instance")
		out[fmt.Sprint(p.Labels)] = p.Value
	}
	return out
}

type fixedOwners map[string]string

func (o fixedOwners) NamespaceOwner(ns string) (string, string) {
	project, environment, _ := strings.Cut(o[ns], "/")
	return project, environment
}

func (o fixedOwners) Container(id string) (metric.Container, bool) {
	return metric.Container{Namespace: "shop-production", Pod: "web-1", Name: "web", Image: "web:1"}, strings.HasPrefix(id, "aa")
}

func TestATargetCannotSayWhoseItIs(t *testing.T) {
	s := live(t, metric.Options{})
	exposes := func(text string) *httptest.Server {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
		t.Cleanup(srv.Close)
		return srv
	}
	forged := exposes("jobs{project=\"bank\",environment=\"x\",namespace=\"bank-production\",pod=\"other\",job=\"kubelet\"} 1\n")
	address := strings.TrimPrefix(forged.URL, "http://")
	cluster := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "use{namespace=\"shop-production\"} 5\nuse{namespace=\"kube-system\"} 6\nuse{project=\"bank\",environment=\"x\"} 7\nuse{namespace=\"gone\",project=\"bank\"} 8\ndropped 1\nuse{drop=\"me\"} 9\n"+
			"use{id=\"/kubepods/pod1/"+strings.Repeat("a", 64)+"\"} 10\nuse{id=\"/kubepods/pod1/"+strings.Repeat("b", 64)+"\"} 11\n")
	})
	background(t, func(ctx context.Context) error {
		return s.Scrape(ctx, metric.ScrapeOptions{
			Interval: 100 * time.Millisecond,
			Targets: []metric.Targets{metric.Fixed{
				{Job: "kubernetes-pods", Address: address, Labels: map[string]string{"project": "shop", "environment": "production", "namespace": "shop-production", "pod": "web"}},
				{Job: "platform-pods", Address: address},
				{Job: "kubelet", Address: "cluster", ByNamespace: true, Keep: "use", Drop: &metric.Match{Labels: []string{"drop"}, Regex: "me"}},
			}},
			Owners:   fixedOwners{"shop-production": "shop/production", "kube-system": ""},
			Handlers: map[string]http.Handler{"cluster": cluster},
		})
	})
	all := metric.Scope{All: true}
	eventually(t, "everything is scraped", func() bool { return len(values(t, s, all, "jobs or use")) == 7 })
	want := map[string]float64{
		"map[__name__:jobs environment:production exported_environment:x exported_job:kubelet exported_namespace:bank-production exported_pod:other exported_project:bank job:kubernetes-pods namespace:shop-production pod:web project:shop]": 1,
		"map[__name__:jobs exported_environment:x exported_job:kubelet exported_project:bank job:platform-pods namespace:bank-production pod:other]":                                                                                           1,
		"map[__name__:use environment:production job:kubelet namespace:shop-production project:shop]":                                                                                                                                          5,
		"map[__name__:use container:web environment:production id:/kubepods/pod1/" + strings.Repeat("a", 64) + " image:web:1 job:kubelet namespace:shop-production pod:web-1 project:shop]":                                                    10,
		"map[__name__:use job:kubelet namespace:kube-system]":                        6,
		"map[__name__:use exported_environment:x exported_project:bank job:kubelet]": 7,
		"map[__name__:use exported_project:bank job:kubelet namespace:gone]":         8,
	}
	if diff := cmp.Diff(want, values(t, s, all, "jobs or use")); diff != "" {
		t.Error(diff)
	}
	if got := values(t, s, metric.Scope{Project: "bank"}, `{__name__=~".+"}`); len(got) != 0 {
		t.Errorf("project bank sees %v", got)
	}
	status, err := s.TargetStatus(metric.Scope{Project: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	if len(status) != 1 || status[0].Health != "up" || status[0].Labels["project"] != "shop" {
		t.Errorf("targets of shop: %+v", status)
	}
}

func TestScrapesAreLimited(t *testing.T) {
	s := live(t, metric.Options{SeriesPerProject: 40})
	lines := func(n int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for i := range n {
				fmt.Fprintf(w, "m{i=\"%d\"} 1\n", i)
			}
		})
	}
	large := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("# nothing\n", 10_000)+"m 1\n")
	})
	background(t, func(ctx context.Context) error {
		return s.Scrape(ctx, metric.ScrapeOptions{
			Interval: 100 * time.Millisecond, Samples: 100, BodyLimit: 50_000,
			Targets: []metric.Targets{metric.Fixed{
				{Job: "fine", Address: "fine", Labels: map[string]string{"project": "a"}},
				{Job: "samples", Address: "samples", Labels: map[string]string{"project": "b"}},
				{Job: "body", Address: "body", Labels: map[string]string{"project": "c"}},
				{Job: "series", Address: "series", Labels: map[string]string{"project": "d"}},
			}},
			Handlers: map[string]http.Handler{"fine": lines(10), "samples": lines(200), "body": large, "series": lines(90)},
		})
	})
	all := metric.Scope{All: true}
	eventually(t, "all have been scraped", func() bool { return len(values(t, s, all, "up")) == 4 && len(values(t, s, all, "m")) >= 40 })
	// What a project has too much of does not end its scrape.
	want := map[string]float64{
		"map[__name__:up job:fine project:a]": 1, "map[__name__:up job:samples project:b]": 0, "map[__name__:up job:body project:c]": 0, "map[__name__:up job:series project:d]": 1,
	}
	got := values(t, s, all, "up")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c, err := s.Cardinality(context.Background(), "d")
	if err != nil {
		t.Fatal(err)
	}
	if c.Series < 40 || c.Series > 50 || c.Refused == 0 || c.Metric != "m" || c.Label != "i" {
		t.Errorf("%+v", c)
	}
}

// changing are targets that can be replaced.
type changing struct {
	list    []metric.Target
	changed chan struct{}
}

func (c *changing) Targets() []metric.Target { return c.list }
func (c *changing) Changed() <-chan struct{} { return c.changed }

func TestASeriesEndsWithItsTarget(t *testing.T) {
	s := live(t, metric.Options{})
	up := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "m 1\n") })
	with, without := &changing{changed: make(chan struct{})}, metric.Fixed{}
	with.list = []metric.Target{{Job: "j", Address: "a", Labels: map[string]string{"project": "shop"}}}
	first, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- s.Scrape(first, metric.ScrapeOptions{Interval: 100 * time.Millisecond, Targets: []metric.Targets{with, without}, Handlers: map[string]http.Handler{"a": up}})
	}()
	eventually(t, "the target is scraped", func() bool { return len(values(t, s, metric.Scope{Project: "shop"}, "m")) == 1 })
	// The end of the scraper says nothing of the target's; a new scraper goes on.
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) error {
		return s.Scrape(ctx, metric.ScrapeOptions{Interval: 100 * time.Millisecond, Targets: []metric.Targets{with}, Handlers: map[string]http.Handler{"a": up}})
	})
	eventually(t, "the target is scraped again", func() bool {
		st, err := s.TargetStatus(metric.Scope{All: true})
		return err == nil && len(st) == 1 && st[0].Health == "up"
	})
}

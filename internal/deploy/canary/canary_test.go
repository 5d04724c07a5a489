package canary_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/deploy/canary"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tally is a track that answered so many requests, some of them with errors, each within a
// time of its bucket.
func tally(requests, errors, slow int64) canary.Tally {
	return canary.Tally{Requests: requests, Errors: errors, Buckets: []canary.Bucket{
		{LE: 0.01, Count: requests - slow}, {LE: 0.1, Count: requests - slow}, {LE: 1, Count: requests}, {LE: 1e300, Count: requests},
	}}
}

func strategy() canary.Strategy {
	return canary.Strategy{Steps: []canary.Step{{Weight: 10, Pause: canary.Duration(30 * time.Second)}, {Weight: 50, Pause: canary.Duration(30 * time.Second)}}, MinSamples: 100}
}

func TestDecide(t *testing.T) {
	zero := 0
	for _, c := range []struct {
		name   string
		change func(*canary.Strategy)
		after  time.Duration
		sample canary.Sample
		want   string
		why    string
	}{
		{name: "clean and long enough", after: 31 * time.Second, sample: canary.Sample{Canary: tally(500, 0, 0), Baseline: tally(500, 0, 0)}, want: canary.Advance},
		{name: "clean, not long enough", after: 20 * time.Second, sample: canary.Sample{Canary: tally(500, 0, 0), Baseline: tally(500, 0, 0)}, want: canary.Stay},
		{name: "too few requests", after: 31 * time.Second, sample: canary.Sample{Canary: tally(50, 0, 0), Baseline: tally(50, 0, 0)}, want: canary.Stay},
		{name: "too few requests for ever", after: 10 * time.Minute, sample: canary.Sample{Canary: tally(50, 0, 0), Baseline: tally(50, 0, 0)}, want: canary.Unsure, why: "needs 100"},
		{name: "many errors", after: 5 * time.Second, sample: canary.Sample{Canary: tally(500, 25, 0), Baseline: tally(500, 0, 0)}, want: canary.Reject, why: "5.0 %"},
		{name: "both have errors", after: 31 * time.Second, sample: canary.Sample{Canary: tally(500, 25, 0), Baseline: tally(500, 25, 0)}, want: canary.Advance},
		{name: "one error is no proof", after: 31 * time.Second, sample: canary.Sample{Canary: tally(150, 1, 0), Baseline: tally(150, 0, 0)}, want: canary.Advance},
		{name: "slow, seen once", after: 5 * time.Second, sample: canary.Sample{Canary: tally(500, 0, 100), Baseline: tally(500, 0, 0)}, want: canary.Stay},
		{name: "restarts", after: time.Second, sample: canary.Sample{CanaryHealth: canary.Health{Restarts: 1}}, want: canary.Reject, why: "restarted"},
		{name: "restarts of both", after: time.Second, sample: canary.Sample{CanaryHealth: canary.Health{Restarts: 1}, BaselineHealth: canary.Health{Restarts: 1}}, want: canary.Stay},
		{name: "memory", after: time.Second, sample: canary.Sample{CanaryHealth: canary.Health{OOM: 1}}, want: canary.Reject, why: "memory"},
		{name: "analysis off", after: 31 * time.Second, change: func(s *canary.Strategy) { s.Steps[0].Analysis = "off" },
			sample: canary.Sample{Canary: tally(500, 100, 0), Baseline: tally(500, 0, 0)}, want: canary.Advance},
		{name: "a person", after: 31 * time.Second, change: func(s *canary.Strategy) { s.Steps[0].Person = true },
			sample: canary.Sample{Canary: tally(500, 0, 0), Baseline: tally(500, 0, 0)}, want: canary.Pause},
		{name: "last step", after: 31 * time.Second, change: func(s *canary.Strategy) { s.Steps = s.Steps[:1] },
			sample: canary.Sample{Canary: tally(500, 0, 0), Baseline: tally(500, 0, 0)}, want: canary.Promote},
		{name: "neither success nor failure", after: time.Second, change: func(s *canary.Strategy) {
			s.Metrics = []canary.Metric{{Name: canary.ErrorRate, SuccessCondition: "result < 0.01", FailureCondition: "result > 0.1"}}
		}, sample: canary.Sample{Canary: tally(100, 5, 0)}, want: canary.Unsure, why: "inconclusive"},
		{name: "only success, and it is none", after: time.Second, change: func(s *canary.Strategy) {
			s.Metrics = []canary.Metric{{Name: canary.ErrorRate, SuccessCondition: "result < 0.01"}}
		}, sample: canary.Sample{Canary: tally(100, 5, 0)}, want: canary.Reject},
		{name: "a failure is tolerated", after: time.Second, change: func(s *canary.Strategy) {
			s.Metrics = []canary.Metric{{Name: canary.ErrorRate, FailureCondition: "result > 0.01", FailureLimit: 1}}
		}, sample: canary.Sample{Canary: tally(100, 5, 0)}, want: canary.Stay},
		{name: "shown only", after: time.Second, change: func(s *canary.Strategy) {
			s.Metrics = []canary.Metric{{Name: canary.ErrorRate, FailureCondition: "result > 0.01", DryRun: true}}
		}, sample: canary.Sample{Canary: tally(100, 5, 0)}, want: canary.Stay},
		{name: "initial delay", after: time.Second, change: func(s *canary.Strategy) {
			s.Metrics = []canary.Metric{{Name: canary.ErrorRate, FailureCondition: "result > 0.01", InitialDelay: canary.Duration(time.Minute)}}
		}, sample: canary.Sample{Canary: tally(100, 5, 0)}, want: canary.Stay},
		{name: "count ends a step early", after: time.Second, change: func(s *canary.Strategy) {
			s.Metrics = []canary.Metric{{Name: canary.ErrorRate, SuccessCondition: "result < 0.01", Count: 1, ConsecutiveErrorLimit: &zero}}
		}, sample: canary.Sample{Canary: tally(100, 0, 0)}, want: canary.Advance},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := strategy()
			if c.change != nil {
				c.change(&s)
			}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			trial := canary.New(s, start)
			c.sample.Service = "cart"
			if _, err := trial.Measure(start.Add(c.after), []canary.Sample{c.sample}); err != nil {
				t.Fatal(err)
			}
			got := trial.Decide(start.Add(c.after))
			if got.Do != c.want || !strings.Contains(got.Why, c.why) {
				t.Errorf("decided %+v, want %s because %q", got, c.want, c.why)
			}
		})
	}
}

// TestLost has measurements fail: the fifth in a row asks for a person, four do not.
func TestLost(t *testing.T) {
	trial := canary.New(strategy(), start)
	now := start
	if _, err := trial.Measure(now, []canary.Sample{{Service: "cart"}}); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 5; i++ {
		now = now.Add(10 * time.Second)
		trial.Lost(now, "no router is ready")
		want := canary.Stay
		if i == 5 {
			want = canary.Unsure
		}
		if got := trial.Decide(now); got.Do != want {
			t.Errorf("after %d errors it does %+v, want %s", i, got, want)
		}
	}
}

// TestPowerAndLevel drives trials with random answers: a clean canary is hardly ever
// rejected however often it is looked at, one that fails 5 % of its requests always is.
func TestPowerAndLevel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	rejected := func(canaryRate, baselineRate float64) int {
		n := 0
		for range 300 {
			trial := canary.New(canary.Strategy{Steps: []canary.Step{{Weight: 10, Pause: canary.Duration(time.Hour)}}}, start)
			s := canary.Sample{Service: "cart"}
			for look := range 100 {
				for range 10 {
					s.Canary.Requests++
					s.Baseline.Requests++
					if random.Float64() < canaryRate {
						s.Canary.Errors++
					}
					if random.Float64() < baselineRate {
						s.Baseline.Errors++
					}
				}
				now := start.Add(time.Duration(look+1) * 5 * time.Second)
				if _, err := trial.Measure(now, []canary.Sample{s}); err != nil {
					t.Fatal(err)
				}
				if trial.Decide(now).Do == canary.Reject {
					n++
					break
				}
			}
		}
		return n
	}
	if n := rejected(0.02, 0.02); n > 6 {
		t.Errorf("%d of 300 equal canaries were rejected, at most one in a hundred should be", n)
	}
	if n := rejected(0, 0); n != 0 {
		t.Errorf("%d canaries without an error were rejected", n)
	}
	if n := rejected(0.05, 0); n < 297 {
		t.Errorf("only %d of 300 canaries that fail 5 %% of 1000 requests were rejected", n)
	}
}

func TestShares(t *testing.T) {
	for weight, want := range map[int][3]int{1: {98, 1, 1}, 10: {80, 10, 10}, 50: {0, 50, 50}, 75: {0, 25, 75}, 100: {0, 0, 100}} {
		stable, baseline, try := canary.Shares(weight)
		if diff := cmp.Diff(want, [3]int{stable, baseline, try}); diff != "" {
			t.Errorf("at %d %%: %s", weight, diff)
		}
	}
	for _, c := range [][3]int{{1, 10, 1}, {1, 100, 1}, {10, 25, 3}, {10, 24, 2}, {0, 50, 1}} {
		if got := canary.Replicas(c[0], c[1]); got != c[2] {
			t.Errorf("%d replicas at %d %%: %d, want %d", c[0], c[1], got, c[2])
		}
	}
}

func TestStrategyRefused(t *testing.T) {
	for _, text := range []string{
		`{"steps":[{"weight":0}]}`, `{"steps":[{"weight":101}]}`, `{"steps":[{"weight":10,"pause":"-1s"}]}`, `{"steps":[{"weight":10,"pause":"x"}]}`,
		`{"steps":[{"weight":10}],"metrics":[{"name":"luck"}]}`, `{"steps":[{"weight":10}],"metrics":[{"name":"oom","failureCondition":"canary +"}]}`,
		`{"steps":[{"weight":10}],"metrics":[{"name":"oom","failureCondition":"canary + 1.0"}]}`, `{"steps":[{"weight":10}],"unknown":1}`,
		`{"steps":[{"weight":10,"analysis":"maybe"}]}`, `{"steps":[{"weight":10}],"sticky":"moon"}`,
	} {
		if _, err := canary.Parse(text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
	if s, err := canary.Parse(`{"steps":[{"weight":10,"pause":"1m"},{"weight":50,"person":true}]}`); err != nil || len(s.Steps) != 2 || s.Steps[0].Pause != canary.Duration(time.Minute) {
		t.Errorf("a good strategy is %+v, %v", s, err)
	}
}

const scraped = `# TYPE towpath_router_requests_total counter
towpath_router_requests_total{service="cart",track="canary",code="200"} 90
towpath_router_requests_total{service="cart",track="canary",code="503"} 10
towpath_router_requests_total{service="cart",track="stable",code="200"} 7
towpath_router_request_seconds_bucket{service="cart",track="canary",le="0.1"} 50
towpath_router_request_seconds_bucket{service="cart",track="canary",le="+Inf"} 100
go_goroutines 8
`

func TestScrapeAndCount(t *testing.T) {
	seen, err := canary.Scrape([]byte(scraped))
	if err != nil {
		t.Fatal(err)
	}
	got := seen[canary.Key{Service: "cart", Track: "canary"}]
	if got.Requests != 100 || got.Errors != 10 || len(got.Buckets) != 2 || got.Buckets[0].Count != 50 {
		t.Errorf("scraped %+v", got)
	}
	more, err := canary.Scrape([]byte(strings.ReplaceAll(scraped, "} 90", "} 190")))
	if err != nil {
		t.Fatal(err)
	}
	var c canary.Counter
	c.Add("a", seen, false) // counted before the trial
	c.Add("a", more, false)
	c.Add("b", seen, true)  // started during the trial
	c.Add("a", seen, false) // started anew
	if got := c.Sums["cart"].Canary.Requests; got != 100+100+100 {
		t.Errorf("counted %d requests, want 300", got)
	}
}

func FuzzScrape(f *testing.F) {
	f.Add(scraped)
	f.Add(`towpath_router_requests_total{service="a\"b",track="c",code="5"} 1e3 17`)
	f.Add(`towpath_router_requests_total{service="`)
	f.Fuzz(func(t *testing.T, text string) {
		seen, err := canary.Scrape([]byte(text))
		if err != nil {
			return
		}
		for k, v := range seen {
			if v.Requests < 0 || v.Errors > v.Requests {
				t.Errorf("%v counts %+v", k, v)
			}
		}
	})
}

func ExampleShares() {
	fmt.Println(canary.Shares(10))
	// Output: 80 10 10
}

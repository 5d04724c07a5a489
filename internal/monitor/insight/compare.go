package insight

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/monitor/insight/drain"
	"towpath.dev/towpath/internal/monitor/insight/stat"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
)

// The verdicts.
const (
	Better  = "better"
	Same    = "same"
	Worse   = "worse"
	Unclear = "unclear" // too little was asked of one of the two
)

// What a difference must be to matter, beside being significant. A service that is a
// hundredth slower is not a worse release, however sure one is of it.
const (
	alphaFailures  = 0.005 // after Holm's correction, over the operations
	alphaDurations = 0.003
	minShare       = 0.01 // of requests that fail more or less
	minSlower      = 0.20 // of the 95th percentile
	minSlowerMs    = 10.0
	minSample      = 30 // requests of an operation on each side, to say anything of it
	maxSample      = 40_000
	maxListed      = 20
)

// Comparison is a release beside its baseline.
type Comparison struct {
	Release     string            `json:"release"`
	Project     string            `json:"project"`
	Environment string            `json:"environment"`
	Baseline    string            `json:"baseline"`
	Verdict     string            `json:"verdict"`
	Why         string            `json:"why"`
	Final       bool              `json:"final" doc:"it is not looked at again"`
	Compared    time.Time         `json:"compared"`
	Operations  []event.Operation `json:"operations" doc:"the worst first"`
	Errors      []Group           `json:"errors" doc:"groups that came with the release"`
	Patterns    []drain.Pattern   `json:"patterns" doc:"of log lines that the baseline did not write"`
	// Queries are the KQL texts whose rows were compared.
	Queries []string `json:"queries"`
}

// sample is what one side did in one operation.
type sample struct {
	requests int64 // weighted
	rows     int64
	failed   int64 // of rows
	times    []float64
}

// opKey names an operation.
type opKey struct{ role, name string }

// sampleText is the query of the requests of a release, the last ones when there are many.
func sampleText(in Scope, release string) string {
	return fmt.Sprintf("%s\n| where Release == %s\n| top %d by TimeGenerated desc\n| project AppRoleName, Name, Success, DurationMs, ItemCount", requestsOf(in), syntax.Quote(release), maxSample)
}

// samples reads the requests of a release.
func (s *Service) samples(ctx context.Context, in Scope, release string) (map[opKey]*sample, error) {
	r, err := s.ask(ctx, in, sampleText(in, release), maxSample)
	if err != nil {
		return nil, err
	}
	out := map[opKey]*sample{}
	for i := range r.Rows() {
		k := opKey{r.text("AppRoleName", i), r.text("Name", i)}
		o, ok := out[k]
		if !ok {
			o = &sample{}
			out[k] = o
		}
		o.rows++
		o.requests += max(1, r.integer("ItemCount", i))
		if r.integer("Success", i) == 0 {
			o.failed++
		}
		o.times = append(o.times, r.real("DurationMs", i))
	}
	for _, o := range out {
		slices.Sort(o.times)
	}
	return out, nil
}

// compare sets the operations of two samples beside each other.
func compare(now, before map[opKey]*sample) []event.Operation {
	var ops []event.Operation
	var failures, durations []float64
	var tested []int
	for k, a := range now {
		o := event.Operation{
			Role: k.role, Name: k.name, Requests: a.requests, FailureShare: share(a.failed, a.rows), P95: stat.Quantile(a.times, 0.95), P: 1, Verdict: Unclear,
		}
		if b, ok := before[k]; ok {
			o.RequestsBefore, o.FailureBefore, o.P95Before = b.requests, share(b.failed, b.rows), stat.Quantile(b.times, 0.95)
			if min(a.rows, b.rows) >= minSample {
				tested = append(tested, len(ops))
				failures = append(failures, stat.Shares(a.failed, a.rows, b.failed, b.rows))
				durations = append(durations, slower(a, b, o.P95Before))
			}
		}
		ops = append(ops, o)
	}
	failures, durations = stat.Holm(failures), stat.Holm(durations)
	for i, at := range tested {
		judge(&ops[at], failures[i], durations[i])
	}
	slices.SortFunc(ops, func(a, b event.Operation) int {
		return cmp.Or(cmp.Compare(rank(a.Verdict), rank(b.Verdict)), cmp.Compare(a.P, b.P), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name))
	})
	return ops
}

// slower is the p of a difference in duration: of all requests by their ranks, or of the
// slow ones by how many are slower than the 95th percentile of before. It is two questions,
// so that the smaller p counts twice.
func slower(a, b *sample, p95 float64) float64 {
	above := func(times []float64) int64 {
		i, _ := slices.BinarySearchFunc(times, p95, func(t, p float64) int {
			if t <= p {
				return -1
			}
			return 1
		})
		return int64(len(times) - i)
	}
	ranks := stat.MannWhitney(a.times, b.times)
	tail := stat.Shares(above(a.times), int64(len(a.times)), above(b.times), int64(len(b.times)))
	return min(1, 2*min(ranks, tail))
}

// judge says what became of an operation.
func judge(o *event.Operation, failures, durations float64) {
	o.Verdict, o.P = Same, min(failures, durations)
	moreFail := o.FailureShare - o.FailureBefore
	moreTime := o.P95 - o.P95Before
	slowed := math.Abs(moreTime) >= minSlowerMs && math.Abs(moreTime) >= minSlower*min(o.P95, o.P95Before)
	switch {
	case failures < alphaFailures && moreFail >= minShare:
		o.Verdict, o.P = Worse, failures
	case durations < alphaDurations && slowed && moreTime > 0:
		o.Verdict, o.P = Worse, durations
	case failures < alphaFailures && -moreFail >= minShare:
		o.Verdict, o.P = Better, failures
	case durations < alphaDurations && slowed && moreTime < 0:
		o.Verdict, o.P = Better, durations
	}
}

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func rank(verdict string) int { return slices.Index([]string{Worse, Better, Unclear, Same}, verdict) }

// verdictOf adds the operations up.
func verdictOf(ops []event.Operation) (verdict, why string) {
	by := map[string]int{}
	for _, o := range ops {
		by[o.Verdict]++
	}
	switch {
	case by[Worse] > 0:
		return Worse, because(ops[0])
	case by[Better] > 0:
		return Better, because(ops[0])
	case by[Same] > 0:
		return Same, fmt.Sprintf("%d operations do as before", by[Same])
	}
	return Unclear, "too few requests to compare"
}

// because says what changed in an operation.
func because(o event.Operation) string {
	name := o.Name
	if o.Role != "" {
		name = o.Role + ": " + name
	}
	if d := o.FailureShare - o.FailureBefore; math.Abs(d) >= minShare && (d > 0) == (o.Verdict == Worse) {
		return fmt.Sprintf("%s: %.1f %% of requests fail, %.1f %% before", name, 100*o.FailureShare, 100*o.FailureBefore)
	}
	return fmt.Sprintf("%s: 95 %% of requests take up to %.0f ms, %.0f ms before", name, o.P95, o.P95Before)
}

// enough reports whether the sample suffices: of the operations that the baseline served
// often, each was asked often enough now, and there is one.
func enough(now, before map[opKey]*sample, size int64) bool {
	total := int64(0)
	for _, b := range before {
		total += b.rows
	}
	found := false
	for k, b := range before {
		// What makes up less than a twentieth of the traffic does not hold the others up.
		if b.rows < size || b.rows*20 < total {
			continue
		}
		if a, ok := now[k]; !ok || a.rows < size {
			return false
		}
		found = true
	}
	return found
}

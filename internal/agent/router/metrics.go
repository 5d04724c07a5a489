package router

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"
)

// edges are the upper bounds of the histogram's buckets, in seconds.
var edges = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// metrics counts requests. Its labels come from the table and from statuses: both are
// bounded.
type metrics struct {
	mu    sync.Mutex
	codes map[codeKey]uint64
	times map[timeKey]*histogram
}

type codeKey struct {
	service, track string
	code           int
}

type timeKey struct{ service, track string }

type histogram struct {
	buckets [len(edges)]uint64 // not cumulative
	count   uint64
	sum     float64
}

func newMetrics() *metrics {
	return &metrics{codes: map[codeKey]uint64{}, times: map[timeKey]*histogram{}}
}

func (m *metrics) count(service, track string, code int, took time.Duration) {
	seconds := took.Seconds()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.codes[codeKey{service, track, code}]++
	h := m.times[timeKey{service, track}]
	if h == nil {
		h = &histogram{}
		m.times[timeKey{service, track}] = h
	}
	h.count++
	h.sum += seconds
	for i, edge := range edges {
		if seconds <= edge {
			h.buckets[i]++
			break
		}
	}
}

// write writes the metrics in the text format of Prometheus. Names of services and tracks
// are DNS labels, so nothing needs an escape.
func (m *metrics) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprint(b, "# HELP towpath_router_requests_total Requests that are over, by the service, the track that answered (session for any session) and the status; a gRPC status counts as its status of HTTP, a client that went away as 499.\n# TYPE towpath_router_requests_total counter\n")
	for _, k := range sorted(m.codes, func(k codeKey) string { return k.service + "\x00" + k.track + "\x00" + strconv.Itoa(k.code) }) {
		fmt.Fprintf(b, "towpath_router_requests_total{service=%q,track=%q,code=\"%d\"} %d\n", k.service, k.track, k.code, m.codes[k])
	}
	fmt.Fprint(b, "# HELP towpath_router_request_seconds How long requests took until the end of the response; of event streams and upgrades until its header.\n# TYPE towpath_router_request_seconds histogram\n")
	for _, k := range sorted(m.times, func(k timeKey) string { return k.service + "\x00" + k.track }) {
		h, sum := m.times[k], uint64(0)
		for i, edge := range edges {
			sum += h.buckets[i]
			fmt.Fprintf(b, "towpath_router_request_seconds_bucket{service=%q,track=%q,le=\"%s\"} %d\n", k.service, k.track, strconv.FormatFloat(edge, 'g', -1, 64), sum)
		}
		fmt.Fprintf(b, "towpath_router_request_seconds_bucket{service=%q,track=%q,le=\"+Inf\"} %d\n", k.service, k.track, h.count)
		fmt.Fprintf(b, "towpath_router_request_seconds_sum{service=%q,track=%q} %s\n", k.service, k.track, strconv.FormatFloat(h.sum, 'g', -1, 64))
		fmt.Fprintf(b, "towpath_router_request_seconds_count{service=%q,track=%q} %d\n", k.service, k.track, h.count)
	}
	return b.Flush()
}

func sorted[K comparable, V any](m map[K]V, by func(K) string) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int {
		switch x, y := by(a), by(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return keys
}

package canary

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Names of the router's series.
const (
	seriesRequests = "towpath_router_requests_total"
	seriesSeconds  = "towpath_router_request_seconds_bucket"
)

// maxSeries bounds what is read of one router.
const maxSeries = 200_000

// Key names a track of a service.
type Key struct{ Service, Track string }

// Scrape reads the router's metrics in Prometheus' text format: what it counted since it
// started, by service and track. Other series are passed over.
func Scrape(text []byte) (map[Key]Tally, error) {
	out := map[Key]Tally{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for n := 0; lines.Scan(); n++ {
		if n > maxSeries {
			return nil, fmt.Errorf("reading metrics: more than %d lines", maxSeries)
		}
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if !strings.HasPrefix(line, seriesRequests+"{") && !strings.HasPrefix(line, seriesSeconds+"{") {
			continue
		}
		name, labels, value, err := series(line)
		if err != nil {
			return nil, err
		}
		k := Key{labels["service"], labels["track"]}
		t := out[k]
		if name == seriesRequests {
			t.Requests += value
			if code, err := strconv.Atoi(labels["code"]); err == nil && code >= 500 {
				t.Errors += value
			}
			out[k] = t
			continue
		}
		le, err := strconv.ParseFloat(labels["le"], 64)
		if err != nil || math.IsNaN(le) {
			return nil, fmt.Errorf("reading metrics: bucket %q", labels["le"])
		}
		// The last bucket is +Inf, which JSON cannot write.
		out[k] = t.Plus(Tally{Buckets: []Bucket{{LE: math.Min(le, math.MaxFloat64), Count: value}}})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return out, nil
}

// series reads a line: name{label="value",…} value [timestamp].
func series(line string) (name string, labels map[string]string, value int64, err error) {
	name, rest, _ := strings.Cut(line, "{")
	labels = map[string]string{}
	for {
		rest = strings.TrimLeft(rest, " ,")
		if after, ok := strings.CutPrefix(rest, "}"); ok {
			rest = after
			break
		}
		key, after, ok := strings.Cut(rest, "=")
		if !ok || !strings.HasPrefix(after, `"`) {
			return "", nil, 0, fmt.Errorf("reading metrics: labels of %s", name)
		}
		text, left, ok := quoted(after[1:])
		if !ok {
			return "", nil, 0, fmt.Errorf("reading metrics: label %s of %s", key, name)
		}
		labels[strings.TrimSpace(key)], rest = text, left
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return "", nil, 0, fmt.Errorf("reading metrics: %s has no value", name)
	}
	f, err := strconv.ParseFloat(fields[0], 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1e15 {
		return "", nil, 0, fmt.Errorf("reading metrics: %s counts %q", name, fields[0])
	}
	return name, labels, int64(f), nil
}

// quoted reads a label's value up to its closing quote.
func quoted(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i >= len(s) {
				return "", "", false
			}
			if s[i] == 'n' {
				b.WriteByte('\n')
			} else {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// Counter adds up what routers count: a pod that starts anew counts from zero, and one that
// is seen for the first time by this counter may have counted before the trial.
type Counter struct {
	Sums map[string]Sample           `json:"sums"` // by service, since the trial began
	Last map[string]map[string]Tally `json:"last"` // by pod, then "service/track"
}

// Add takes what the pods of a router say now. The first look at a pod counts nothing when
// fresh is false: what it counted before the trial began is not the trial's.
func (c *Counter) Add(pod string, seen map[Key]Tally, fresh bool) {
	if c.Sums == nil {
		c.Sums, c.Last = map[string]Sample{}, map[string]map[string]Tally{}
	}
	last, known := c.Last[pod]
	if last == nil {
		last = map[string]Tally{}
		c.Last[pod] = last
	}
	for k, now := range seen {
		key := k.Service + "/" + k.Track
		more := now
		if before, ok := last[key]; ok && before.Requests <= now.Requests {
			more = now.Minus(before)
		} else if !known && !fresh {
			more = Tally{}
		}
		last[key] = now
		s := c.Sums[k.Service]
		s.Service = k.Service
		switch k.Track {
		case "canary":
			s.Canary = s.Canary.Plus(more)
		case "baseline":
			s.Baseline = s.Baseline.Plus(more)
		default:
			continue
		}
		c.Sums[k.Service] = s
	}
}

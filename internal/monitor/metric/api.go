package metric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"

	"towpath.dev/towpath/internal/fault"
)

// maxForm bounds what a question's form may hold.
const maxForm = 1 << 20

// API answers Prometheus' HTTP API below /api/v1/ ("HTTP API" in its documentation): what
// Grafana's data source and promtool ask. scope says whose series the request may see; its
// error becomes the answer. A rules of nil has none. Paths may have any prefix before
// /api/v1/, which the caller strips.
func (s *Store) API(scope func(*http.Request) (Scope, error), rules Rules) http.Handler {
	mux := http.NewServeMux()
	for path, answer := range map[string]func(*asked) (any, error){
		"query":               s.apiQuery,
		"query_range":         s.apiQueryRange,
		"query_exemplars":     func(*asked) (any, error) { return []any{}, nil },
		"format_query":        s.apiFormat,
		"series":              s.apiSeries,
		"labels":              s.apiLabels,
		"label/{name}/values": s.apiLabelValues,
		"metadata":            s.apiMetadata,
		"targets":             s.apiTargets,
		"rules":               func(a *asked) (any, error) { return apiRules(a, rules) },
		"alerts":              func(a *asked) (any, error) { return apiAlerts(a, rules) },
		"status/buildinfo":    s.apiBuildInfo,
		"status/runtimeinfo":  s.apiRuntimeInfo,
		"status/flags":        func(*asked) (any, error) { return map[string]string{}, nil },
		"status/tsdb":         s.apiCardinality,
	} {
		h := func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			if err := r.ParseForm(); err != nil {
				respondError(w, bad("the form cannot be read: %v", err))
				return
			}
			in, err := scope(r)
			if err == nil {
				err = in.check()
			}
			if err != nil {
				respondError(w, err)
				return
			}
			a := &asked{Request: r, in: in, see: confine(s.db, in), now: s.clock.Now()}
			data, err := answer(a)
			if err != nil {
				respondError(w, err)
				return
			}
			respond(w, data, a.warnings)
		}
		mux.HandleFunc("GET /api/v1/"+path, h)
		mux.HandleFunc("POST /api/v1/"+path, h)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		respondError(w, fault.New(fault.NotFound, "There is no %s here.", r.URL.Path))
	})
	return mux
}

// asked is a request to the API, with what it may see.
type asked struct {
	*http.Request
	in       Scope
	see      queryable
	now      time.Time
	warnings annotations.Annotations
}

// errBad is the caller's mistake; errorType "bad_data" in the answer.
type errBad struct{ text string }

// Error returns what is wrong.
func (e errBad) Error() string { return e.text }

func bad(format string, args ...any) error { return errBad{fmt.Sprintf(format, args...)} }

// response is Prometheus' envelope.
type response struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Infos     []string `json:"infos,omitempty"`
}

func respond(w http.ResponseWriter, data any, notes annotations.Annotations) {
	warnings, infos := notes.AsStrings("", 10, 10)
	write(w, http.StatusOK, response{Status: "success", Data: data, Warnings: warnings, Infos: infos})
}

func respondError(w http.ResponseWriter, err error) {
	status, kind, text := explain(err)
	write(w, status, response{Status: "error", ErrorType: kind, Error: text})
}

func write(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"status":"error","errorType":"internal","error":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client is gone: nobody is left to tell
}

// statusGone is what Prometheus answers to somebody who went away (nginx' 499).
const statusGone = 499

// explain maps an error to the status, the errorType and the words that Prometheus gives.
func explain(err error) (status int, kind, text string) {
	var (
		wrong    errBad
		canceled promql.ErrQueryCanceled
		timeout  promql.ErrQueryTimeout
		store    promql.ErrStorage
		known    *fault.Error
	)
	switch {
	case errors.As(err, &wrong):
		return http.StatusBadRequest, "bad_data", wrong.text
	case errors.As(err, &known):
		message, next := fault.Public(known)
		if next != "" {
			message += " " + next
		}
		return known.Kind.Status(), typeOf(known.Kind), message
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return statusGone, "canceled", err.Error()
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable, "timeout", err.Error()
	case errors.As(err, &store):
		return http.StatusInternalServerError, "internal", "the storage cannot be read"
	}
	return http.StatusUnprocessableEntity, "execution", err.Error()
}

func typeOf(k fault.Kind) string {
	switch k {
	case fault.Invalid:
		return "bad_data"
	case fault.NotFound:
		return "not_found"
	case fault.Unavailable, fault.Throttled:
		return "unavailable"
	case fault.Internal:
		return "internal"
	}
	return "execution"
}

// The bounds of time where none are given.
func (a *asked) span() (mint, maxt int64, err error) {
	start, err := a.moment("start", time.Unix(0, 0))
	if err != nil {
		return 0, 0, err
	}
	end, err := a.moment("end", a.now.Add(future))
	if err != nil {
		return 0, 0, err
	}
	if end.Before(start) {
		return 0, 0, bad("invalid parameter \"end\": end timestamp must not be before start time")
	}
	return start.UnixMilli(), end.UnixMilli(), nil
}

// moment reads a time as Prometheus does: RFC 3339, or Unix seconds with a fraction.
func (a *asked) moment(name string, otherwise time.Time) (time.Time, error) {
	text := a.Form.Get(name)
	if text == "" {
		return otherwise, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1e11 {
		whole, part := math.Modf(f)
		return time.Unix(int64(whole), int64(math.Round(part*1000))*int64(time.Millisecond)).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, bad("invalid parameter %q: cannot parse %q to a valid timestamp", name, text)
	}
	return t, nil
}

// duration reads a length of time: seconds, or Prometheus' "5m".
func (a *asked) duration(name string) (time.Duration, error) {
	text := a.Form.Get(name)
	if text == "" {
		return 0, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1e9 {
		return time.Duration(f * float64(time.Second)), nil
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0, bad("invalid parameter %q: cannot parse %q to a valid duration", name, text)
	}
	return time.Duration(d), nil
}

// limit reads how many entries are asked for; 0 is all.
func (a *asked) limit() (int, error) {
	text := a.Form.Get("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, bad("invalid parameter \"limit\": %q is not a number of entries", text)
	}
	return n, nil
}

// matchers reads match[].
func (s *Store) matchers(a *asked) ([][]*labels.Matcher, error) {
	if len(a.Form["match[]"]) > 100 {
		return nil, bad("more than 100 match[] parameters")
	}
	for _, m := range a.Form["match[]"] {
		if err := short(m); err != nil {
			return nil, err
		}
	}
	sets, err := s.parser.ParseMetricSelectors(a.Form["match[]"])
	if err != nil {
		return nil, bad("invalid parameter \"match[]\": %v", err)
	}
	for _, ms := range sets {
		some := false
		for _, m := range ms {
			some = some || m != nil && !m.Matches("")
		}
		if !some {
			return nil, bad("match[] must contain at least one non-empty matcher")
		}
	}
	return sets, nil
}

var errTruncated = errors.New("results truncated due to limit")

// cut shortens a list to a limit and says so.
func cut[T any](a *asked, list []T, limit int) []T {
	if list == nil {
		list = []T{}
	}
	if limit > 0 && len(list) > limit {
		a.warnings.Add(errTruncated)
		return list[:limit]
	}
	return list
}

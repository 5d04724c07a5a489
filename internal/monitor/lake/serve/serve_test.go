package serve_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/serve"
	"towpath.dev/towpath/internal/monitor/table"
)

// fixed answers every call with what it holds.
type fixed struct {
	err    error
	answer *lake.Answer
	got    []lake.Sent
	query  lake.Query
}

func (f *fixed) Append(_ context.Context, b []lake.Sent) error {
	f.got = b
	return f.err
}

func (f *fixed) Query(_ context.Context, q lake.Query) (*lake.Answer, error) {
	f.query = q
	return f.answer, f.err
}

func (f *fixed) Stats(context.Context) (*lake.Usage, error) { return &lake.Usage{Batches: 7}, f.err }
func (f *fixed) Seal(context.Context) error                 { return f.err }

// run serves an engine and returns a client of it, and one for what no client would send.
func run(t *testing.T, e serve.Engine) (*lake.Client, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve.Run(ctx, socket, e, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c := lake.Dial(socket)
	t.Cleanup(c.Close)
	for fault.Is(c.Seal(t.Context()), fault.Unavailable) {
		time.Sleep(time.Millisecond)
	}
	return c, socket
}

func batch() *table.Batch {
	return &table.Batch{ID: [16]byte{1}, Table: "T", Columns: []table.Column{{Name: "x", Kind: table.String}}, Vectors: []table.Vector{{Kind: table.String, Text: []string{"a", "b"}}}}
}

func TestCallsArriveAsTheyWereMade(t *testing.T) {
	f := &fixed{answer: &lake.Answer{Batch: batch(), Truncated: true, Stats: lake.Stats{Segments: 3, Milliseconds: 1.5}}}
	c, _ := run(t, f)
	two := batch()
	two.Table = "U"
	if err := c.Append(t.Context(), []*table.Batch{batch(), two}); err != nil {
		t.Fatal(err)
	}
	if len(f.got) != 2 || !cmp.Equal(f.got[0].Batch, batch()) || !cmp.Equal(f.got[1].Batch, two) || !bytes.Equal(f.got[1].Raw, table.Encode(nil, two)) {
		t.Errorf("appended %+v", f.got)
	}
	q := lake.Query{SQL: "SELECT 'ä'", Columns: []table.Column{{Name: "x", Kind: table.Dynamic}}, MaxRows: 5, Timeout: time.Second,
		Scans: []lake.Scan{{Name: "n", Table: "T", Project: "shop", From: 1, Terms: []string{"abc"}, Equal: map[string][]string{"x": {"y"}}}}}
	a, err := c.Query(t.Context(), q)
	if err != nil || !cmp.Equal(a, f.answer) || !cmp.Equal(f.query, q) {
		t.Errorf("Query() = %+v, %v; the engine got %+v", a, err, f.query)
	}
	if u, err := c.Stats(t.Context()); err != nil || u.Batches != 7 {
		t.Errorf("Stats() = %+v, %v", u, err)
	}
}

func TestErrorsArriveWithTheirWords(t *testing.T) {
	f := &fixed{}
	c, _ := run(t, f)
	for _, k := range []fault.Kind{fault.Invalid, fault.TooLarge, fault.Unavailable} {
		f.err = fault.Wrap(k, errors.New("the cause"), "What happened.").WithNext("do that")
		_, err := c.Query(t.Context(), lake.Query{})
		if m, n := fault.Public(err); fault.KindOf(err) != k || m != "What happened." || n != "do that" || !strings.Contains(err.Error(), "the cause") {
			t.Errorf("%s: %v", k, err)
		}
	}
	f.err = fault.New(fault.Unavailable, "Full.").WithAfter(5 * time.Second)
	err := c.Append(t.Context(), nil)
	if after, _ := fault.RetryAfter(err); after != 5*time.Second {
		t.Errorf("%v: retry after %s", err, after)
	}
	f.err = errors.New("no fault")
	if err := c.Seal(t.Context()); fault.KindOf(err) != fault.Internal {
		t.Errorf("an error that is no fault: %v", err)
	}
}

func TestWhatIsNoRequestIsRefused(t *testing.T) {
	f := &fixed{}
	_, socket := run(t, f)
	raw := http.Client{Transport: lake.Transport(socket)}
	defer raw.CloseIdleConnections()
	long := make([]byte, 5<<20)
	for name, tt := range map[string]struct {
		method, path string
		body         []byte
		want         int
	}{
		"no batch":          {http.MethodPost, lake.PathAppend, []byte("\x05hello"), http.StatusBadRequest},
		"a length too long": {http.MethodPost, lake.PathAppend, []byte("\xff\xff\xff\xff\x7f"), http.StatusBadRequest},
		"no query":          {http.MethodPost, lake.PathQuery, []byte("{"), http.StatusBadRequest},
		"a long query":      {http.MethodPost, lake.PathQuery, long, http.StatusRequestEntityTooLarge},
		"another method":    {http.MethodGet, lake.PathQuery, nil, http.StatusMethodNotAllowed},
		"another path":      {http.MethodGet, "/", nil, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://lake"+tt.path, bytes.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := raw.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != tt.want || f.got != nil {
				t.Errorf("%s, the engine got %v", res.Status, f.got)
			}
		})
	}
}

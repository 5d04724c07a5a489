package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/web/webtest"
)

// sse is one server-sent event.
type sse struct{ kind, id, data string }

// follow opens a stream and returns its events.
func (v *visitor) follow(path string, headers ...string) <-chan sse {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), time.Minute)
	v.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.s.srv.URL+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := v.c.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		v.t.Fatalf("GET %s: %d %v", path, res.StatusCode, res.Header)
	}
	out := make(chan sse, 100)
	go func() {
		defer close(out)
		defer res.Body.Close()
		var e sse
		sc := bufio.NewScanner(res.Body)
		sc.Buffer(nil, 8<<20)
		for sc.Scan() {
			name, value, _ := strings.Cut(sc.Text(), ": ")
			switch name {
			case "event":
				e.kind = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.kind != "" {
					out <- e
				}
				e = sse{}
			}
		}
	}()
	return out
}

func (v *visitor) next(from <-chan sse) sse {
	v.t.Helper()
	select {
	case e, ok := <-from:
		if !ok {
			v.t.Fatal("the stream has ended")
		}
		return e
	case <-time.After(30 * time.Second):
		v.t.Fatal("no event came")
		return sse{}
	}
}

func TestProjectEvents(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "bob")
	s.Append(event.Event{Type: event.TypeRunQueued, Project: "shop", Subject: "run:1", Actor: "user:ada"})
	s.Append(event.Event{Type: event.TypeRunQueued, Project: "billing", Subject: "run:2", Actor: "user:ada"})
	payload, err := json.Marshal(event.RunFinished{V: 1, Run: 1, Result: "failed"})
	if err != nil {
		t.Fatal(err)
	}
	s.Append(event.Event{Type: event.TypeRunFinished, Project: "shop", Subject: "run:1", Actor: "system:pipeline", Payload: payload})
	// What the browser has seen counts, not the address that it came with.
	stream := v.follow("/projects/shop/events?after=0", "Last-Event-ID", "1")
	var got []sse
	for range 3 {
		got = append(got, v.next(stream))
	}
	want := []sse{
		{"fact", "2", `{"seq":2,"type":"run.queued","subject":"run:1","actor":"user:ada"}`},
		{"fact", "4", `{"seq":4,"type":"run.finished","subject":"run:1","actor":"system:pipeline","words":"Run 1 failed"}`},
		{"change", "", "{}"},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(sse{})); d != "" {
		t.Error(d)
	}
	s.Append(event.Event{Type: event.TypePodChanged, Project: "shop", Subject: "pod:x"})
	for e := v.next(stream); ; e = v.next(stream) { // The Path may have moved on first.
		if e.kind == "fact" {
			if e.id != "5" {
				t.Errorf("the next event is %v", e)
			}
			break
		}
	}
}

func TestLogOfARunningStep(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "bob")
	stream := v.follow("/projects/shop/runs/2041/log/Build.cart/3/events?from=13")
	for i, id := range []string{"14", "15", "16"} {
		e := v.next(stream)
		var d struct {
			From, Next int64
			HTML       string
		}
		if err := json.Unmarshal([]byte(e.data), &d); err != nil {
			t.Fatal(err)
		}
		if e.kind != "lines" || e.id != id || d.From != int64(13+i) || !strings.Contains(d.HTML, `id="L`+id+`"`) {
			t.Errorf("event %d: %+v", i, e)
		}
	}
}

func TestLog(t *testing.T) {
	s := newSite(t)
	v := s.as(t, "bob")
	r := v.get("/projects/shop/runs/2036/log/Build.cart/3?from=" + strconv.Itoa(webtest.LongLines-345))
	if n := strings.Count(r.body, "<div id="); n != 345 || r.Header.Get("Towpath-Total") != strconv.Itoa(webtest.LongLines) {
		t.Errorf("%d lines of %s", n, r.Header.Get("Towpath-Total"))
	}
	var hits struct {
		Lines            []int64
		Errors, Warnings int
		More             bool
	}
	find := func(path string) {
		t.Helper()
		hits.Lines = nil
		if err := json.Unmarshal([]byte(v.get(path).body), &hits); err != nil {
			t.Fatal(err)
		}
	}
	find("/projects/shop/runs/2036/log/Build.cart/3/find?q=line+123+of")
	if d := cmp.Diff([]int64{123}, hits.Lines); d != "" {
		t.Error(d)
	}
	find("/projects/shop/runs/2036/log/Build.cart/3/find?q=LINE")
	if len(hits.Lines) != 2000 || !hits.More {
		t.Errorf("%d hits, more %v", len(hits.Lines), hits.More)
	}
	find("/projects/shop/runs/2040/log/Build.cart/3/find")
	if d := cmp.Diff([]int64{13}, hits.Lines); d != "" || hits.Errors != 1 || hits.Warnings != 1 {
		t.Errorf("%+v", hits)
	}
	raw := v.get("/projects/shop/runs/2040/log/Build.cart/3/raw")
	if !strings.HasPrefix(raw.Header.Get("Content-Disposition"), "attachment") || strings.Contains(raw.body, "\x1b") || strings.Count(raw.body, "\n") != len(webtest.Log) {
		t.Errorf("raw: %v %q", raw.Header, raw.body)
	}
	if r := v.get("/projects/shop/runs/2040/log/nothing/3/raw"); r.StatusCode != http.StatusNotFound {
		t.Errorf("the log of no job: %d", r.StatusCode)
	}
}

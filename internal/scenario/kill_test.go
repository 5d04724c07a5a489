package scenario_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

var kills = flag.Int("kills", 10, "how many times the server and its engine are killed under load")

// senders export at the same time, half of them logs and half of them traces, perRequest
// rows with each request.
const (
	senders    = 4
	perRequest = 100
)

// TestKilledUnderLoad ends the server, and every second time only its log engine, with
// SIGKILL while senders export as SDKs do: the same request again until it is acknowledged.
// In the end each acknowledged row is stored, none of a sender's numbers is missing, and
// nothing that was started is left.
func TestKilledUnderLoad(t *testing.T) {
	// Little memory makes segments of few rows: kills meet seals as well.
	s := newServed(t, "--lake-memory", "128")
	s.start(t)
	s.project(t)
	loads := make([]*load, senders)
	var work sync.WaitGroup
	stop := make(chan struct{})
	for i := range loads {
		loads[i] = &load{served: s, number: i}
		work.Add(1)
		go func() {
			defer work.Done()
			loads[i].run(t, stop)
		}()
	}
	r := rand.New(rand.NewPCG(3, 4)) // Where the kills fall differs anyway.
	began, longest := time.Now(), time.Duration(0)
	for k := range *kills {
		time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
		before := acknowledged(loads)
		killed := time.Now()
		if k%2 == 1 {
			s.killEngine(t)
		} else {
			s.kill(t)
			s.start(t) // At once: the engine of the server before may still be dying.
		}
		s.wait(t, "rows that are acknowledged again", func() (bool, string) {
			return t.Failed() || acknowledged(loads) > before+senders, ""
		})
		longest = max(longest, time.Since(killed))
		if t.Failed() {
			break
		}
	}
	close(stop)
	work.Wait()
	s.wait(t, "the end of everything that was killed", s.gone)
	refused, broken := int64(0), int64(0)
	for _, l := range loads {
		l.check(t, *kills)
		refused, broken = refused+l.refused.Load(), broken+l.broken.Load()
	}
	if *kills > 1 && broken == 0 {
		t.Error("no request met a kill: the load was too small to prove anything")
	}
	sealed, err := filepath.Glob(filepath.Join(s.data, "lake", "segments", "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	s.stop(t)
	s.wait(t, "the end of what the server started", s.gone)
	t.Logf("%d kills in %s, %d requests acknowledged of %d rows each, %d broken off, %d answered with 429 or 503; at most %s from a kill to the next rows; %d segments",
		*kills, time.Since(began).Round(time.Second), acknowledged(loads), perRequest, broken, refused, longest.Round(time.Millisecond), len(sealed))
}

func acknowledged(loads []*load) int64 {
	n := int64(0)
	for _, l := range loads {
		n += l.done.Load()
	}
	return n
}

// load is one sender: every row that it sends has the next number.
type load struct {
	served *served
	number int
	done   atomic.Int64 // requests that were acknowledged

	refused, broken atomic.Int64 // answers that asked for patience, and requests without an answer
}

func (l *load) name() string { return fmt.Sprintf("sender%d", l.number) }

// run sends until stop is closed and what was begun is acknowledged.
func (l *load) run(t *testing.T, stop <-chan struct{}) {
	for n := int64(0); ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		path, kind, body, err := l.request(n * perRequest)
		if err != nil {
			t.Error(err)
			return
		}
		for deadline := time.Now().Add(2 * patience); ; {
			pause, err := l.export(path, kind, body)
			if err != nil {
				t.Error(err)
				return
			}
			if pause == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("%s: nobody takes request %d", l.name(), n)
				return
			}
			time.Sleep(pause)
		}
		l.done.Add(1)
		time.Sleep(10 * time.Millisecond) // The machine is to be killed on, not to be worn out.
	}
}

// request returns rows numbered from first: logs as JSON or spans as protobuf.
func (l *load) request(first int64) (path, kind string, body []byte, err error) {
	now := pcommon.NewTimestampFromTime(time.Now())
	if l.number%2 == 0 {
		logs := plog.NewLogs()
		rl := logs.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("service.name", l.name())
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for i := range int64(perRequest) {
			r := records.AppendEmpty()
			r.SetTimestamp(now)
			r.Body().SetStr(strconv.FormatInt(first+i, 10))
		}
		body, err = (&plog.JSONMarshaler{}).MarshalLogs(logs)
		return "/otlp/v1/logs", "application/json", body, err
	}
	traces := ptrace.NewTraces()
	rs := traces.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", l.name())
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	for i := range int64(perRequest) {
		x := spans.AppendEmpty()
		x.SetName(strconv.FormatInt(first+i, 10))
		x.SetKind(ptrace.SpanKindServer)
		x.SetTraceID(pcommon.TraceID{15: byte(l.number), 0: 1})
		x.SetSpanID(pcommon.SpanID{byte(l.number) + 1, 3: byte((first + i) >> 32), 4: byte((first + i) >> 24), 5: byte((first + i) >> 16), 6: byte((first + i) >> 8), 7: byte(first + i)})
		x.SetStartTimestamp(now)
		x.SetEndTimestamp(now)
	}
	body, err = (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	return "/otlp/v1/traces", "application/x-protobuf", body, err
}

// export sends a request once. It returns how long to wait before it is sent again, 0 when
// it is acknowledged, and an error for an answer that no SDK would send again.
func (l *load) export(path, kind string, body []byte) (time.Duration, error) {
	req, err := http.NewRequest(http.MethodPost, l.served.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("X-Towpath-Project", "shop")
	req.Header.Set("Authorization", "Bearer "+l.served.token)
	res, err := l.served.client.Do(req)
	if err != nil {
		l.broken.Add(1)
		return 20 * time.Millisecond, nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		l.broken.Add(1)
		return 20 * time.Millisecond, nil
	case res.StatusCode == http.StatusOK && bytes.Contains(answer, []byte("rejected")):
		return 0, fmt.Errorf("%s: a part was rejected: %s", l.name(), answer)
	case res.StatusCode == http.StatusOK:
		return 0, nil
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable:
		l.refused.Add(1)
		s, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil || s < 1 {
			return 0, fmt.Errorf("%s: %s without a pause: %s", l.name(), res.Status, answer)
		}
		return time.Duration(s) * time.Second / 4, nil // Impatient: more attempts meet a kill.
	}
	return 0, fmt.Errorf("%s: %s: %s", l.name(), res.Status, answer)
}

// check compares what is stored of the sender with what was acknowledged.
func (l *load) check(t *testing.T, kills int) {
	t.Helper()
	text := "AppTraces | extend n = tolong(Message)"
	if l.number%2 == 1 {
		text = "AppRequests | extend n = tolong(Name)"
	}
	text += fmt.Sprintf(" | where AppRoleName == %q | summarize c = count() by n | summarize sum(c), count(), min(n), max(n)", l.name())
	got := l.served.query(t, text)
	want := l.done.Load() * perRequest
	rows, distinct, first, last := got[0], got[1], got[2], got[3]
	if distinct != want || first != 0 || last != want-1 {
		t.Errorf("%s: %d rows were acknowledged; %d different ones are stored, from %d to %d", l.name(), want, distinct, first, last)
	}
	// A request that is sent again has the same content, and so the same batch.
	if rows != distinct {
		t.Errorf("%s: %d rows are stored twice, after %d kills", l.name(), rows-distinct, kills)
	}
}

// killEngine ends the log engine; the server starts another.
func (s *served) killEngine(t *testing.T) {
	t.Helper()
	var pid int
	s.wait(t, "the log engine", func() (bool, string) { // After a kill it may not be there yet.
		for _, p := range below(s.cmd.Process.Pid) {
			if p.name == "towpath-lake" {
				pid = p.pid
			}
		}
		return pid != 0, "the server has no child of this name"
	})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// process is one that runs.
type process struct {
	pid    int
	name   string
	parent int
	began  string // in ticks of the kernel: with pid it names a process for ever
}

// below returns the processes that one started, and those that they started.
func below(pid int) []process {
	var all, out []process
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // The pattern is a good one.
	for _, file := range files {
		if p, ok := stat(file); ok {
			all = append(all, p)
		}
	}
	from := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if from[p.parent] && !from[p.pid] {
				from[p.pid], grown = true, true
				out = append(out, p)
			}
		}
	}
	return out
}

// stat reads a process; one that ended and waits for its parent is none.
func stat(file string) (process, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return process{}, false
	}
	at := bytes.LastIndexByte(b, ')')
	head, name, ok := strings.Cut(string(b[:max(at, 0)]), " (")
	fields := strings.Fields(string(b[at+1:]))
	if !ok || len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return process{}, false
	}
	pid, err := strconv.Atoi(head)
	parent, err2 := strconv.Atoi(fields[1])
	return process{pid, name, parent, fields[19]}, err == nil && err2 == nil
}

// query answers a question that has one row of numbers.
func (s *served) query(t *testing.T, text string) []int64 {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": text})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Rows [][]json.Number }
	s.wait(t, text, func() (bool, string) {
		status, got := s.call(t, http.MethodPost, "/api/v1/monitor/query?project=shop", string(body))
		if status != http.StatusOK {
			return false, fmt.Sprint(status, ": ", got)
		}
		if err := json.Unmarshal([]byte(got), &answer); err != nil || len(answer.Rows) != 1 {
			t.Fatalf("%v: %s", err, got)
		}
		return true, ""
	})
	var out []int64
	for _, x := range answer.Rows[0] {
		n, err := x.Int64()
		if err != nil {
			t.Fatalf("%s: %v in %v", text, err, answer.Rows)
		}
		out = append(out, n)
	}
	return out
}

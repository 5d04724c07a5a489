package metric_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/monitor/metric"
)

// program finds one of Debian's package prometheus, which scripts/deps.sh installs.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: install it with scripts/deps.sh (Debian package prometheus)", err)
	}
	return path
}

// served is a store behind HTTP: Prometheus' API, remote write, remote read and /metrics.
func served(t *testing.T, s *metric.Store) *httptest.Server {
	t.Helper()
	scope := func(*http.Request) (metric.Scope, error) { return metric.Scope{Project: "shop"}, nil }
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", s.API(scope, nil))
	mux.Handle("/api/v1/read", s.ReadAPI(scope))
	mux.Handle("/api/v1/write", s.WriteAPI(func(*http.Request) (metric.Origin, error) { return metric.Origin{Project: "shop"}, nil }))
	mux.Handle("/metrics", metric.Exposition(metric.Process(), s.Metrics(), metric.Counts(func() []metric.Count {
		return []metric.Count{{Name: "towpath_ingest_rows_total", Help: "Rows.", Labels: map[string]string{"project": "shop"}, Value: 3}}
	})))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// prometheus starts Debian's Prometheus, which scrapes, writes to and reads from a store,
// and returns its address.
func prometheus(t *testing.T, to *httptest.Server) string {
	t.Helper()
	dir := t.TempDir()
	host := strings.TrimPrefix(to.URL, "http://")
	configuration := fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: towpath, static_configs: [{targets: [%q]}]}]
remote_write: [{url: "%s/api/v1/write", queue_config: {batch_send_deadline: 100ms}}]
remote_read: [{url: "%s/api/v1/read", read_recent: true}]
`, host, to.URL, to.URL)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(program(t, "prometheus"), "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		<-ended
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return "http://" + address
}

// asked asks a Prometheus for an instant vector and returns its values.
func asked(t *testing.T, at, expr string) []string {
	t.Helper()
	resp, err := http.Get(at + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil // it is starting
	}
	defer resp.Body.Close()
	var body struct {
		Data struct {
			Result []struct {
				Value [2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return nil
	}
	var out []string
	for _, r := range body.Data.Result {
		out = append(out, fmt.Sprint(r.Value[1]))
	}
	return out
}

func TestARealPrometheusScrapesWritesAndReads(t *testing.T) {
	s := live(t, metric.Options{})
	srv := served(t, s)
	push(t, s, metric.Origin{Project: "shop"}, sample("pushed", time.Now(), 42))
	push(t, s, metric.Origin{Project: "bank"}, sample("pushed", time.Now(), 666))
	at := prometheus(t, srv)

	shop := metric.Scope{Project: "shop"}
	eventually(t, "what it scraped of us is written to us", func() bool {
		return len(values(t, s, shop, `go_goroutines{job="towpath"}`)) == 1 && len(values(t, s, shop, `prometheus_tsdb_head_series{job="towpath"}`)) == 1
	})
	// The label that our own exposition gives is the sender's word, the project is ours.
	if got := values(t, s, shop, `towpath_ingest_rows_total`); len(got) != 1 || fmt.Sprint(got) != "map[map[__name__:towpath_ingest_rows_total job:towpath project:shop]:3]" {
		t.Errorf("%v", got)
	}
	eventually(t, "it reads from us", func() bool { return len(asked(t, at, "pushed")) > 0 })
	if got := asked(t, at, "pushed"); len(got) != 1 || got[0] != "42" {
		t.Errorf("it reads %v, want the project's own 42", got)
	}
}

func TestPromtoolAsksOurAPI(t *testing.T) {
	s := live(t, metric.Options{})
	srv := served(t, s)
	now := time.Now()
	push(t, s, metric.Origin{Project: "bank"}, sample("secret", now, 1))
	for i := range 5 {
		push(t, s, metric.Origin{Project: "shop"}, sample("orders_total", now.Add(time.Duration(i-4)*15*time.Second), float64(10*i), "code", "200"))
	}
	promtool := program(t, "promtool")
	run := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, promtool, append([]string{"query"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("promtool query %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"instant", srv.URL, "sum by (code) (orders_total)"}, `{code="200"} => 40 @`},
		{[]string{"range", "--start=" + fmt.Sprint(now.Unix()-60), "--end=" + fmt.Sprint(now.Unix()), "--step=15s", srv.URL, "orders_total"}, `orders_total{code="200", project="shop"} =>`},
		{[]string{"labels", srv.URL, "code"}, "200"},
		{[]string{"series", "--match=orders_total", srv.URL}, `{__name__="orders_total", code="200", project="shop"}`},
	} {
		if got := run(tt.args...); !strings.Contains(got, tt.want) {
			t.Errorf("promtool query %v: %s, want %s", tt.args, got, tt.want)
		}
	}
	if got := run("instant", srv.URL, "secret"); strings.TrimSpace(got) != "" {
		t.Errorf("promtool sees another project's series: %s", got)
	}
}

func TestPromtoolFindsNothingWrongWithOurExposition(t *testing.T) {
	srv := served(t, live(t, metric.Options{}))
	resp, err := http.Get(srv.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cmd := exec.Command(program(t, "promtool"), "check", "metrics")
	cmd.Stdin = resp.Body
	out, err := cmd.CombinedOutput()
	// 3 says that a name is against its taste; some of Prometheus' own are.
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 3) || bytes.Contains(out, []byte("towpath_")) {
		t.Errorf("%v\n%s", err, out)
	}
}

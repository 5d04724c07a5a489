package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"shop/internal/fault"
	"shop/internal/rest"
	"shop/internal/service"
)

// env makes a getenv from name=value texts; the ports are free ones.
func env(pairs ...string) func(string) string {
	values := map[string]string{"LISTEN": "127.0.0.1:0", "LISTEN_GRPC": "127.0.0.1:0", "DRAIN": "0s"}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}

func TestConfig(t *testing.T) {
	tests := map[string]struct {
		linked string
		env    []string
		check  func(service.Config) error
	}{
		"defaults": {"", nil, func(c service.Config) error {
			if c.Self.Build != "dev" || c.FailReady || c.Faults.Setting() != (fault.Setting{}) {
				return fmt.Errorf("got %+v", c)
			}
			return nil
		}},
		"the linked build wins": {"linked", []string{"BUILD_ID=env"}, func(c service.Config) error {
			if c.Self.Build != "linked" {
				return fmt.Errorf("got the build %s", c.Self.Build)
			}
			return nil
		}},
		"the build of the environment": {"", []string{"BUILD_ID=env"}, func(c service.Config) error {
			if c.Self.Build != "env" {
				return fmt.Errorf("got the build %s", c.Self.Build)
			}
			return nil
		}},
		"switches": {"", []string{"FAULTS=enabled", "FAULT_ERROR_RATE=0.5", "FAULT_LATENCY=2s", "FAIL_READY=true", "DRAIN=3s"}, func(c service.Config) error {
			if c.Faults.Setting() != (fault.Setting{ErrorRate: 0.5, Latency: 2 * time.Second}) || !c.FailReady || c.Drain != 3*time.Second {
				return fmt.Errorf("got %+v with %+v", c, c.Faults.Setting())
			}
			return nil
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg, err := service.NewConfig("web", tt.linked, env(tt.env...))
			if err == nil {
				err = tt.check(cfg)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConfigRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, pairs := range [][]string{
		{"FAULTS=yes"}, {"FAIL_READY=1"}, {"DRAIN=5"}, {"DRAIN=-1s"},
		{"FAULT_ERROR_RATE=0.5"}, {"FAULT_LATENCY=1s"}, // without FAULTS=enabled
		{"FAULTS=enabled", "FAULT_ERROR_RATE=2"}, {"FAULTS=enabled", "FAULT_LATENCY=1h"},
	} {
		if cfg, err := service.NewConfig("web", "", env(pairs...)); err == nil {
			t.Errorf("%v was taken as %+v", pairs, cfg)
		}
	}
}

// serve runs a service until the test ends and returns its address and a function that ends it and returns Run's error.
func serve(t *testing.T, app service.App, sleep func(string), pairs ...string) (string, func() error) {
	t.Helper()
	getenv := env(pairs...)
	cfg, err := service.NewConfig("web", "b42", getenv)
	if err != nil {
		t.Fatal(err)
	}
	frame, err := service.NewFrame(t.Context(), cfg, getenv, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	running, err := frame.Start(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + running.Addr()
	if sleep != nil {
		frame.Sleep = func(time.Duration) { sleep(base) }
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx) }()
	end := func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { _ = end() })
	return base, end
}

// get returns status, build header and body of one request.
func get(t *testing.T, url string) (int, string, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("X-Shop-Build"), string(body)
}

func TestEveryAnswerCarriesTheBuild(t *testing.T) {
	app := service.App{HTTP: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })}
	base, _ := serve(t, app, nil)
	for path, want := range map[string]int{"/": 418, "/healthz": 200, "/readyz": 200, "/-/faults": 404} {
		if code, build, _ := get(t, base+path); code != want || build != "b42" {
			t.Errorf("%s: got %d with the build %q, want %d with b42", path, code, build, want)
		}
	}
}

func TestFailReadyFailsOnlyReadiness(t *testing.T) {
	base, _ := serve(t, service.App{}, nil, "FAIL_READY=true")
	if code, _, body := get(t, base+"/readyz"); code != 503 || !strings.Contains(body, "FAIL_READY") {
		t.Errorf("/readyz: got %d %s, want 503 with the reason", code, body)
	}
	if code, _, _ := get(t, base+"/healthz"); code != 200 {
		t.Errorf("/healthz: got %d, want 200", code)
	}
}

func TestFaultsSpareTheProbes(t *testing.T) {
	ok := service.App{HTTP: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	base, _ := serve(t, ok, nil, "FAULTS=enabled", "FAULT_ERROR_RATE=1")
	for path, want := range map[string]int{"/": 503, "/healthz": 200, "/readyz": 200} {
		if code, _, _ := get(t, base+path); code != want {
			t.Errorf("%s: got %d, want %d", path, code, want)
		}
	}
	res, err := http.Post(base+"/-/faults", "application/json", strings.NewReader(`{"error_rate":0}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if code, _, _ := get(t, base+"/"); code != 200 {
		t.Errorf("after switching faults off: got %d, want 200", code)
	}
}

func TestTheEndIsOrderly(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	app := service.App{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(arrived)
			<-release
		}
		fmt.Fprint(w, "done")
	})}
	var ready, served int
	base, end := serve(t, app, func(base string) { // while the service drains
		ready, _, _ = get(t, base+"/readyz")
		served, _, _ = get(t, base+"/")
		close(release)
	})
	slow := make(chan string, 1)
	go func() {
		_, _, body := get(t, base+"/slow")
		slow <- body
	}()
	<-arrived
	if err := end(); err != nil {
		t.Fatalf("the service ended with %v", err)
	}
	if ready != 503 || served != 200 {
		t.Errorf("while draining: /readyz answered %d and / %d, want 503 and 200", ready, served)
	}
	if body := <-slow; body != "done" {
		t.Errorf("the request in flight got %q", body)
	}
	if _, err := http.Get(base + "/"); err == nil {
		t.Error("the port is open after the end")
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	base, _ := serve(t, service.App{}, nil)
	taken := strings.TrimPrefix(base, "http://")
	compose := func(*service.Frame, func(string) string) (service.App, error) { return service.App{}, nil }
	_, err := service.Launch(t.Context(), "web", "", env("LISTEN="+taken), slog.New(slog.DiscardHandler), compose)
	if err == nil || !strings.Contains(err.Error(), taken) || !strings.Contains(err.Error(), "LISTEN") {
		t.Errorf("got %v, want an error that names the port and the variable", err)
	}
}

func TestAFailingRequestIsOnItsSpan(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	getenv := env()
	cfg, err := service.NewConfig("web", "b42", getenv)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	frame, err := service.NewFrame(t.Context(), cfg, getenv, slog.New(slog.NewJSONHandler(&log, nil)), sdktrace.WithSpanProcessor(spans))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { rest.Fail(w, errors.New("no tide table")) })
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("aground") })
	mux.HandleFunc("/asked", func(w http.ResponseWriter, _ *http.Request) {
		rest.Fail(w, rest.Errorf(http.StatusNotFound, "no such quay"))
	})
	running, err := frame.Start(t.Context(), service.App{HTTP: mux})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx) }()
	for path, want := range map[string]int{"/bad": 500, "/panic": 500, "/asked": 404} {
		if code, _, body := get(t, "http://"+running.Addr()+path); code != want || strings.Contains(body, "tide") {
			t.Errorf("%s: got %d %s", path, code, body)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, span := range spans.Ended() {
		for _, e := range span.Events() {
			at := map[string]string{}
			for _, kv := range e.Attributes {
				at[string(kv.Key)] = kv.Value.Emit()
			}
			found[at["exception.message"]] = at["exception.stacktrace"]
		}
	}
	if len(found) != 2 || !strings.Contains(found["no tide table"], "service_test.go") || !strings.Contains(found["panic: aground"], "service_test.go") {
		t.Errorf("the spans carry %v", found)
	}
	for _, want := range []string{`"level":"ERROR","msg":"GET /bad"`, `"error":"no tide table"`, `"trace_id":"`, `"level":"INFO","msg":"GET /asked"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
}

func TestTheCrashSwitch(t *testing.T) {
	for name, tt := range map[string]struct {
		faults string
		code   int
		want   bool
	}{"on": {"FAULTS=enabled", 200, true}, "off": {"FAULTS=", 404, false}} {
		t.Run(name, func(t *testing.T) {
			getenv := env(tt.faults)
			cfg, err := service.NewConfig("web", "", getenv)
			if err != nil {
				t.Fatal(err)
			}
			frame, err := service.NewFrame(t.Context(), cfg, getenv, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			crashed := false
			frame.Crash = func() { crashed = true }
			running, err := frame.Start(t.Context(), service.App{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- running.Run(ctx) }()
			res, err := http.Post("http://"+running.Addr()+"/-/faults/crash", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			cancel()
			if err := <-ended; err != nil || res.StatusCode != tt.code || crashed != tt.want {
				t.Errorf("got %d, crashed %v, %v", res.StatusCode, crashed, err)
			}
		})
	}
}

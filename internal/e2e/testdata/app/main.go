// Command app is what the end-to-end tests deploy: it says which build it is, and writes,
// sends and asks what it is asked to.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if os.Getenv("CRASH") == "true" {
		fmt.Fprintln(os.Stderr, "this build cannot start")
		os.Exit(3)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var leaving atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if leaving.Load() || os.Getenv("FAIL_READY") == "true" {
			http.Error(w, "not ready on purpose", http.StatusServiceUnavailable)
		}
	})
	faulty, asked := os.Getenv("FAULTY") == "true", atomic.Int64{}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "5") // NOT_FOUND: there is no method, but there is an answer
			w.Header().Set("Grpc-Message", os.Getenv("BUILD_ID"))
			return
		}
		if faulty && asked.Add(1)%4 == 0 {
			http.Error(w, "faulty on purpose", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s %s\n", os.Getenv("BUILD_ID"), os.Getenv("HOSTNAME"))
	})
	mux.HandleFunc("/say", say)
	mux.HandleFunc("/export", export)
	mux.HandleFunc("/via", via)
	new(holding).serve(mux)
	if os.Getenv("CHATTER") == "true" {
		go chatter()
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: mux, Protocols: protocols, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		// Traffic goes on arriving until everybody has heard that this pod leaves.
		leaving.Store(true)
		time.Sleep(time.Second)
		patience, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_ = server.Shutdown(patience)
	}()
	if err := server.ListenAndServe(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// ListenAndServe returns when Shutdown begins, not when it is done.
	time.Sleep(100 * time.Millisecond)
}

// say writes a line as structured loggers do.
func say(w http.ResponseWriter, r *http.Request) {
	line := map[string]string{"level": r.FormValue("level"), "msg": r.FormValue("text")}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// via asks another service on behalf of a request, as instrumented services do: the trace
// and the baggage go along, or the baggage that the request names.
func via(w http.ResponseWriter, r *http.Request) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.Query().Get("to"), r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, name := range []string{"Baggage", "Traceparent"} {
		req.Header[name] = r.Header[name]
	}
	if b := r.URL.Query().Get("baggage"); b != "" {
		req.Header.Set("Baggage", b)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// chatter writes numbered lines for ever, a hundred in a second. Each life of the process
// has its own name, as it begins to count anew.
func chatter() {
	life := time.Now().UnixNano()
	for n := 1; ; n++ {
		fmt.Printf("number %d %d\n", life, n)
		time.Sleep(10 * time.Millisecond)
	}
}

// export sends one request span to the agent of the node, and says in its resource that it
// is of the project that it is told to claim.
func export(w http.ResponseWriter, r *http.Request) {
	attribute := func(key, value string) map[string]any {
		return map[string]any{"key": key, "value": map[string]string{"stringValue": value}}
	}
	claim, now := r.FormValue("claim"), time.Now()
	body, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
		"resource": map[string]any{"attributes": []any{attribute("service.name", "app"), attribute("towpath.project", claim), attribute("project", claim), attribute("k8s.namespace.name", claim)}},
		"scopeSpans": []any{map[string]any{"spans": []any{map[string]any{
			"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": fmt.Sprintf("%016x", now.UnixNano()), "name": r.FormValue("name"), "kind": 2,
			"startTimeUnixNano": fmt.Sprint(now.Add(-time.Millisecond).UnixNano()), "endTimeUnixNano": fmt.Sprint(now.UnixNano()),
		}}}},
	}}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+net.JoinHostPort(os.Getenv("HOST_IP"), "4318")+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	// What a pod says of itself in headers counts as little.
	req.Header.Set("X-Towpath-Project", claim)
	req.Header.Set("X-Towpath-Peer", "10.0.0.1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

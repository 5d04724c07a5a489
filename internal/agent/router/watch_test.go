package router_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"towpath.dev/towpath/internal/agent/router"
	"towpath.dev/towpath/internal/deploy/route"
)

// event is a line of a watch that carries a table.
func event(t *testing.T, kind string, table route.Table) string {
	t.Helper()
	raw, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(map[string]any{"type": kind, "object": map[string]any{"kind": "ConfigMap", "data": map[string]string{route.Key: string(raw)}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

// credentials writes what the kubelet gives a pod.
func credentials(t *testing.T, server *httptest.Server, token string) string {
	t.Helper()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, body := range map[string][]byte{"ca.crt": ca, "token": []byte(token + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestWatch follows a ConfigMap over watches that break, answers that refuse, tables that
// are wrong and a token that is renewed.
func TestWatch(t *testing.T) {
	good := func(version int64) route.Table { return route.Table{Version: version} }
	asked := make(chan *http.Request, 20)
	steps := make(chan func(http.ResponseWriter, *http.Request))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		select {
		case step := <-steps:
			step(w, r)
		case <-r.Context().Done():
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	dir := credentials(t, server, "first")
	source, err := router.NewClusterAt(server.URL, "shop", route.ConfigMap, dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tables, ended := make(chan route.Table, 10), make(chan error, 1)
	go func() { ended <- source.Watch(ctx, func(t route.Table) { tables <- t }) }()
	send := func(lines ...string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, l := range lines {
				fmt.Fprintln(w, l)
				_ = http.NewResponseController(w).Flush()
			}
		}
	}
	want := func(version int64) {
		t.Helper()
		if got := <-tables; got.Version != version {
			t.Errorf("table %d came, want %d", got.Version, version)
		}
	}
	steps <- send(event(t, "ADDED", good(1)), event(t, "MODIFIED", route.Table{Version: -1}), event(t, "DELETED", good(1)), event(t, "MODIFIED", good(2)))
	r := <-asked
	if got := r.URL.Path + " " + r.URL.Query().Get("fieldSelector") + " " + r.URL.Query().Get("watch") + " " + r.Header.Get("Authorization"); got != "/api/v1/namespaces/shop/configmaps metadata.name=towpath-routes 1 Bearer first" {
		t.Errorf("asked for %s", got)
	}
	want(1)
	want(2)
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	steps <- func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not now", http.StatusForbidden) }
	<-asked
	steps <- send(`{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}`)
	if r := <-asked; r.Header.Get("Authorization") != "Bearer second" {
		t.Errorf("the renewed token was not read: %s", r.Header.Get("Authorization"))
	}
	steps <- send("no JSON")
	<-asked
	steps <- send(event(t, "ADDED", good(3)))
	want(3)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the watch ended with %v", err)
	}
}

func TestFileSource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.json")
	source := &router.File{Path: path, Every: 5 * time.Millisecond, Log: quiet()}
	ctx, cancel := context.WithCancel(t.Context())
	tables, ended := make(chan route.Table, 10), make(chan error, 1)
	go func() { ended <- source.Watch(ctx, func(t route.Table) { tables <- t }) }()
	for version := range int64(3) {
		raw, err := route.Encode(route.Table{Version: version})
		if err != nil {
			t.Fatal(err)
		}
		// As an editor does: never half a file.
		if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		if got := <-tables; got.Version != version {
			t.Errorf("table %d came, want %d", got.Version, version)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

package agent_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"towpath.dev/towpath/internal/agent"
)

// TestWaitsForTheAgentBefore shows that an agent asks for nothing and touches nothing
// while another one still clears up in its folder.
func TestWaitsForTheAgentBefore(t *testing.T) {
	var asked atomic.Int64
	come := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		select {
		case come <- struct{}{}:
		default:
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	dir := t.TempDir()
	before, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(before.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(agent.Config{Server: server.URL, Token: "a token of an agent", Dir: dir, Name: "next", AllowRoot: true})
	if err != nil {
		t.Fatal(err)
	}
	workspace := filepath.Join(dir, "1")
	if err := os.Mkdir(workspace, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	if _, err := os.Stat(workspace); err != nil || asked.Load() != 0 {
		t.Errorf("the next agent did something while the one before was there: asked %d times, workspace: %v", asked.Load(), err)
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	<-come
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/monitor/tail"
)

// Config says what a node does and whom it tells.
type Config struct {
	Server    string // base URL of the server, "http://127.0.0.1:7080"
	TokenFile string // the agent's token, readable by its owner alone
	Logs      string // folder of pod logs, "/var/log/pods"; "" reads none
	State     string // folder of the checkpoint
	Name      string // of the node
	Exclude   []string
	Self      string // "namespace/pod" of the agent, "" when it is no pod
	Relay     RelayConfig
	Log       *slog.Logger
}

// RelayConfig says where pods send OTLP and where it goes.
type RelayConfig struct {
	// HTTP and GRPC are the addresses to listen on ("10.88.0.1:4318", "10.88.0.1:4317");
	// with none the relay is off.
	HTTP, GRPC []string
	// ToHTTP and ToGRPC are the server's OTLP listeners ("127.0.0.1:4318", "127.0.0.1:4317");
	// with "https://" before it the way is by TLS.
	ToHTTP, ToGRPC string
}

// HeaderPeer carries the address that a pod's request came from, without the port.
const HeaderPeer = "X-Towpath-Peer"

// sendTime bounds one try to bring a parcel of logs to the server.
const sendTime = 30 * time.Second

// Node tails and relays. Make it with New and call Run once.
type Node struct {
	cfg   Config
	tail  *tail.Tailer
	relay *relay
}

// New checks the configuration and opens the listeners.
func New(ctx context.Context, cfg Config) (*Node, error) {
	if cfg.Server == "" || cfg.TokenFile == "" || cfg.Name == "" || cfg.Log == nil {
		return nil, errors.New("the node's agent needs a server, a token file, a name and a log")
	}
	token := (&tokenFile{path: cfg.TokenFile}).read
	if _, err := token(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg}
	if cfg.Logs != "" {
		client, err := tail.NewClient(cfg.Server, cfg.Name, token, sendTime)
		if err != nil {
			return nil, err
		}
		n.tail, err = tail.New(tail.Config{
			Root: cfg.Logs, State: cfg.State, Node: cfg.Name, Exclude: cfg.Exclude, Self: cfg.Self, Sender: client, Log: cfg.Log,
		})
		if err != nil {
			return nil, err
		}
	}
	if len(cfg.Relay.HTTP)+len(cfg.Relay.GRPC) > 0 {
		var err error
		if n.relay, err = newRelay(ctx, cfg.Relay, token, cfg.Log); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Run works until ctx ends, then answers the requests that are under way, sends what was
// read and returns nil. When one half fails the other one is ended, too: the supervisor
// starts both anew.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 2)
	if n.tail != nil {
		n.cfg.Log.Info("reading the logs of containers", "folder", n.cfg.Logs, "server", n.cfg.Server)
		wg.Go(func() {
			defer cancel()
			errs[0] = n.tail.Run(ctx)
		})
	}
	if n.relay != nil {
		n.cfg.Log.Info("relaying OTLP of pods", "http", n.relay.http, "grpc", n.relay.grpc)
		wg.Go(func() {
			defer cancel()
			errs[1] = n.relay.run(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// tokenFile is the file with the agent's token. It is read again when it has changed.
type tokenFile struct {
	path string

	mu    sync.Mutex
	mod   time.Time
	size  int64
	token string
}

func (t *tokenFile) read() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.path)
	if err != nil {
		return "", fmt.Errorf("reading the token file: %w", err)
	}
	if t.token != "" && info.ModTime().Equal(t.mod) && info.Size() == t.size {
		return t.token, nil
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the token file %s can be read by others; make it private: chmod 600 %s", t.path, t.path)
	}
	raw, err := os.ReadFile(t.path)
	if err != nil {
		return "", fmt.Errorf("reading the token file: %w", err)
	}
	token := strings.TrimSpace(string(raw))
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("the token file %s must hold one line, the agent token", t.path)
	}
	t.token, t.mod, t.size = token, info.ModTime(), info.Size()
	return token, nil
}

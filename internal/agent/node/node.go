package node

import (
	"context"
	"log/slog"
)

// Config says what a node does and whom it tells.
type Config struct {
	Server    string // base URL of the server, "http://127.0.0.1:7080"
	TokenFile string // the agent's token, readable by its owner alone
	Logs      string // folder of pod logs, "/var/log/pods"
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
	// ToHTTP and ToGRPC are the server's OTLP listeners ("127.0.0.1:4318", "127.0.0.1:4317").
	ToHTTP, ToGRPC string
}

// HeaderPeer carries the address that a pod's request came from, without the port.
const HeaderPeer = "X-Towpath-Peer"

// Node tails and relays. Make it with New and call Run once.
type Node struct{ cfg Config }

// New checks the configuration and opens the listeners.
func New(ctx context.Context, cfg Config) (*Node, error) { return &Node{cfg: cfg}, nil }

// Run works until ctx ends, then answers the requests that are under way and returns nil.
func (n *Node) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

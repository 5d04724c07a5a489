package devbox

import (
	"context"
	"net"
	"time"
)

// Cluster is the other end as programs in a box reach it. Link implements it.
type Cluster interface {
	// Dial connects to "host:port" in the cluster; network is tcp or udp.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	// Exchange asks the cluster's resolver one DNS message.
	Exchange(ctx context.Context, message []byte) ([]byte, error)
}

// Service is a service of the cluster that programs may talk to.
type Service struct {
	Name    string
	Address string // "" for a headless one
	Ports   []ServicePort
}

// ServicePort is one of its ports.
type ServicePort struct {
	Name string
	Port int
}

// Place says where in the cluster a box is.
type Place struct {
	Namespace string
	Domain    string // "cluster.local"
	Services  []Service
}

// Command is a program to start.
type Command struct {
	Args []string // the first is the program, a path or a name that $PATH finds
	Env  []string // all of it
	Dir  string
}

// Process is a program that was started.
type Process interface {
	// Done is closed when it has ended.
	Done() <-chan struct{}
	// Err says how it ended; only after Done.
	Err() error
	// Stop asks it and its children to end and makes them when they have not within grace.
	Stop(grace time.Duration)
}

// Box is a place for programs.
type Box interface {
	// Start starts a program.
	Start(c Command) (Process, error)
	// Dial connects to a port that a program in the box listens on.
	Dial(ctx context.Context, port int) (net.Conn, error)
	// Env returns the environment that a program of the cluster would have, as it is in the
	// box: values of the workload and addresses of services.
	Env(workload []string) []string
	// Close ends the box and all programs in it.
	Close() error
}

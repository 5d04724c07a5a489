package dev

import "time"

// Modes of a session.
const (
	Run    = "run"    // the command line runs a program and restarts it on change
	Sync   = "sync"   // a built program is sent into the session's pod
	Attach = "attach" // a program that runs already
)

// States of a session.
const (
	Starting = "starting"
	Live     = "live"
	Ended    = "ended"
)

// Reasons why a session ended.
const (
	Stopped  = "stopped"
	Expired  = "expired"  // its lease was not renewed
	Aged     = "aged"     // it reached its longest age
	Replaced = "replaced" // its owner started another one on the same service
	Broken   = "failed"   // it could not be brought up
)

// The rules of a lease (delivery.md 1.6; the seconds are Bridge to Kubernetes').
const (
	RenewEvery = 10 * time.Second
	Lease      = 60 * time.Second
	MaxAge     = 8 * time.Hour

	maxOfUser      = 5  // live sessions
	maxOfNamespace = 50 // live sessions
)

// Session is a lease on one service of an environment.
type Session struct {
	ID          string    `json:"id"`
	Project     string    `json:"project"`
	Environment string    `json:"environment"`
	Namespace   string    `json:"namespace"`
	Service     string    `json:"service"`
	Workload    string    `json:"workload"` // Deployment whose place the program takes
	User        string    `json:"user"`
	Key         string    `json:"key,omitempty"` // only its owner sees it
	Mode        string    `json:"mode"`
	Fallback    bool      `json:"fallback,omitempty"` // the service answers while the program is away; else 502
	Ports       []Port    `json:"ports"`
	State       string    `json:"state"`
	Started     time.Time `json:"started"`
	Expires     time.Time `json:"expires"` // of the lease
	Until       time.Time `json:"until"`   // the lease is not renewed beyond it
	Ended       time.Time `json:"ended,omitzero"`
	Why         string    `json:"why,omitempty"`     // of the end
	Secrets     []string  `json:"secrets,omitempty"` // names of environment values that came from Secrets

	owner  string // actor
	host   string // of the pod
	routed time.Time
}

// Port is a port of the session's service.
type Port struct {
	Name   string `json:"name,omitempty"`
	Port   int    `json:"port"`   // of the service
	Target int    `json:"target"` // that the program listens on
}

// Request asks for a session.
type Request struct {
	Project     string
	Environment string
	Service     string
	Mode        string
	TTL         time.Duration // 0 is MaxAge
	Fallback    bool
}

// Opened is a session with what its owner needs to join it. Token and Env are told once.
type Opened struct {
	Session
	Token    string     `json:"token"` // that the session's pod asks of the tunnel
	Env      []Value    `json:"env"`   // environment of the workload's container
	LeftOut  []string   `json:"left_out,omitempty"`
	Services []Neighbor `json:"services"`          // of the namespace
	Domain   string     `json:"domain"`            // of the cluster: "cluster.local"
	URLs     []string   `json:"urls"`              // of the environment's front
	Preview  string     `json:"preview,omitempty"` // the owner's own way in, signed; "" when the environment has no front
}

// Value is one value of the environment.
type Value struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Secret bool   `json:"secret,omitempty"` // it came from a Secret
}

// Neighbor is a service of the namespace that the program may talk to.
type Neighbor struct {
	Name    string `json:"name"`
	Address string `json:"address"` // cluster address; "" for a headless one
	Ports   []Port `json:"ports"`
}

// Preview is a signed address of a session.
type Preview struct {
	URL     string    `json:"url"`
	Expires time.Time `json:"expires"`
}

// Access is a request as a router saw it: with the key that was asked for, or without one
// in a trace that began with it.
type Access struct {
	Time    time.Time `json:"time"`
	Key     string    `json:"key,omitempty"`
	Trace   string    `json:"trace,omitempty"`
	Service string    `json:"service"`
	Port    int       `json:"port"`
	Track   string    `json:"track,omitempty"`   // that answered, "" for a session
	Session string    `json:"session,omitempty"` // id of the one that answered
	Method  string    `json:"method"`
	Path    string    `json:"path"`
	Status  int       `json:"status"`
	Reason  string    `json:"reason,omitempty"`
}

package route

import "time"

// ConfigMap is the name of the ConfigMap that holds a namespace's table, and Key the key in
// it whose value is the table as JSON. The router watches it; the API server keeps the last
// good copy while the platform is away.
const (
	ConfigMap = "towpath-routes"
	Key       = "table.json"
)

// Label is the label of pods that names their track. Pods of workloads that are not
// routed have none.
const Label = "towpath.dev/track"

// The tracks.
const (
	Stable   = "stable"
	Baseline = "baseline"
	Canary   = "canary"
)

// The headers that carry a route key, besides the member BaggageMember of W3C baggage,
// which wins: of Bridge to Kubernetes and of Azure Dev Spaces.
const (
	BaggageMember    = "route-as"
	HeaderKubernetes = "kubernetes-route-as"
	HeaderAzds       = "azds-route-as"
)

// Protocols of a port. A port whose protocol is not known is not routed.
const (
	HTTP = "http" // HTTP/1.1, and h2c when the client begins so
	H2C  = "h2c"  // HTTP/2 without TLS, gRPC
)

// Table is what the router of one namespace knows.
type Table struct {
	Version     int64     `json:"version"` // grows with each write
	Project     string    `json:"project"`
	Environment string    `json:"environment"`
	Production  bool      `json:"production,omitempty"`  // no header of a response names a session
	PreviewKey  []byte    `json:"preview_key,omitempty"` // Ed25519 public key that checks preview links
	Services    []Service `json:"services"`
	Sessions    []Session `json:"sessions,omitempty"`
}

// Service is one routed Service.
type Service struct {
	Name   string  `json:"name"`
	Ports  []Port  `json:"ports"`
	Tracks []Track `json:"tracks"`           // the weights sum up to 100; stable is always there
	Sticky string  `json:"sticky,omitempty"` // "", key (the route key), cookie, trace (the trace id)
	Mirror string  `json:"mirror,omitempty"` // track that gets a copy of each request without a body above 1 MiB; its answer is dropped
	// Edge marks a service that requests from outside the cluster reach: their route keys
	// are dropped unless they come with a preview link.
	Edge bool `json:"edge,omitempty"`
	// EdgeHosts are the hosts by which requests come from outside, "shop.example" or
	// "*.shop.example", when they come by no other way; empty: by any host.
	EdgeHosts []string `json:"edge_hosts,omitempty"`
}

// Port is one port of a routed Service.
type Port struct {
	Name     string `json:"name,omitempty"`
	Port     int    `json:"port"`   // of the Service
	Listen   int    `json:"listen"` // of the router; its own for each routed port of the namespace
	Protocol string `json:"protocol"`
}

// Track is a group of pods, reached by the Service Host at the same ports.
type Track struct {
	Name   string `json:"name"`
	Host   string `json:"host"`   // Service in the namespace: "cart-stable"
	Weight int    `json:"weight"` // percent
}

// Session is a developer's lease on a service. When Expires is over, the router forgets it
// by itself.
type Session struct {
	ID       string    `json:"id"`
	Key      string    `json:"key"`
	User     string    `json:"user"`
	Service  string    `json:"service"`
	Host     string    `json:"host"` // where its pod is reached: an address, or a Service of the namespace; same ports as the service
	Expires  time.Time `json:"expires"`
	Fallback bool      `json:"fallback,omitempty"` // answer from the service when the session's program is away; else 502
}

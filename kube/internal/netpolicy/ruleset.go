package netpolicy

import (
	"net/netip"
)

// Protocols of ports, as nft writes them.
const (
	TCP  = "tcp"
	UDP  = "udp"
	SCTP = "sctp"
)

// Ruleset is what the policies of a cluster come to, with selectors resolved to addresses.
type Ruleset struct {
	// Node says where cluster DNS listens.
	Node Node
	// Ingress and Egress are independent: a connection needs both.
	Ingress, Egress Direction
}

// Node is what rules have to know about the node.
type Node struct {
	// Address is the node's address, DNSPort the port of cluster DNS on it, UDP and TCP.
	Address netip.Addr
	DNSPort int
}

// Direction is one half of a Ruleset.
type Direction struct {
	// Policies are those with this direction that select a pod, in the order of their names.
	Policies []Policy
	// Pods are the isolated pods by address, each with the indexes in Policies of those that select it, ascending.
	Pods map[netip.Addr][]int
}

// Policy is one direction of a NetworkPolicy. It admits what one of its Rules admits.
type Policy struct {
	// Name is "namespace/name".
	Name  string
	Rules []Rule
}

// Rule admits the connections with one of its peers at one of its ports.
type Rule struct {
	// Anyone is true when the rule names no peer; else Peers are the addresses of pods, and Blocks the ranges of addresses.
	Anyone bool
	Peers  []netip.Addr
	Blocks []Block
	// AnyPort is true when the rule names no port; else Ports are numbers, and Named the places that its names stand for.
	AnyPort bool
	Ports   []Ports
	Named   []Place
	// DNS are the protocols by which the rule lets a pod ask cluster DNS; egress only.
	DNS []string
}

// Block is a range of addresses without some ranges in it.
type Block struct {
	Range  netip.Prefix
	Except []netip.Prefix
}

// Ports is a range of ports of a protocol, both ends included. A range from 0 to 65535 is every port of it.
type Ports struct {
	Protocol    string
	First, Last int
}

// Place is a port of one pod.
type Place struct {
	Address  netip.Addr
	Protocol string
	Port     int
}

// Empty reports whether no pod is isolated.
func (r Ruleset) Empty() bool { return len(r.Ingress.Pods) == 0 && len(r.Egress.Pods) == 0 }

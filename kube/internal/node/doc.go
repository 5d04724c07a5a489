// Package node turns a configuration into a running node: it makes the host's parts (network device, address translation,
// cgroup), renders the configuration of every component, starts them in the order of what they need, waits until the cluster
// serves, and takes everything down again.
//
// Nouns: Up runs a cluster in the foreground; Down ends its containers; Reset removes every trace of it from the host.
//
// Invariants: everything on the host is named after the configuration's bridge, so clusters do not meet; whatever Up makes it
// can make again over what a crash left; an Up after any kind of end brings back the same objects, volumes and certificates.
//
// May import the other packages of this module; nothing but main imports it.
package node

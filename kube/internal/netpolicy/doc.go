// Package netpolicy enforces NetworkPolicies on the embedded cluster's one node, by nftables rules in the forward and input
// hooks.
//
// Nouns: Compile turns Sources (policies, pods, namespaces) into a Ruleset; Script writes a Ruleset as one nft transaction that
// replaces the table; Run watches the cluster and applies what changed.
//
// The rules are Kubernetes': a pod that a policy selects for a direction is isolated in it, the policies of a pod add up, and a
// connection needs the egress of its source and the ingress of its destination. What is established goes on, also when a policy comes that would not admit it. The node reaches
// every pod (probes, the front door, the API server's proxy): those packets pass neither hook. A pod reaches itself. What a pod
// sends to the node (API server, cluster DNS) obeys its egress policies; there, addresses and ports are the ones behind the
// Service. Cluster DNS is a process of the node and no pod, so it counts as a pod of kube-system with the labels and ports that
// CoreDNS has elsewhere. Pods of the host's network are the node. The cluster is IPv4 only: an IPv6 block matches nobody.
//
// Invariants: Compile and Script are pure and their result does not depend on the order of their input; nothing of an object's
// text but checked names in comments gets into a script; without a policy there is no table, and the kernel does no work.
//
// Limit: a pod is isolated once its address is in its status, which the kubelet writes about when its first container starts.
//
// May import bootstrap's constants and Kubernetes' libraries; must not import package node.
package netpolicy

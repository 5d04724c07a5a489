// Package kube knows what the cluster is, by watching it: which pods there are and whose,
// how healthy the workloads are, and what happens to them.
//
// Nouns. A Watcher lists and watches the objects it needs, once for everybody. From them it
// makes places (package place), rows of KubePodInventory, KubeNodeInventory and KubeEvents,
// state series with the names, types and labels of kube-state-metrics, targets to scrape,
// and the health of each Workload.
//
// Invariants. Whose something is follows from its namespace, which the port Owners knows. A
// pod on the host's network is never found by its address, nor is a node: many share it.
// A pod that is gone is known for ten minutes more. An event becomes one row per count,
// over restarts of the server too. Objects are kept without what is not used (managed
// fields, environment, volumes).
//
// It imports the kernel, packages place, table and metric, and client-go. It never writes
// to the cluster.
package kube

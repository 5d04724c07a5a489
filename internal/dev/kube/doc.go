// Package kube owns what sessions put into a cluster and read from it: the session pod, its
// secret and its network policy, the guard that keeps them out of production, the way to
// the pod through the API server, and the environment of the workload that a session stands
// in for.
//
// Invariants.
//   - Whatever it makes passes pod security "restricted" and bears the session's id, and
//     nothing that a Service selects by.
//   - It reads Secrets only when its caller says that they may be read.
//   - It changes no object that it did not make, but for one label of a namespace.
//
// It imports its parent, the kernel and k8s.io/client-go.
package kube

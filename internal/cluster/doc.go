// Package cluster owns the Kubernetes that Towpath deploys to, and is the only
// package that knows which sort it is: embedded (towpath-kube, started here as a
// supervised child process), adopted (any kubeconfig), or none.
//
// Nouns: Cluster (what the rest sees), Status and Component (how it is), access for
// the platform itself (Admin) and for a job (As), which carries the job's identity to
// the API server: by the job's own JWT on an embedded cluster, which trusts our
// issuer, and by impersonation on an adopted one, which may not.
//
// Invariants.
//   - Nobody outside asks which sort of cluster it is, except to show it.
//   - A job never receives the platform's own credentials.
//   - Stopping an embedded cluster keeps its state; a child that dies is started again.
//
// It imports the kernel and k8s.io/client-go; no other domain.
package cluster

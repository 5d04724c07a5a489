// Package component runs the upstream programs that towpath-kube carries: etcd, the Kubernetes control plane and node
// programs, CoreDNS and kubectl.
//
// Every one of them is meant to own its process: the Kubernetes commands install a signal handler that may be set up once a
// process, feature gates and metrics are process-wide, and several leave through os.Exit. So each runs as a child process that
// is this same executable with the component's name as its first argument, and this package is the table from those names to
// the upstream entry points. It knows nothing about flags or files: package node decides those.
//
// Must not import any other package of this module but config; and nothing but main imports it, because it brings in all of
// Kubernetes.
package component

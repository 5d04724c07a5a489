// Package e2e tests the product as a whole on a real cluster: the built programs, an
// embedded Kubernetes of its own, git, builds, deployments, traffic through the front
// door, policy in the pull request, at admission and in the audit, telemetry of what runs
// with its alerts, and the ends that nobody plans (kill -9, cancelled runs, a server that
// hangs, a cluster restarted).
//
// Every test makes a project of its own in one shared installation, which TestMain
// starts and takes away again, with nothing left on the host. Tests that restart the
// installation run alone; the others run beside each other. It needs root and what
// `towpath-kube check` asks for, and fails with that program's words where they are
// missing. `go test -short` leaves all of it out. The programs are taken from
// $TOWPATH_BIN, ../../bin by default; `make build kube` makes them.
//
// What takes minutes by itself has the build tag prove: `make prove` runs it, `make test`
// does not.
package e2e

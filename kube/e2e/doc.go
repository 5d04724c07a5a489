// Package e2e starts real clusters from the built programs and uses them as their users do. Its tests need root and a few
// minutes; `go test -short` leaves them out.
package e2e

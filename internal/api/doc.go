// Package api is the HTTP API under /api/v1: code-first OpenAPI by Huma, served at
// /api/openapi.json, and the Go client that the command line uses.
//
// It turns requests into calls of the domains' services and faults into problem
// documents (RFC 9457), and holds no rules: whoever may do something, may do it here
// with the same answer as in the pages and on the command line. What the wire carries
// is declared here (view.go), so that a domain can change without breaking clients.
//
// It imports the kernel and the domains' services; no SQL.
package api

// Package oci owns the registry's HTTP front: the paths under /v2/ of the OCI
// distribution specification 1.1, their headers and error documents, and the token
// service that Docker clients log in with.
//
// It decides who asks (credentials, and what a registry token is cut down to) and how an
// answer looks; what the actor may do and what is stored is the registry's service to
// say. Names and references come from the request's path and go nowhere but into SQL
// parameters.
//
// Credentials are taken as Basic directly, or as a Bearer token of the token service
// /v2/token, which lives five minutes. Browser sessions are not taken: a page of another
// origin could use them.
//
// The package imports the registry and the kernel.
package oci

// Package app is the composition root: it turns a Config into a running server.
//
// App has the life cycle New → Run(ctx) → Close. New opens everything and binds the
// listeners, so that a caller knows the address before anything runs; Run starts the
// parts in dependency order and stops them in reverse; Close gives back what New took.
// Tests start the same type on port 0 in a temporary folder.
//
// It is the only package that imports every domain. The adapters between domains live
// here: each implements an interface that one domain declares with the service of
// another. It holds no rules of its own.
package app

// Package bootstrap writes the objects that every embedded cluster starts with: rights of the product's own components, the
// cluster DNS Service and its endpoint, the default storage class and the default ingress class.
//
// Invariants: applied by server-side apply under one field manager, so that applying again is harmless, corrects drift of the
// fields named here, and leaves fields of others alone.
//
// Must not import any other package of this module but config.
package bootstrap

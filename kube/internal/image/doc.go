// Package image makes OCI images that hold one static program, and brings image archives into the node's image store without
// a registry.
//
// Invariants: the same program and configuration give the same bytes, so the same digest, wherever and whenever they are
// built; an imported image is unpacked, so the first pod that uses it starts at once.
//
// Must not import any other package of this module.
package image

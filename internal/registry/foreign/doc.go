// Package foreign owns the way to registries that are not ours: it pushes images that a
// build has left in a folder, and asks what an image is there.
//
// Nouns: a Login (the address of a registry and what opens it), the Client, a layout (the
// folder of a build: an OCI image layout, whose index knows images by their full names).
//
// Invariants.
//   - Every connection is made by the dial that the Client was given, also where a registry
//     sends it elsewhere for a token or an upload: who dials decides where one may go.
//   - Credentials go over TLS, unless the address itself says http or is this host.
//   - Credentials are given to the registry that they are for, and to the token service that
//     it names, and to no other.
//
// The package imports the kernel and a registry client. It must not import the registry.
package foreign

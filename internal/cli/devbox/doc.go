// Package devbox owns what `towpath dev` does on the developer's machine: where the program
// runs and what it sees of the cluster, when it is built and swapped, and the near end of
// the tunnel.
//
// Nouns. A Box is a place for programs: the plain one rewrites addresses in environment
// values to listeners on loopback, the isolated one (Linux) is a user, network and mount
// namespace of its own with the cluster's addresses and names in it. A Plan says how a
// command becomes a program; a Runner keeps the newest program that could be built running.
// A Tree is the working tree that is watched. A Link is a tunnel that is joined again
// whenever it breaks.
//
// Invariants.
//   - Nothing here needs root, and nothing of the host is changed: no route, no resolver,
//     no hosts file.
//   - No program outlives the command line that started it, however that ends.
//   - A program that could not be built replaces none that runs.
//
// It imports dev/tunnel, fault, the userspace network stack and the standard library.
package devbox

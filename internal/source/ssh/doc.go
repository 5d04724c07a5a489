// Package ssh serves Git over SSH: clone, fetch and push with keys, through the same rules,
// guards and limits as over HTTP, and nothing else.
//
// Nouns. A connection belongs to the one key that completed its authentication. A session
// is one channel of it that runs one Git service.
//
// Invariants.
//   - Who acts is the key whose signature was verified, never one that was only offered; it
//     is looked up again for each session, so that a removed key ends at once.
//   - Public keys are the only way in, and the user is always git.
//   - There is no shell, no forwarding, no subsystem, no file transfer, and of a client's
//     environment only GIT_PROTOCOL in the form that git sends.
//   - A command is parsed, never run: it names a service and a repository, both of which are
//     checked, and the program and its options are ours.
//   - Handshake, waiting and transfers end after a time; connections and sessions are
//     counted, in all and for each address.
//
// It imports the kernel, package source, and golang.org/x/crypto/ssh.
package ssh

// Package build owns image builds: it runs BuildKit's daemon as a child process and sends
// it Dockerfiles, and the daemon pushes what comes out to our own registry with the
// credentials of the job that asked.
//
// Nouns: the Builder (the daemon and its state in one folder), a Request (what to build,
// from which files, under which names), its Result (the digest that the registry has).
//
// Decisions.
//   - BuildKit is a process of its own, so that a crash or a leak in it is not ours. It is
//     started with the Builder, started again when it ends, and asked to end with it.
//   - Its attestations stay switched off: they would turn every image into an index with a
//     provenance that BuildKit's caller wrote. Towpath writes and signs provenance itself,
//     as a referrer of the plain image manifest.
//   - Lines such as "# syntax=docker/dockerfile:1" are ignored: they would fetch a program
//     from another registry and run it as the frontend. The frontend that is compiled into
//     the daemon reads every Dockerfile.
//   - RUN steps have the network of the host and root inside their own mount, process and
//     IPC namespaces, without the entitlements for more (security.insecure, devices). Who
//     may build in a project is trusted as far as that goes.
//
// The package imports the registry, the kernel and BuildKit's client.
package build

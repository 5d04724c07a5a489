// Package deploy owns environments and releases: it brings charts and manifests to
// the cluster, waits until they serve, puts the old version back when they do not,
// and records which pods came of it.
//
// Nouns. An Environment is a place of a project to deploy to; it owns one namespace.
// A Release is one deployment to it, numbered from 1 in each environment. A release
// is "started", then "deployed", "failed" (nothing to go back to) or "rolled-back".
//
// Invariants.
//   - A job deploys with its own identity, which has rights in its environment's
//     namespace only. The platform's rights are used to make that namespace and its
//     role binding, to hold the lease, and to watch.
//   - A project claims the namespace that bears its name, or that begins with its name
//     and a dash, and only if nobody else has it.
//   - Images of our registry are deployed by digest: a tag is resolved when the release
//     is made, and an image that the project may not read is refused.
//   - One release at a time touches an environment, guarded by a Lease in the cluster;
//     what a crash left pending is marked failed before the next one begins.
//   - The release event names the pods by uid.
//
// It imports the kernel, helm.sh/helm/v4 and k8s.io/client-go; no other domain.
package deploy

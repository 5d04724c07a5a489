// Package enforce brings the policy set to a cluster's API server, and finds out whom a
// refusal there concerns.
//
// Nouns. Sync writes each assignment as a ValidatingAdmissionPolicy with its binding (package
// vap) and puts back what somebody changed. The webhook is the second line, and the only one
// for what the API server cannot judge by itself: it is served by this program, outside the
// cluster. Attribution reads what the API server refused without us, from its audit log and
// from the controllers' complaints, and names the run, the job, the commit and the person
// behind it. An applier is whoever applied an object last.
//
// Invariants.
//   - The first line fails closed and works while this program does not run. The webhook
//     fails open only when it cannot be reached; what passes then is found by package audit.
//   - Nothing here ever stands in the way of a cluster's start: Node, Lease, CSR and the
//     system's namespaces are never sent to us, and are told apart by
//     kubernetes.io/metadata.name only, which no tenant can set.
//   - What somebody changes in our objects, or adds to them, is undone within seconds.
//   - A request that a refusing rule matches is refused when it could not be judged.
//   - A refusal is recorded once, also over restarts.
//
// It imports the kernel, policy and its sub-packages, and Kubernetes' client.
package enforce

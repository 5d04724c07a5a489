// Package catalog holds the policies that come with the platform: the texts of the checks
// (constraint templates, in the API server's CEL where it can answer, in Rego where a check
// needs to know more than the object), the definitions that give them parameters and
// effects, and the initiatives baseline, restricted and supply-chain.
//
// Nouns. A key names a template, "container-no-privilege/v1"; a definition's
// templateInfo.url ends with it, "https://catalog.towpath.dev/container-no-privilege/v1/template.yaml".
// Nothing is ever fetched from there; a key that is not in the catalogue does not exist.
//
// Invariants.
//   - Every CEL check finds the pod by itself in a Pod, ReplicationController, Deployment,
//     ReplicaSet, StatefulSet, DaemonSet, Job and CronJob, looks at containers, init
//     containers and ephemeral containers, and judges an update as it judges a creation.
//   - The variables that find the pod are the same text in every template, so that one
//     admission policy evaluates them once for all its checks.
//   - A message is one line: the offenders, each "<path>: <sentence>", joined by "; ".
//   - baseline and restricted refuse what the newest version of the Pod Security Standards
//     in k8s.io/pod-security-admission refuses, and nothing else.
//
// It imports rule and the engine's template parser; nothing else of the product.
package catalog

// Package manifest makes the objects of a canary out of plain manifests as the task
// KubernetesManifest@1 does it: object for object, name for name, in its order, with its
// rounding.
//
// It owns the making of objects and no access to a cluster. Nouns: canary and baseline (the
// two copies of a workload), workload (what has pods), split (an SMI TrafficSplit, which shares
// the traffic of a Service between the Services of its copies).
//
// Invariants: what is given is never changed; objects that are no workloads pass as they
// are. The rules stand in microsoft/azure-pipelines-tasks, KubernetesManifestV1,
// CanaryDeploymentHelper, PodCanaryDeploymentHelper and SMICanaryDeploymentHelper.
//
// It must not import other packages of deploy.
package manifest

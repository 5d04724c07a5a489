// Package place says where telemetry comes from: which project, environment, release and
// image stand behind a pod.
//
// Nouns. A Place is what the platform knows of one pod. Places answers by uid, by name or
// by the address that a connection comes from; package kube keeps them by watching.
//
// Invariant. What a sender says of itself never decides its project: the place does, found
// by the credentials or by the address of the sender.
//
// It imports the standard library only.
package place

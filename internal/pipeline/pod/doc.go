// Package pod owns the pods that the agents of a pool of kind kubernetes run in: what such a
// pod looks like, and how it is made, seen and taken away.
//
// A pod has an init container that puts towpath-agent into a volume, the agent itself, which
// runs nothing of the job, and the containers of the job, whose program is that same file as
// "towpath-agent warden listen": it starts the processes of steps as the agent says, over a
// socket in a volume of the pod. Services run their own programs.
//
// Invariants.
//   - The token of the agent is mounted into the agent's container alone, which shares neither
//     its processes nor its files with those that steps run in.
//   - Unless the pool allows root, a pod passes pod security "restricted". It has no account of
//     the cluster, and nobody in the cluster may open a connection to it.
//   - Pods are made with the platform's rights and are judged by admission as all others are:
//     what a policy refuses ends the job with the policy's words.
//
// It imports pool, protocol, the kernel and k8s.io/client-go.
package pod

// Package supervise keeps child processes running: it starts them with a clean environment, keeps their output in a bounded
// log, waits for them to be ready, starts them again when they die, and ends them in order.
//
// Nouns: a Spec describes a program; a Process is a Spec that is kept running; an Event is one line of its story.
//
// Invariants: at most one instance of a Process runs at a time; a child never outlives this process (the kernel kills it, by
// its parent-death signal, even when this process is killed with SIGKILL); a Process that was stopped is not started again.
//
// Must not import any other package of this module: it knows nothing about Kubernetes.
package supervise

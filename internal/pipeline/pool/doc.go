// Package pool owns the pools of agents: what there is, who belongs to it, what its agents
// can do, and which pool a job goes to.
//
// Nouns. A pool is a named set of agents of the installation. A pool of kind host has agents
// that run on hosts and register themselves; one of kind kubernetes has a pod for each job. A
// capability is something an agent has, by name, with a value: a tool and its path, the
// operating system, what its owner says. A demand is a capability that a job asks for. A
// placement is the pool and the demands of a job, or why it has none. The backlog is the
// queued jobs in memory: a cache of their rows, which decides who gets which.
//
// Invariants.
//   - The pools Default (host) and Kubernetes are always there. A job that names no pool goes
//     to Default; so does a vmImage that no pool stands for, because hosted agents do not
//     exist here, and the job's log says so.
//   - A job whose demands no agent of its pool meets is refused with what is demanded and
//     which agent lacks what. A job that waits can say for whom.
//   - An agent that registered with the token of a pool belongs to this pool and cannot leave
//     it by another name.
//   - The jobs of a pool go to its agents in the order in which they were queued, whatever run
//     they belong to; a job that an agent cannot have holds nobody up.
//   - Everybody who is signed in reads pools and agents; the administrator of the installation
//     changes them. A pool that names projects serves these alone.
//
// It imports the kernel, protocol, and pipeline's libraries without state; pipeline and the
// edges import it.
package pool

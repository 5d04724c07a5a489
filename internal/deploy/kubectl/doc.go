// Package kubectl reads the command lines of kubectl that Kubernetes@1 takes, and makes the
// objects of its generators (create, run, expose).
//
// It owns words and objects and no access to a cluster: the service deploy carries a Call
// out with the identity of the job. Nouns: verb ("get"), call (a command line that was
// understood), target (an object as people name it).
//
// Invariants: a verb or an option that is not known is an error that names it and what to
// do instead, never ignored; options that choose another cluster, another user or another
// kubeconfig are refused, because the job's environment or its service connection says who
// asks whom; nothing is expanded, and no shell sees a word.
//
// It must not import other packages of deploy but deploy/manifest.
package kubectl

// Package config owns the description of one embedded cluster: the JSON file that `towpath-kube up --config FILE` reads, its
// defaults, its validation, and the layout of the folders that follow from it.
//
// Nouns: a Config is what a person or the towpath server writes; a Layout is where each thing of that cluster lives on disk.
//
// Invariants: a Config that Load returned is complete and valid; two clusters whose data folder, bridge, node address, pod and
// service ranges and front door differ share nothing on the host; no path of a Layout is longer than a unix socket allows.
//
// Must not import any other package of this module.
package config

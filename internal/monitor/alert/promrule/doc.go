// Package promrule evaluates alerting rules in PromQL with Prometheus' own rules library.
//
// Nouns. A Rule is one alerting rule with the project whose series it may read. An Engine
// holds rules and evaluates one at a time when it is told to: it has no clock of its own.
// An Active is one set of labels for which the expression holds, pending or firing.
//
// Invariants. A rule of a project reads the series of that project only, in its expression,
// in the templates of its texts, and when its state is restored: the storage is confined,
// not the text. What `for` has counted is written to the series ALERTS_FOR_STATE and read
// again after a restart. Its alerts carry the project as a label, whatever it says.
//
// It imports the kernel and the libraries of Prometheus.
package promrule

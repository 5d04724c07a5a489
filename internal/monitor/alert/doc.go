// Package alert tells people when something that they described is so, and when it is no
// longer so.
//
// Nouns. A Rule describes a condition: a metric rule in PromQL, a query rule in the Kusto
// query language. The recommended rules come with the platform. An Alert is one thing for
// which a rule's condition holds, named by its labels; it fires once and resolves once. An
// Evaluation is one time that a rule was asked. A Silence keeps notifications of matching
// alerts back. A Receiver is where notifications go; Routes say which alerts go where.
//
// Invariants.
//   - What somebody may see is decided below PromQL and KQL: a rule of a project reads the
//     series and rows of that project only, and its alerts carry the label project=….
//   - An alert is one row. Of a rule and a set of labels at most one is open. Its firing and
//     its resolution are events in the transaction that changes the row.
//   - A restart loses no alert: what fired stays firing until a rule says that it ended.
//   - A rule is never evaluated twice at the same time, nor twice for the same moment.
//   - An error of an evaluation neither fires nor resolves anything; it is shown.
//   - The secrets of a receiver lie in the vault's encryption; no answer and no log has them.
//
// It imports the kernel, packages place and query, its sub-packages, and the libraries of
// Prometheus and Alertmanager.
package alert

// Package check decides whether a stage may use the resources that it names: checks,
// approvals, exclusive locks and pipeline permissions.
//
// Nouns. A resource is what a pipeline borrows from its project: an environment, a service
// connection, a variable group, a secure file, a repository or an agent pool. A definition
// is a check as the owner of a resource set it. A gate is what holds one stage of one run:
// its entries are the definitions as they stood when the stage came to them. An entry
// waits until it is passed; one that is refused ends the stage.
//
// Invariants.
//   - Entries are asked in the documented classes, one class after the other: permission,
//     static, approval before, dynamic, approval after, exclusive lock. A class begins when
//     all of the one before it pass.
//   - What an entry asks for is frozen when the stage comes to the gate: a definition that
//     changes, and the list of its approvers, matter to later runs only (C002).
//   - Nobody passes an approval for somebody else, and a run cannot pass one at all.
//   - Every decision is a pure function of entries, facts and the time: a restart loses
//     nothing, and what comes from outside (an answer over HTTP, alerts, evidence of an
//     image) is a fact that was written down before it counts.
//
// The package holds types, rules and the definitions' table; package pipeline keeps the
// gates in the transactions that change runs. It imports the kernel, plan, parse and expr.
package check

// Package policy owns the rules that an organisation sets for what runs, and answers one
// question for everyone: Decide. The pull request, the pipeline, the deployment, the API
// server's webhook and the audit all ask it; they get the same verdict for the same object
// in the same place.
//
// Nouns. A definition is one check in Azure Policy's JSON (mode Microsoft.Kubernetes.Data),
// an initiative a list of them. An assignment puts a definition or an initiative to work in
// a scope, with parameters and an effect. An exemption takes objects out of an assignment
// until it expires. The set is everything that is assigned, compiled; its digest names
// exactly what was decided with. A decision is the record of one answer.
//
// Invariants.
//   - There is one evaluator (package engine). No caller matches, exempts or judges by
//     itself.
//   - A set is swapped as a whole: one that does not compile leaves the old one in force,
//     and the error names what is wrong with it.
//   - Exemptions are made only through this service, by somebody who may, and are no
//     longer honoured the moment they expire, also between two compilations.
//   - A rule that cannot judge refuses where it would refuse; it is never skipped.
//   - A decision that refuses is recorded with the digest of its input and of its set.
//
// It imports the kernel, its sub-packages and Kubernetes' type packages; no other domain.
// What it needs of others it states in ports.go.
package policy

// Package vap writes rules as ValidatingAdmissionPolicies, so that the API server refuses
// by itself what the evaluator refuses, also while this program does not run.
//
// Nouns. A pair is a policy with its binding. An assignment becomes one pair, or several
// where its rules differ in what they match or in whether they refuse. A reference is what
// a refusal says about where it comes from: assignment, rule and policy digest.
//
// Invariants.
//   - Parameters are written into the policy (variables.params as a literal): there is no
//     object besides the pair whose absence would let a request pass.
//   - Namespaces are selected by kubernetes.io/metadata.name only, which the API server sets
//     itself, never by a label that a tenant can set.
//   - The same rules give the same pairs, byte for byte; names are derived from the
//     assignment's.
//   - Exemptions name objects exactly, and pods of an exempt workload only where the
//     controller made them. Who forges an owner is not exempt.
//   - What the API server cannot judge is left out by name, never silently.
//
// It imports rule, the engine (which says where a rule holds and how messages are read)
// and Kubernetes' type packages; nothing else of the product.
package vap

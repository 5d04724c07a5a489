// Package engine is the one evaluator: it compiles rules, exemptions and places to a set,
// and judges one object at a time. The pull request, the pipeline, the deployment, the
// webhook and the audit all call Set.Review and nothing else.
//
// It is the OPA constraint framework's client with two drivers: the framework's for Rego
// (imported templates, in the v0 dialect, without any builtin that reaches the network)
// and one for CEL that runs the API server's own validator over Gatekeeper's template
// format, with the API server's cost budget, so that a verdict here is the verdict of the
// ValidatingAdmissionPolicy made of the same template.
//
// Nouns. A set is everything that was compiled, immutable, named by its digest. A reach is
// the namespaces in which a rule holds. An expansion is the pod that a workload makes.
//
// Invariants.
//   - Matching, exempting and judging happen here only.
//   - A verdict is given for every rule that matched, compliant ones too. A rule that
//     could not judge has the outcome "error", and refuses where it would refuse.
//   - Exemptions never hide a verdict: exempt objects are judged, and each exemption must
//     cover the object by itself. Expiry is checked at the time of the review.
//   - Rules share what is the same text in one review, never what they cost: whether a rule
//     can judge depends on itself and the object only.
//   - A namespace's labels decide nothing: a place is a cluster and a namespace's name.
//   - An update is judged in full; nothing is skipped because it did not change, but a
//     request that only lets go of a deleted object (Leaves).
//
// It imports rule, the framework, Gatekeeper and Kubernetes' libraries; nothing else of
// the product.
package engine

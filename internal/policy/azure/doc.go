// Package azure reads Azure Policy's JSON for Kubernetes (mode Microsoft.Kubernetes.Data)
// and resolves it to rules.
//
// Nouns. A definition is one check, an initiative a list of definitions with parameters, an
// assignment puts one of them to work in a scope, an exemption takes objects out of an
// assignment. An expression is a text in square brackets, "[parameters('effect')]".
//
// Invariants.
//   - What is not understood is an error with its JSON path; nothing is ignored silently,
//     except descriptive fields that the format has and that decide nothing.
//   - Nothing is fetched: a PublicURL is a name in the local catalogue.
//   - Parsing is pure; the same text gives the same result.
//
// It imports rule, the engine's template parser, fault and Kubernetes' type packages.
package azure

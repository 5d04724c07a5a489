// Package rule holds the words that the parts of policy share: what a rule is once its
// assignment is resolved, what it judges, and what it says.
//
// Nouns. A Template is the text of a check with its engine. A Rule is one template with
// the parameters, match and effect that one assignment gives it; its scope says where it
// holds. An Exemption takes objects out of rules until it expires. A Review is one object
// with the circumstances in which it is judged. A Verdict is what one rule says about one
// review.
//
// Everything here is plain data and pure functions. It imports the standard library and
// Kubernetes' type packages; nothing of the product.
package rule

// Package secret finds credentials in bytes: private keys, tokens, passwords in
// configuration files.
//
// Nouns. A rule says how one kind of credential looks. A keyword is a word without which
// a rule cannot match; a hit is a place where a keyword stands. A window is the piece of
// the input around a hit on which the rule's expression is run. A gate is a cheap
// condition without which a rule cannot match at a hit. A finding is a credential with
// its place.
//
// The rules are data: folder rules holds the rule set of gitleaks v8.30.1
// (https://github.com/gitleaks/gitleaks, Copyright (c) 2019 Zachary Rice, MIT licence,
// its text is in rules/LICENSE.gitleaks) as converted by rules/mkrules. The engine and
// the detectors of structured files are our own.
//
// Two things keep guesses quiet. A generic rule, which takes a value for a secret because
// of the name before it, wants a value that looks made by chance and is not asked in
// files of tests; rules that know a credential by its form hold everywhere. And values
// that are published, such as the example keys in Go's own source, are known by hash.
//
// Invariants.
//   - The cost is linear in the input: one pass for the keywords, and each rule runs over
//     each byte a bounded number of times. Expressions are RE2's; nothing backtracks.
//   - Nothing in the input switches a rule off: no comment, no ignore file. Only the
//     rules' own lists of allowed values and paths do.
//   - What is found with a path is also found without one: Scan("", data) is the superset
//     for a caller that knows the content before it knows the name.
//   - A Finding's secret never appears when it is printed, logged or encoded.
//
// It imports the standard library only.
package secret

// Package audit knows, for every live object that a rule matches, what each rule says of it
// and since when: compliant ones too.
//
// Nouns. A feed follows one kind of objects: it lists them in pages, then watches. A verdict
// is one rule on one object as it was seen last. The sweep lists everything again and counts
// the differences to what is stored; there must be none. A report adds verdicts up for people.
//
// Invariants.
//   - Objects are judged as they pass and never kept; of an object that lives only its uid,
//     its name and its resource version stay in memory.
//   - Nothing is written to the cluster. Verdicts stand in the platform's own database.
//   - A verdict's "since" moves only when its outcome does.
//   - Another set, another exemption or another verdict on an image is followed by a new
//     judgement of the objects concerned, and of no others.
//   - A violation of a refusing rule that passed admission is a decision, once for each
//     object, rule and policy digest.
//
// It imports the kernel, policy and its sub-packages, and Kubernetes' client.
package audit

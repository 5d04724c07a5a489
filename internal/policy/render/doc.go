// Package render turns what a repository holds into the objects that the API server would
// get, without a cluster, and knows for each place of an object the line of the repository
// that it comes from.
//
// Nouns. A chart is a folder of files with the values, release and Kubernetes version of
// one target. A place is a file of the repository and a line. A stand-in is a value that
// only a run knows, replaced so that the chart renders.
//
// Invariants.
//   - The objects are what Helm's own engine renders. Where they come from is learnt in a
//     second rendering with marks in it, which can lose a line but never change an object.
//   - Templates are foreign programs: they reach no cluster, no network, no clock that
//     decides anything and no file beyond the chart, and end within Limits whatever they
//     say.
//   - An object that does not render is an error that names file and line, never left out.
//
// It imports the kernel, package rule, Helm's engine and the YAML parsers; nothing else of
// the product.
package render

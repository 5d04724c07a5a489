// Package seed holds the advisory facts that Towpath carries itself, so that a
// fresh installation can judge Go programs without a network: id, aliases, module,
// version ranges and dates from golang/vulndb (CC-BY-4.0, see NOTICE), no prose.
//
// The file go.json.gz is made by the command in mkseed; the same input gives the
// same bytes. It imports the standard library and advisory.
package seed

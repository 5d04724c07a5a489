// Package live proves enforcement and audit on a real API server: the embedded cluster,
// started once for all tests. It holds tests only, and runs them only where TOWPATH_BIN
// names the folder of the built programs.
package live

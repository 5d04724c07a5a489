// Package live proves enforcement and audit on a real API server: the embedded cluster,
// started once for all tests. It holds tests only. They need the built programs, in the
// folder that TOWPATH_BIN names, and fail without them; -short leaves them out.
package live

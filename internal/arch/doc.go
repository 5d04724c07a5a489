// Package arch holds no code: its test enforces who may import whom. The rules stand in
// the table of ARCHITECTURE.md; the test reads them there, so that the page stays true.
package arch

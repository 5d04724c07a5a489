// Package lsp is the language server of pipeline files: LSP 3.17 over any pair of streams,
// for editors. It answers from the compiler (diagnostics) and from the data of package
// validate (completion, hover), so an editor says what a run will say.
//
// Nouns: a document is an open file as the editor has it; an outline is what indentation
// alone says of a text, which is enough to complete a file that is broken at the moment; a
// root is a pipeline of the workspace that other files are templates of.
//
// Invariants.
//   - Positions on the wire count UTF-16 units, those of the compiler characters; only
//     text.go converts.
//   - Every message, document and folder walk is bounded; a message that is too large ends
//     the connection, everything else is answered with an error.
//   - Files are read below the workspace's root and the folders of the given repositories,
//     and nothing is ever written.
//
// It imports compile, expand, expr, parse and validate.
package lsp

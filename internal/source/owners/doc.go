// Package owners reads CODEOWNERS files: who must be asked about which paths.
//
// Nouns. A File is the parsed text. A Rule is one line: a pattern and its owners, which
// may be none. A Problem is a line that was left out, with the reason.
//
// The semantics are GitHub's: of all rules that match a path the last one decides; "/"
// anchors a pattern at the root, as does one in the middle; a pattern without either
// matches at any depth; one that names a folder owns everything below it; "*" stays within
// a part of the path and "dir/*" owns the files of dir and not those of its folders; "**"
// crosses folders; "?" is one character. "!" and "[ ]" are not understood, and such lines
// are problems. GitLab's section headings ("[Docs]") are passed over, so that their rules
// hold for everybody.
//
// Invariants.
//   - Matching costs at most the product of the lengths of pattern and path: there are no
//     regular expressions and no backtracking.
//   - Every input is parsed to its end or refused for its size; nothing panics.
//   - An owner of a form that nobody here can have (a team, an address) stays an owner, so
//     that a path does not become free because a name is not understood.
//
// It imports the standard library only.
package owners

// Package link finds references to items in what people write about code: messages of
// commits, titles and bodies of pull requests, names of branches.
//
// Nouns. A Reference is an item's number with whether the words before it say that the
// change completes the item.
//
// Rules, after Azure Boards (AB#12) and GitHub and Linear (#12, words).
//   - `AB#12` and `#12` refer, in any case, where no letter, digit or slash touches them.
//   - close, fix, resolve, implement and complete in every tense, before the reference with
//     nothing but a colon and spaces between, close it; a "not" before the word undoes it.
//   - `Fixes AB#123, AB#124` closes the first only: the word is for one.
//   - ref, part of, towards, relates to, and no word at all refer only.
//   - Nothing counts in code, in HTML comments, in addresses, nor in what a commit
//     reverts.
//   - A branch refers by a part of its name that begins with the number: `12-fix-cart`,
//     `feature/12-fix-cart`, `AB#12`. It never closes.
//
// It imports the standard library only.
package link

// Package stack reads the stack traces that Go, Java, Python, .NET and Node print, and
// says which of their frames belong to the application.
//
// Nouns. A Frame is one call. An Exception is an error with its type, its message and its
// frames, the innermost call first. A frame is InApp unless it belongs to the language's
// own library or to a package that was installed.
//
// Invariant. Parse never fails: text that it does not know has no frames. What it reads is
// bounded in bytes, frames and the length of each name.
//
// It imports the standard library and package table.
package stack

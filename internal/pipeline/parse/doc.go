// Package parse turns the bytes of a pipeline file into a tree that remembers
// where everything stood.
//
// It is the first of the four compiler libraries (parse, expand, validate,
// plan) and owns the nouns that the other three share: [Node], [Pos],
// [Diagnostic] and [Diagnostics].
//
// # What it guarantees
//
//   - Every node carries file, line and column of its first character, both
//     counted from one, so that any later message can be written in the form
//     the service uses: "file (Line: n, Col: m): message".
//   - Scalars keep their text. Nothing is converted: a pipeline value such as
//     3.10 or yes means what its consumer says it means (rules X004, X005).
//   - Mappings keep the order of their keys (X002) and may hold the same
//     directive key more than once, as in two "${{ if … }}" keys with the same
//     text; a literal key that stands twice is reported here, because the YAML
//     library does not report it when it delivers nodes (X006).
//   - Anchors, aliases, merge keys, complex keys, custom tags and streams of
//     several documents are refused with a message that says so (X001).
//   - Input is bounded before and while it is read: size, depth and number of
//     nodes (X009).
//
// The package knows nothing of pipelines beyond that: keys have no meaning
// here. It must not import its siblings or anything of the rest of Towpath.
package parse

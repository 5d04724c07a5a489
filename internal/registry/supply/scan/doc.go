// Package scan owns verdicts: which advisories hit which package versions, what that
// means for each image, and how findings come and go.
//
// Nouns. A match says that an advisory is about a package version. A Finding is a
// match seen in an image, with advisories that are aliases of each other taken as one.
// A Verdict is an image's state: clean, findings, or no advisory data.
//
// Invariants.
//   - A package version is matched once, however many images hold it; a changed
//     advisory is matched against the stored versions of its packages only. Layers are
//     never read here.
//   - An image is clean only when every ecosystem in it has advisory data. One without
//     data, and an image in which no package was recognised, is never called clean.
//   - A finding keeps the time it was first seen; when it no longer holds, the time
//     when it ended is kept, too.
//
// It imports the standard library, the kernel (store), advisory, sbom and osv-scalibr's
// version comparison.
package scan

// Package sbom owns the list of packages in an image: what each layer brings (read
// once per layer digest), what is left of it when the layers lie on each other, and
// the SPDX 2.3 and CycloneDX 1.6 documents that say so.
//
// Nouns. A Content is what one layer brings; a Package is one package version in an
// image; an Image is what a document describes.
//
// Invariants.
//   - Layers are foreign input: unpacked size, entry count, file size and the number
//     of packages are limited, so that a small layer cannot become a large one.
//   - Nothing of a layer is ever written under a name that the layer chose.
//   - A document is a function of its input: equal images give equal bytes.
//
// Known limits: a program in a lower layer that an upper layer replaces by a file
// that is not executable is still listed; RPM databases are not read.
//
// It imports the standard library, fault, zstd and osv-scalibr's extractors.
package sbom

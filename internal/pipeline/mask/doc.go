// Package mask owns the hiding of secrets in text: a [Masker] knows secret values
// and replaces each of them, in every form that tools print it in, by [Stars].
//
// Invariants.
//   - A secret that was added is never forgotten (L034).
//   - A value of several lines hides each of its lines, because output is masked
//     line by line.
//   - Masked are the value, and its JSON-escaped, URL-escaped, shell-quoted,
//     backslash-escaped and base64 forms (L033).
//   - Values shorter than [MinLength] are not masked: a secret "1" would blacken
//     everything and tell what it is.
//
// The agent masks before it writes a line anywhere; the server masks again with the
// secrets that it knows. It imports the standard library alone.
package mask

// Package mask owns the hiding of secrets in text: a [Masker] knows secret values
// and replaces each of them, in every form that tools print it in, by [Stars].
//
// Invariants.
//   - A secret that was added is never forgotten (L034).
//   - A value of several lines hides each of its lines, because output is masked
//     line by line.
//   - Masked are the value, and its JSON-escaped, URL-escaped, shell-quoted,
//     backslash-escaped and base64 forms (L033).
//   - The password of a URL, user:password before the host, is masked whoever added it.
//   - Values shorter than [MinLength] are not masked: a secret "1" would blacken
//     everything and tell what it is. [Masker.SetMinLength] changes that, up to 6.
//   - The time that masking takes does not depend on how many secrets there are, as long as
//     few of them begin with the same four bytes; 200 secrets, some 3000 forms, are found
//     with more than 200 MB/s.
//
// The agent masks before it writes a line anywhere; the server masks again with the
// secrets that it knows. It imports the standard library alone.
package mask

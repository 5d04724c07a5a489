package table

import "unicode/utf8"

// Clip returns the beginning of a text: at most n bytes, and no part of a character, which
// neither a page nor PostgreSQL would take.
func Clip[T ~string | ~[]byte](text T, n int) T {
	if len(text) <= n {
		return text
	}
	for i := n; i > n-utf8.UTFMax && i >= 0; i-- {
		if utf8.RuneStart(text[i]) {
			return text[:i]
		}
	}
	return text[:n]
}

// Shorten is Clip with an ellipsis where something is missing.
func Shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return Clip(text, n) + "…"
}

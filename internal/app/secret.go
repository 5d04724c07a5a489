package app

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// randomWord returns n random characters of the base32 alphabet in lower case.
func randomWord(n int) string {
	b := make([]byte, (n*5+7)/8)
	_, _ = rand.Read(b) // Never fails (crypto/rand).
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))[:n]
}

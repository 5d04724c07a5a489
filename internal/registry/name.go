package registry

import (
	"regexp"
	"strings"
)

// Grammar of the distribution specification, section "Pulling manifests", with the
// digest algorithms that are served here.
var (
	nameGrammar   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar    = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestGrammar = regexp.MustCompile(`^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$`)
)

// maxName is the longest repository name in bytes: clients count the host in 255.
const maxName = 240

// ValidName reports whether s is a repository name: lower-case segments separated by
// slashes, at most 240 bytes.
func ValidName(s string) bool { return len(s) <= maxName && nameGrammar.MatchString(s) }

// ValidTag reports whether s is a tag: at most 128 letters, digits, "_", "." and "-".
func ValidTag(s string) bool { return tagGrammar.MatchString(s) }

// ValidDigest reports whether s is a digest in sha256 or sha512, in lower-case hex.
func ValidDigest(s string) bool { return digestGrammar.MatchString(s) }

// ProjectOf returns the project that a repository belongs to: its first segment.
func ProjectOf(repository string) string {
	p, _, _ := strings.Cut(repository, "/")
	return p
}

func checkName(name string) error {
	if !ValidName(name) {
		return wrong(CodeNameInvalid, "The repository name %.80q is not valid: it takes lower-case letters, digits and single separators, at most %d bytes.", name, maxName)
	}
	return nil
}

func checkDigest(d string) error {
	if !ValidDigest(d) {
		return wrong(CodeDigestInvalid, "%.80q is not a digest: it takes sha256: with 64 or sha512: with 128 lower-case hex digits.", d)
	}
	return nil
}

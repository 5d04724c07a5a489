package tunnel

import (
	"encoding/hex"
	"strings"
)

// MaxBinary is the largest binary that goes up, in bytes.
const MaxBinary = 512 << 20

// Limits of what a build says of its process.
const (
	maxArgs = 64
	maxEnv  = 256
)

func (b Build) check() error {
	switch {
	case !word(b.ID):
		return Errorf(Invalid, "the build id %.70q is not 1 to 64 letters, digits, '-', '_' and '.'", b.ID)
	case !word(b.Name):
		return Errorf(Invalid, "the program name %.70q is not 1 to 64 letters, digits, '-', '_' and '.'", b.Name)
	case b.Size < 1 || b.Size > MaxBinary:
		return Errorf(Invalid, "a binary of %d bytes does not go up; up to %d do", b.Size, MaxBinary)
	case !sum(b.Sum):
		return Errorf(Invalid, "a build needs the SHA-256 of its binary")
	case b.Base != "" && !sum(b.Base):
		return Errorf(Invalid, "the base of a build is the SHA-256 of a binary")
	case len(b.Args) > maxArgs || len(b.Env) > maxEnv:
		return Errorf(Invalid, "a program has at most %d arguments and %d environment variables", maxArgs, maxEnv)
	}
	for _, e := range b.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" || strings.Contains(e, "\x00") {
			return Errorf(Invalid, "the environment variable %.40q is not NAME=value", e)
		}
	}
	for _, a := range b.Args {
		if strings.Contains(a, "\x00") {
			return Errorf(Invalid, "an argument holds a zero byte")
		}
	}
	return nil
}

// word reports whether s can name a file: no path and no option.
func word(s string) bool {
	if len(s) == 0 || len(s) > 64 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

func sum(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 32 && strings.ToLower(s) == s
}

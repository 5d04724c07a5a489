package insight

import (
	"crypto/sha256"
	"encoding/hex"

	"towpath.dev/towpath/internal/monitor/insight/drain"
	"towpath.dev/towpath/internal/monitor/otlp/stack"
)

// Version is that of the algorithm by which errors are grouped. A change of what Problem
// answers needs a new one: groups are named by it.
const Version = "v1"

// maxGrouping is how many frames tell one error from another: what lies further out is
// how the program got there.
const maxGrouping = 8

// Problem names the group of an exception: by the fingerprint that the program chose, else
// by its type and the frames of the application, else by its type and what its messages
// have in common, else by the latter alone (the order of "Issue Grouping" in Sentry's
// documentation). Lines of a file do not count: they move with every change above them.
// The name begins with the version and with a letter that says which of these decided.
func Problem(e stack.Exception) string {
	if e.Explicit != "" {
		return name("e", e.Explicit)
	}
	if frames := grouping(e.Frames); len(frames) > 0 {
		return name("s", append([]string{e.Type}, frames...)...)
	}
	if e.Type != "" && e.Type != "Error" {
		return name("t", e.Type, drain.Mask(e.Message))
	}
	return name("m", drain.Mask(e.Message))
}

// grouping returns the application's frames, of a recursion one.
func grouping(frames []stack.Frame) []string {
	var out []string
	for _, f := range frames {
		if !f.InApp {
			continue
		}
		text := f.Method
		if text == "" || text == "<anonymous>" {
			text = f.File
		}
		text = f.Assembly + "|" + text
		if len(out) > 0 && out[len(out)-1] == text {
			continue
		}
		if out = append(out, text); len(out) == maxGrouping {
			break
		}
	}
	return out
}

func name(how string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return Version + ":" + how + ":" + hex.EncodeToString(h.Sum(nil)[:8])
}

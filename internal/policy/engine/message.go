package engine

import (
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/policy/rule"
)

// pathed is a message of the convention "<path>: <text>".
var pathed = regexp.MustCompile(`^([a-z][A-Za-z0-9_-]*(?:\[[^\]\s]*\])*(?:\.[A-Za-z][A-Za-z0-9_-]*(?:\[[^\]\s]*\])*)*): (.+)$`)

// Violations reads the message of one result, as a program or an API server that ran it said
// it. Templates of the convention join several
// violations of one validation with "; "; a part without a path belongs to the one before.
// Messages of others are one violation without a path.
func Violations(message string) []rule.Violation {
	var out []rule.Violation
	for part := range strings.SplitSeq(strings.TrimSpace(message), "; ") {
		m := pathed.FindStringSubmatch(part)
		switch {
		case m != nil:
			out = append(out, rule.Violation{Path: m[1], Message: m[2]})
		case len(out) > 0:
			out[len(out)-1].Message += "; " + part
		default:
			out = append(out, rule.Violation{Message: part})
		}
	}
	return out
}

// under moves violations of an expanded pod to where its template is in the workload.
func under(path string, found []rule.Violation) []rule.Violation {
	if path == "" {
		return found
	}
	out := make([]rule.Violation, len(found))
	for i, v := range found {
		out[i] = v
		out[i].Path = path
		if v.Path != "" {
			out[i].Path += "." + v.Path
		}
	}
	return out
}

package plan

import (
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/pipeline/expr"
)

// maxRunName is the longest run name of the service (X031).
const maxRunName = 255

// RunName makes the name of a run from its format (X031): tokens of the date
// (in UTC), macros of variables, and at most one "$(Rev:r)", a number that counts
// the runs whose name is the same without it. revision returns that number for
// the name before and after the token; it is called only if the format has one.
// Characters that are not allowed in a name become "_", and unknown macros stay.
func RunName(format string, now time.Time, values Values, revision func(before, after string) (int, error)) (string, error) {
	if format == "" {
		format = DefaultRunName
	}
	now = now.UTC()
	width := 0
	name := expr.ExpandMacros(format, func(token string) (string, bool) {
		if rest, ok := cutFold(token, "Rev:"); ok && width == 0 {
			if digits := strings.TrimLeft(rest, "."); digits != "" && strings.Trim(digits, "rR") == "" {
				width = len(digits)
				return rest[:len(rest)-len(digits)] + revisionMark, true
			}
		}
		if text, ok := dateToken(token, now); ok {
			return text, true
		}
		return nameValue(token, values)
	})
	name = strings.Map(allowedInName, name)
	if width == 0 {
		return cutName(name), nil
	}
	before, after, _ := strings.Cut(name, revisionMark)
	n, err := revision(before, after)
	if err != nil {
		return "", err
	}
	digits := strconv.Itoa(n)
	return cutName(before + strings.Repeat("0", max(width-len(digits), 0)) + digits + after), nil
}

// revisionMark holds the place of the revision until the rest is known. It
// cannot come from a variable, because control characters are not allowed in
// names and a second one is removed.
const revisionMark = "\x00"

// dateToken expands the tokens that stand for a part of the time.
func dateToken(token string, now time.Time) (string, bool) {
	if layout, ok := cutFold(token, "Date:"); ok {
		return expr.FormatTime(now, layout), true
	}
	if layout, ok := cutFold(token, "Year:"); ok {
		return expr.FormatTime(now, layout), true
	}
	switch strings.ToLower(token) {
	case "date":
		return expr.FormatTime(now, "yyyyMMdd"), true
	case "month":
		return strconv.Itoa(int(now.Month())), true
	case "dayofmonth":
		return strconv.Itoa(now.Day()), true
	case "dayofyear":
		return strconv.Itoa(now.YearDay()), true
	case "hours":
		return strconv.Itoa(now.Hour()), true
	case "minutes":
		return strconv.Itoa(now.Minute()), true
	case "seconds":
		return strconv.Itoa(now.Second()), true
	}
	return "", false
}

// nameValue expands the short names that only run names have, and variables.
func nameValue(token string, values Values) (string, bool) {
	long := map[string]string{
		"sourcebranchname":    "Build.SourceBranchName",
		"teamproject":         "System.TeamProject",
		"builddefinitionname": "Build.DefinitionName",
		"definitionname":      "Build.DefinitionName",
		"buildid":             "Build.BuildId",
	}[strings.ToLower(token)]
	if long == "" {
		long = token
	}
	value, ok := values.Get(long)
	if !ok || value.Secret {
		return "", false
	}
	return strings.ReplaceAll(value.Text, revisionMark, ""), true
}

// allowedInName replaces what may not stand in a run name.
func allowedInName(r rune) rune {
	if strings.ContainsRune(`"/:<>\|?@*`, r) {
		return '_'
	}
	if r < ' ' && string(r) != revisionMark {
		return -1
	}
	return r
}

// cutName bounds a name, and removes the dots at its end that are not allowed.
func cutName(name string) string {
	name = strings.TrimRight(strings.TrimSpace(name), ".")
	if runes := []rune(name); len(runes) > maxRunName {
		name = string(runes[:maxRunName])
	}
	return name
}

func cutFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

func itoa(n int) string { return strconv.Itoa(n) }

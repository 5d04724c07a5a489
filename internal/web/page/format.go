package page

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Ago says how long before now t was, in one short word group: "now", "40 s", "6 min",
// "5 h", "3 d", and the date when it is longer ago than 60 days. A zero t is "–".
func Ago(now, t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	d := now.Sub(t)
	switch {
	case d < 5*time.Second:
		return "now"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 24*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	case d < 60*24*time.Hour:
		return strconv.Itoa(int(d.Hours()/24)) + " d"
	}
	return t.Format("2006-01-02")
}

// AgoWords is Ago inside a sentence: "6 min ago", "just now", "on 2026-09-04".
func AgoWords(now, t time.Time) string {
	switch text := Ago(now, t); {
	case text == "now":
		return "just now"
	case t.IsZero() || now.Sub(t) >= 60*24*time.Hour:
		return "on " + text
	default:
		return text + " ago"
	}
}

// Took says how long something took: "0.4 s", "22.6 s", "1 min 12 s", "2 h 5 min".
func Took(d time.Duration) string {
	switch {
	case d < 0:
		return "–"
	case d < time.Minute:
		s := math.Round(d.Seconds()*10) / 10
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	case d < 10*time.Minute:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// TookSoFar is Took for what goes on: whole seconds, because it changes while one looks.
func TookSoFar(d time.Duration) string {
	if d < time.Minute {
		return strconv.Itoa(int(max(d, 0).Seconds())) + " s"
	}
	return Took(max(d, 0).Truncate(time.Second))
}

// Bytes writes a size with at most one decimal in units of 1024: "512 B", "8.1 MB".
func Bytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, units := float64(n), "kMGTP"
	i := -1
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	if f >= 100 {
		return fmt.Sprintf("%.0f %cB", f, units[i])
	}
	return fmt.Sprintf("%.1f %cB", f, units[i])
}

// Count writes a number with thin groups of three: "49 055".
func Count[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	if neg {
		return "−" + s
	}
	return s
}

// Plural writes a count with its noun: "1 image", "4 images".
func Plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Short cuts the middle out of an identifier so that both ends, which people compare,
// stay: commits become their first 7 digits, digests "5be1…90c2", anything else longer
// than 18 characters keeps 8 on each side.
func Short(id string) string {
	switch {
	case isHex(id, 40):
		return id[:7]
	case strings.Contains(id, ":") && isHex(id[strings.LastIndexByte(id, ':')+1:], 64):
		h := id[strings.LastIndexByte(id, ':')+1:]
		return h[:4] + "…" + h[60:]
	case isHex(id, 64):
		return id[:4] + "…" + id[60:]
	}
	if r := []rune(id); len(r) > 18 {
		return string(r[:8]) + "…" + string(r[len(r)-8:])
	}
	return id
}

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// Initials are the one or two letters that stand for a person.
func Initials(name string) string {
	parts := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune(" .-_", r) })
	out := ""
	for _, p := range parts {
		out += string([]rune(p)[:1])
		if len([]rune(out)) == 2 {
			break
		}
	}
	if len(parts) == 1 {
		if r := []rune(parts[0]); len(r) > 1 {
			out = string(r[:2])
		}
	}
	return strings.ToUpper(out)
}

// Actor turns "user:ada" into "ada" and "run:2040" into "run 2040"; others stay whole.
func Actor(a string) string {
	kind, name, ok := strings.Cut(a, ":")
	switch {
	case !ok:
		return a
	case kind == "user":
		return name
	case kind == "run":
		return "run " + name
	case kind == "system":
		return "Towpath (" + name + ")"
	}
	return a
}

// BranchOf turns "refs/heads/main" into "main" and "refs/tags/v1" into "v1".
func BranchOf(ref string) string {
	ref = strings.TrimPrefix(ref, "refs/heads/")
	return strings.TrimPrefix(ref, "refs/tags/")
}

// Esc escapes one segment of a path, slashes included.
func Esc(s string) string { return url.PathEscape(s) }

// EscPath escapes a path but keeps its slashes.
func EscPath(s string) string {
	parts := strings.Split(s, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// Query is a link's query with the empty values left out.
func Query(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// exact is the full form of a time that stands in a title.
func exact(t time.Time) string {
	if t.IsZero() {
		return "no time is known"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

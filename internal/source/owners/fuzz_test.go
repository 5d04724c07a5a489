package owners_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/source/owners"
)

// FuzzMatch compares the matcher with the definition written down as a recursion, for
// patterns short enough for it.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"*", "a/b"}, {"/docs/*", "docs/a/b"}, {"a/**/b", "a/x/y/b"}, {"**/a*b?c", "x/aabbc"}, {"apps/", "x/apps/y"}, {"/a/**", "a/b"}, {"a/b", "x/a/b"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		file, err := owners.Parse([]byte(pattern + " @ada\n"))
		if err != nil || len(file.Rules) != 1 {
			return
		}
		_, got := file.Match(path)
		if len(pattern) > 12 || len(path) > 16 || strings.ContainsAny(pattern, "\\ \t\n\r\v\f#@") || file.Rules[0].Pattern != pattern {
			return
		}
		if want := defined(pattern, path); got != want {
			t.Errorf("pattern %q, path %q: %v, want %v", pattern, path, got, want)
		}
	})
}

func defined(pattern, path string) bool {
	body := strings.TrimSuffix(strings.TrimPrefix(pattern, "/"), "/")
	parts := strings.Split(body, "/")
	if !strings.Contains(strings.TrimSuffix(pattern, "/"), "/") {
		parts = append([]string{"**"}, parts...)
	}
	last := parts[len(parts)-1]
	switch {
	case strings.HasSuffix(pattern, "/"), last == "**" && strings.Contains(body, "/"):
		parts = append(parts, "*", "**")
	case last != "*" || parts[0] == "**" && len(parts) == 2 && body == "*":
		parts = append(parts, "**")
	}
	return walk(parts, strings.Split(path, "/"))
}

func walk(parts, path []string) bool {
	switch {
	case len(parts) == 0:
		return len(path) == 0
	case parts[0] == "**":
		return walk(parts[1:], path) || len(path) > 0 && walk(parts, path[1:])
	case len(path) == 0:
		return false
	}
	return chars([]rune(parts[0]), []rune(path[0])) && walk(parts[1:], path[1:])
}

func chars(text, name []rune) bool {
	switch {
	case len(text) == 0:
		return len(name) == 0
	case text[0] == '*':
		return chars(text[1:], name) || len(name) > 0 && chars(text, name[1:])
	case len(name) == 0:
		return false
	}
	return (text[0] == '?' || text[0] == name[0]) && chars(text[1:], name[1:])
}

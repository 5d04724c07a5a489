package secret

import "strings"

// What a guess needs beyond its rule. A generic rule takes a value for a secret because
// of the name before it; the functions below know values that look like one and are none.

// tests reports whether a file is a test or belongs to one, by its name. Test vectors of
// cryptography look like secrets and are none; rules that know a credential by its own
// form hold in tests too.
func tests(path string) bool {
	dir, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i], path[i+1:]
	}
	for part := range strings.SplitSeq(strings.ToLower(dir), "/") {
		switch part {
		case "testdata", "test", "tests", "__tests__", "spec", "fixtures", "__fixtures__":
			return true
		}
	}
	name = strings.ToLower(name)
	return strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_test.py") || strings.HasPrefix(name, "test_") ||
		strings.Contains(name, ".test.") || strings.Contains(name, ".spec.")
}

// least is how often the kind of character must change in a value that was made by
// chance, for its first 20 characters.
const least = 4

// jumbled reports whether a value looks made by chance: in names and words letters stand
// with letters and digits with digits ("NewEncapsulationKey768", "ed25519-server-3072"),
// while a random value goes to and fro.
func jumbled(value string) bool {
	changes := 0
	kind := func(c byte) byte {
		switch {
		case c >= '0' && c <= '9':
			return '0'
		case lower(c) >= 'a' && lower(c) <= 'z':
			return 'a'
		}
		return c
	}
	last := byte(0)
	for i := 0; i < len(value); i++ {
		k := kind(value[i])
		if k != '0' && k != 'a' {
			last = 0
			continue
		}
		if last != 0 && k != last {
			changes++
		}
		last = k
	}
	return changes >= min(least, max(2, len(value)/5))
}

// embeddedRun is how much longer than a credential the base64 text around it must be.
const embeddedRun = 32

// embedded reports whether data[begin:end] is a piece of a longer base64 text that goes
// on beyond it, such as a picture or a program: there every short pattern occurs by
// chance. Base64 is written in lines, so a break in it is stepped over.
func embedded(data []byte, begin, end int) bool {
	for _, c := range data[begin:end] {
		if !base64Byte(c) {
			return false
		}
	}
	n, mark := 0, false
	count := func(c byte) bool {
		switch {
		case n > 4*embeddedRun:
			return false
		case base64Byte(c):
			n++
			mark = mark || c == '+' || c == '/'
			return true
		}
		return n > 0 && (c == '\n' || c == '\r')
	}
	for i := begin - 1; i >= 0 && count(data[i]); i-- {
	}
	for i := end; i < len(data) && count(data[i]); i++ {
	}
	return mark && n >= embeddedRun
}

func base64Byte(c byte) bool {
	return c == '+' || c == '/' || c == '=' || c >= '0' && c <= '9' || lower(c) >= 'a' && lower(c) <= 'z'
}

package link

import (
	"bytes"
	"regexp"
	"strings"
)

// blank puts spaces where nothing refers: code, HTML comments and addresses. The text keeps
// its length and its lines.
func blank(s string) string {
	b := []byte(s)
	fences(b)
	comments(b)
	spans(b)
	for _, at := range address.FindAllIndex(b, -1) {
		wipe(b[at[0]:at[1]])
	}
	return string(b)
}

// address is a word with a scheme in it, or what a browser takes for one.
var address = regexp.MustCompile(`(?i)(?:[a-z][a-z0-9+.-]*://|www\.|mailto:)[^\s<>]*`)

func wipe(b []byte) {
	for i, c := range b {
		if c != '\n' {
			b[i] = ' '
		}
	}
}

// fences wipes blocks of code (CommonMark 4.5); one that is not closed goes to the end.
func fences(b []byte) {
	var mark byte
	var length, from int
	for at := 0; at < len(b); {
		end := at
		for end < len(b) && b[end] != '\n' {
			end++
		}
		c, n, rest := fence(b[at:end])
		switch {
		case mark == 0 && n >= 3 && (c == '~' || !strings.ContainsRune(rest, '`')):
			mark, length, from = c, n, at
		case mark != 0 && c == mark && n >= length && strings.TrimSpace(rest) == "":
			wipe(b[from:end])
			mark = 0
		}
		at = end + 1
	}
	if mark != 0 {
		wipe(b[from:])
	}
}

// fence counts the marks with which a line begins, after at most three spaces.
func fence(line []byte) (mark byte, n int, rest string) {
	i := 0
	for i < len(line) && i < 3 && line[i] == ' ' {
		i++
	}
	if i == len(line) || line[i] != '`' && line[i] != '~' {
		return 0, 0, ""
	}
	mark = line[i]
	for i+n < len(line) && line[i+n] == mark {
		n++
	}
	return mark, n, string(line[i+n:])
}

// comments wipes HTML comments, which templates of pull requests are full of.
func comments(b []byte) {
	for at := 0; ; {
		from := bytes.Index(b[at:], []byte("<!--"))
		if from < 0 {
			return
		}
		from += at
		end := bytes.Index(b[from:], []byte("-->"))
		if end < 0 {
			wipe(b[from:])
			return
		}
		at = from + end + len("-->")
		wipe(b[from:at])
	}
}

// spans wipes code between runs of as many backticks (CommonMark 6.1). A span ends with its
// paragraph. Runs of a length that was not found again are remembered, so that the cost
// stays linear in the text.
func spans(b []byte) {
	for at := 0; at < len(b); {
		end := paragraph(b, at)
		missing := map[int]bool{}
		for i := at; i < end; {
			if b[i] != '`' {
				i++
				continue
			}
			n := run(b[i:end])
			if missing[n] {
				i += n
				continue
			}
			closes := -1
			for j := i + n; j < end; {
				if b[j] != '`' {
					j++
					continue
				}
				m := run(b[j:end])
				if m == n {
					closes = j + m
					break
				}
				j += m
			}
			if closes < 0 {
				missing[n] = true
				i += n
				continue
			}
			wipe(b[i:closes])
			i = closes
		}
		at = end
	}
}

// paragraph is the end of the paragraph that begins at an offset: after an empty line.
func paragraph(b []byte, at int) int {
	if i := bytes.Index(b[at:], []byte("\n\n")); i >= 0 {
		return at + i + 2
	}
	return len(b)
}

func run(b []byte) int {
	n := 0
	for n < len(b) && b[n] == '`' {
		n++
	}
	return n
}

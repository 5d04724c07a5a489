package ssh

import (
	"strings"

	"towpath.dev/towpath/internal/source"
)

// maxCommand is the longest command in bytes.
const maxCommand = 1 << 10

// ParseCommand reads what a Git client asks an SSH server to run: "git-upload-pack" or
// "git-receive-pack", also written as "git upload-pack", and the repository as one word,
// quoted as git quotes it ('/shop/web.git'). ok is false for anything else, also for a valid
// command with anything before, between or behind.
func ParseCommand(command string) (a source.Address, ok bool) {
	if len(command) > maxCommand {
		return source.Address{}, false
	}
	rest, ok := strings.CutPrefix(command, "git-")
	if !ok {
		rest, ok = strings.CutPrefix(command, "git ")
	}
	verb, word, found := strings.Cut(rest, " ")
	if !ok || !found {
		return source.Address{}, false
	}
	path, ok := unquote(word)
	if !ok {
		return source.Address{}, false
	}
	return source.ParseTarget("git-"+verb, path)
}

// unquote undoes git's quoting for a shell (quote.c, sq_quote_buf): the word stands between
// single quotes; for a quote or an exclamation mark in it the quotes are closed, the
// character is written behind a backslash, and the quotes are opened again. A word of
// harmless characters may stand without quotes.
func unquote(word string) (string, bool) {
	if !strings.HasPrefix(word, "'") {
		return word, word != "" && !strings.ContainsFunc(word, special)
	}
	var b strings.Builder
	rest := word[1:]
	for {
		part, after, ok := strings.Cut(rest, "'")
		if !ok {
			return "", false
		}
		b.WriteString(part)
		switch {
		case after == "":
			return b.String(), true
		case strings.HasPrefix(after, `\''`), strings.HasPrefix(after, `\!'`):
			b.WriteByte(after[1])
			rest = after[3:]
		default:
			return "", false
		}
	}
}

// special reports, of a character, that a shell may take it for more than itself.
func special(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("/._-", r)
}

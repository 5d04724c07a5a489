package owners

import (
	"errors"
	"fmt"
	"strings"
)

// maxPath is the longest path that is matched, in bytes; git's own limit.
const maxPath = 4096

// maxParts is the most parts that a pattern may have.
const maxParts = 64

// glob is a compiled pattern.
type glob struct {
	parts []part
	below bool // what lies below a match matches too
}

// part matches one part of a path, or (deep) any number of them, none included.
type part struct {
	deep bool
	text []token
}

// token is one character of a part.
type token struct {
	kind byte // one of the kinds below
	char rune
}

const (
	one    = '='  // exactly char
	anyOne = '?'  // one character
	run    = '*'  // any number of characters
	deep   = "**" // a part that crosses folders
)

// compile reads a pattern.
func compile(pattern string) (glob, error) {
	switch {
	case len(pattern) > maxPattern:
		return glob{}, fmt.Errorf("its pattern is longer than %d bytes", maxPattern)
	case strings.HasPrefix(pattern, "!"):
		return glob{}, errors.New("a pattern cannot be negated with \"!\"")
	}
	rest := pattern
	anchored := strings.Contains(strings.TrimSuffix(rest, "/"), "/")
	folder := strings.HasSuffix(rest, "/")
	rest = strings.TrimSuffix(strings.TrimPrefix(rest, "/"), "/")
	if rest == "" {
		return glob{}, errors.New("its pattern names no path")
	}
	g := glob{below: true}
	if !anchored {
		g.parts = append(g.parts, part{deep: true})
	}
	names := strings.Split(rest, "/")
	if len(names) > maxParts {
		return glob{}, fmt.Errorf("its pattern has more than %d parts", maxParts)
	}
	for _, name := range names {
		p, err := compilePart(name)
		if err != nil {
			return glob{}, err
		}
		if n := len(g.parts); p.deep && n > 0 && g.parts[n-1].deep {
			continue // "**/**" says nothing more
		}
		g.parts = append(g.parts, p)
	}
	last := names[len(names)-1]
	switch {
	case folder:
		// Something below it, not a file of its name.
		g.parts = append(g.parts, part{text: []token{{kind: run}}})
	case last == "*" && anchored:
		// The files of a folder and not those of its folders.
		g.below = false
	case last == deep && len(names) > 1:
		// "dir/**" is what lies in dir, not a file of its name.
		g.parts = append(g.parts, part{text: []token{{kind: run}}})
	}
	return g, nil
}

func compilePart(name string) (part, error) {
	switch name {
	case deep:
		return part{deep: true}, nil
	case "":
		return part{}, errors.New("its pattern has an empty part")
	case ".", "..":
		return part{}, fmt.Errorf("its pattern has the part %q, which no path has", name)
	}
	var p part
	escaped := false
	for _, c := range name {
		switch {
		case escaped:
			p.text, escaped = append(p.text, token{kind: one, char: c}), false
		case c == '\\':
			escaped = true
		case c == '[' || c == ']':
			return part{}, errors.New("ranges of characters (\"[ ]\") are not understood")
		case c == '?':
			p.text = append(p.text, token{kind: anyOne})
		case c == '*':
			if n := len(p.text); n == 0 || p.text[n-1].kind != run {
				p.text = append(p.text, token{kind: run})
			}
		default:
			p.text = append(p.text, token{kind: one, char: c})
		}
	}
	if escaped {
		return part{}, errors.New("its pattern ends with a backslash")
	}
	return p, nil
}

// match walks both sides once with one position to return to: the newest "**", because
// what an earlier one could take more of, the newest can take too.
func (g glob) match(path []string) bool {
	i, j := 0, 0 // positions in g.parts and path
	star, from := -1, 0
	for j < len(path) {
		switch {
		case i < len(g.parts) && g.parts[i].deep:
			star, from = i, j
			i++
		case i < len(g.parts) && matchPart(g.parts[i].text, path[j]):
			i, j = i+1, j+1
			if i == len(g.parts) && g.below {
				return true // the rest of the path lies below
			}
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(g.parts) && g.parts[i].deep {
		i++
	}
	return i == len(g.parts)
}

// matchPart is the same walk over characters, with "*" as the position to return to.
func matchPart(text []token, name string) bool {
	chars := []rune(name)
	i, j := 0, 0
	star, from := -1, 0
	for j < len(chars) {
		switch {
		case i < len(text) && text[i].kind == run:
			star, from = i, j
			i++
		case i < len(text) && (text[i].kind == anyOne || text[i].kind == one && text[i].char == chars[j]):
			i, j = i+1, j+1
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(text) && text[i].kind == run {
		i++
	}
	return i == len(text)
}

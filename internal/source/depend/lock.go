package depend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
)

// maxDepth bounds how deep the objects of a lock file nest.
const maxDepth = 64

// ParsePackageLock returns the packages of an npm lock file (package-lock.json,
// npm-shrinkwrap.json) of version 1, 2 or 3. Packages that come from a folder, a link or
// a repository have no version of the registry and are left out.
func ParsePackageLock(data []byte) ([]Requirement, error) {
	if len(data) > maxLock {
		return nil, fmt.Errorf("it is larger than %d bytes", maxLock)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	l := &lock{dec: json.NewDecoder(bytes.NewReader(data)), direct: map[string]bool{}}
	for i, c := range data {
		if c == '\n' {
			l.breaks = append(l.breaks, int64(i))
		}
	}
	if err := l.document(); err != nil {
		return nil, fmt.Errorf("line %d: %w", l.line(), err)
	}
	if !l.hasPackages {
		return l.nested, nil
	}
	for i := range l.packages {
		l.packages[i].Direct = l.packages[i].Direct && l.direct[l.packages[i].Name]
	}
	return l.packages, nil
}

// lock is the state of reading a lock file.
type lock struct {
	dec    *json.Decoder
	breaks []int64 // offsets of line breaks

	hasPackages bool
	packages    []Requirement   // of "packages" (versions 2 and 3)
	nested      []Requirement   // of "dependencies" (version 1)
	direct      map[string]bool // named by the root or a workspace
}

// line is the line of the token that was read last.
func (l *lock) line() int {
	at := l.dec.InputOffset() - 1
	return 1 + sort.Search(len(l.breaks), func(i int) bool { return l.breaks[i] >= at })
}

func (l *lock) document() error {
	err := l.object(func(key string) error {
		switch key {
		case "packages":
			l.hasPackages = true
			return l.object(l.installed)
		case "dependencies":
			return l.object(func(name string) error { return l.dependency(name, 0) })
		}
		return l.skip()
	})
	if err != nil {
		return err
	}
	if _, err := l.dec.Token(); err != io.EOF {
		return errors.New("there is something behind the JSON document")
	}
	return nil
}

// object reads an object and calls each for every key, which must read the value. A
// value of another kind is skipped.
func (l *lock) object(each func(key string) error) error {
	t, err := l.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return l.rest(t)
	}
	for l.dec.More() {
		t, err := l.token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return fmt.Errorf("%v where a key is expected", t)
		}
		if err := each(key); err != nil {
			return err
		}
	}
	_, err = l.token()
	return err
}

func (l *lock) token() (json.Token, error) {
	t, err := l.dec.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return t, err
}

// skip reads a value and forgets it.
func (l *lock) skip() error {
	t, err := l.token()
	if err != nil {
		return err
	}
	return l.rest(t)
}

// rest reads what follows the first token of a value.
func (l *lock) rest(t json.Token) error {
	depth := 0
	for {
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				return fmt.Errorf("it nests deeper than %d", maxDepth)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth <= 0 {
			return nil
		}
		var err error
		if t, err = l.token(); err != nil {
			return err
		}
	}
}

// text reads a value and returns it when it is a string.
func (l *lock) text() (string, error) {
	t, err := l.token()
	if err != nil {
		return "", err
	}
	if s, ok := t.(string); ok {
		return s, nil
	}
	return "", l.rest(t)
}

// installed reads an entry of "packages": its key is the folder it lies in.
func (l *lock) installed(folder string) error {
	line := l.line()
	i := strings.LastIndex(folder, "node_modules/")
	name, version, link := "", "", false
	if i >= 0 {
		name = folder[i+len("node_modules/"):]
	}
	err := l.object(func(key string) error {
		switch key {
		case "version":
			v, err := l.text()
			version = v
			return err
		case "name":
			v, err := l.text()
			if i >= 0 && v != "" {
				name = v // An alias: installed under another name.
			}
			return err
		case "link":
			t, err := l.token()
			if err != nil {
				return err
			}
			link = t == true
			return l.rest(t)
		case "dependencies", "devDependencies", "optionalDependencies":
			if i < 0 { // The repository's own package, or a workspace of it.
				return l.object(func(name string) error {
					l.direct[name] = true
					return l.skip()
				})
			}
		}
		return l.skip()
	})
	if err != nil || i < 0 || link {
		return err
	}
	top := i == 0 || !strings.Contains(folder[:i], "node_modules/")
	l.packages, err = add(l.packages, Requirement{Ecosystem: NPM, Name: name, Version: version, Line: line, Direct: top})
	return err
}

// dependency reads an entry of "dependencies" of version 1, with those nested in it.
func (l *lock) dependency(name string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("dependencies nest deeper than %d", maxDepth)
	}
	line, version := l.line(), ""
	at := len(l.nested)
	err := l.object(func(key string) error {
		switch key {
		case "version":
			v, err := l.text()
			version = v
			return err
		case "dependencies":
			return l.object(func(name string) error { return l.dependency(name, depth+1) })
		}
		return l.skip()
	})
	if err != nil {
		return err
	}
	if rest, ok := strings.CutPrefix(version, "npm:"); ok { // An alias: "npm:name@version".
		if i := strings.LastIndexByte(rest, '@'); i > 0 {
			name, version = rest[:i], rest[i+1:]
		}
	}
	n := len(l.nested)
	if l.nested, err = add(l.nested, Requirement{Ecosystem: NPM, Name: name, Version: version, Line: line}); err == nil && len(l.nested) > n {
		// Before those nested in it, so that lines ascend.
		r := l.nested[n]
		l.nested = slices.Insert(l.nested[:n], at, r)
	}
	return err
}

// add appends a package of the registry; other sources have a version that is a URL.
func add(list []Requirement, r Requirement) ([]Requirement, error) {
	switch {
	case r.Name == "" || r.Version == "" || strings.ContainsAny(r.Version, ":/"):
		return list, nil
	case len(r.Name) > maxName || len(r.Version) > maxName:
		return list, fmt.Errorf("a name or version is longer than %d bytes", maxName)
	case len(list) >= maxRequirements:
		return list, fmt.Errorf("it names more than %d packages", maxRequirements)
	}
	return append(list, r), nil
}

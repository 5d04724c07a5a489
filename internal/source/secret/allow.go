package secret

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// allowData is a list of what is no secret, as the data files hold it.
type allowData struct {
	Condition string   `json:"condition"` // AND: all that is set must hold; else one is enough
	Target    string   `json:"target"`    // what Regexes look at: match, line, else the secret
	Paths     []string `json:"paths"`
	Regexes   []string `json:"regexes"`
	StopWords []string `json:"stopwords"` // no secret holds one of them, in any case
}

// allow is a compiled allowData.
type allow struct {
	all     bool
	target  string
	paths   *regexp.Regexp
	regexes *regexp.Regexp
	stop    *automaton
}

func compileAllow(d allowData) (*allow, error) {
	a := &allow{all: d.Condition == "AND", target: d.Target}
	var err error
	if a.paths, err = anyOf(d.Paths); err != nil {
		return nil, err
	}
	if a.regexes, err = anyOf(d.Regexes); err != nil {
		return nil, err
	}
	if len(d.StopWords) > 0 {
		a.stop, err = newAutomaton(d.StopWords)
	}
	return a, err
}

func anyOf(list []string) (*regexp.Regexp, error) {
	if len(list) == 0 {
		return nil, nil
	}
	return regexp.Compile("(?:" + strings.Join(list, ")|(?:") + ")")
}

// path reports whether nothing in a file of that name counts. An unknown name allows
// nothing.
func (a *allow) path(path string) bool {
	return !a.all && path != "" && a.paths != nil && a.paths.MatchString(path)
}

// candidate is a match before the lists have been asked.
type candidate struct {
	path, secret, match, line string
}

// allows reports whether the candidate is no secret.
func (a *allow) allows(c candidate) bool {
	target := c.secret
	switch a.target {
	case "match":
		target = c.match
	case "line":
		target = c.line
	}
	expr := a.regexes != nil && target != "" && a.regexes.MatchString(target)
	stop := a.stop != nil && a.stop.contains(c.secret)
	if !a.all {
		return expr || stop
	}
	path := c.path != "" && a.paths != nil && a.paths.MatchString(c.path)
	return (a.paths == nil || path) && (a.regexes == nil || expr) && (a.stop == nil || stop) &&
		(a.paths != nil || a.regexes != nil || a.stop != nil)
}

// checkOf returns the function that a rule names.
func checkOf(name string) (func(string) bool, error) {
	switch name {
	case "":
		return nil, nil
	case "base64-private-key":
		return func(s string) bool { return strings.Contains(decoded(s), "PRIVATE KEY") }, nil
	case "base64-user-password":
		return func(s string) bool {
			user, password, ok := strings.Cut(decoded(s), ":")
			return ok && user != "" && len(password) >= 4 && printable(password) == password
		}, nil
	case "literal":
		return literal, nil
	}
	return nil, fmt.Errorf("there is no check %q", name)
}

// decoded returns the bytes of a base64 text, as far as it is one.
func decoded(s string) string {
	s = strings.TrimRight(s, "=")
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(s)))
	n, _ := base64.RawStdEncoding.Decode(out, []byte(s)) // What was decoded before an error is enough.
	return string(out[:n])
}

// literal reports whether a value is written out, and neither a variable, a reference to
// one, nor a word that stands for a value.
func literal(s string) bool {
	if strings.ContainsAny(s, "${}<>%") {
		return false
	}
	switch strings.ToLower(strings.Trim(s, "*xX.")) {
	case "", "password", "passwd", "secret", "token", "changeme", "changeit", "example", "test", "none", "null":
		return false
	}
	return true
}

package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ruleData is a rule as the data files hold it.
type ruleData struct {
	ID       string      `json:"id"`
	Title    string      `json:"title"`
	Regex    string      `json:"regex"`
	Path     string      `json:"path"`
	Group    int         `json:"group"` // of the expression that is the secret; 0 means the first that matched
	Entropy  float64     `json:"entropy"`
	Keywords []string    `json:"keywords"` // lower case; one of them is in or near every match
	Allow    []allowData `json:"allow"`
	// Check names a function of package secret that has the last word; "" means none.
	Check string `json:"check"`
	// Gate names a function of package secret that is asked before the expression runs;
	// "" means the one that follows from the expression.
	Gate string `json:"gate"`
}

type rulesData struct {
	Source string     `json:"source"`
	Allow  allowData  `json:"allow"`
	Rules  []ruleData `json:"rules"`
	// Published are values that everybody can read and that open nothing.
	Published []published `json:"published"`
}

type published struct {
	SHA256 string `json:"sha256"` // of the value's canonical form, hex
	Where  string `json:"where"`  // it is published
}

// rule is a compiled rule.
type rule struct {
	id, title string
	expr      *regexp.Regexp
	path      *regexp.Regexp // nil is every path
	group     int
	entropy   float64
	allow     []*allow
	check     func(secret string) bool // nil is always true
	generic   bool                     // gives way to a rule that knows the credential by name
	// Window around a hit: bytes before the keyword and behind it.
	before, after int
}

// trigger is what a keyword sets off.
type trigger struct {
	rule int
	gate gate
}

// Windows where an expression sets no bound itself.
const (
	wideBefore = 512
	wideAfter  = 4 << 10
	keyAfter   = 16 << 10 // of a private key
	nearby     = 4 << 10  // of a rule whose keyword stands beside the credential
	boundedMax = 2 << 10  // bounded expressions are looked at as far as that
)

// apart reports whether the keywords of a rule may stand beside the credential and not
// in it.
func apart(id string) bool {
	return slices.Contains([]string{"facebook-access-token", "airtable-personnal-access-token", "sourcegraph-access-token"}, id)
}

func compileRule(d ruleData) (*rule, error) {
	r := &rule{id: d.ID, title: d.Title, group: d.Group, entropy: d.Entropy, generic: strings.Contains(d.ID, "generic")}
	var err error
	if r.expr, err = regexp.Compile(d.Regex); err != nil {
		return nil, err
	}
	if d.Path != "" {
		if r.path, err = regexp.Compile(d.Path); err != nil {
			return nil, err
		}
	}
	if r.group > r.expr.NumSubexp() {
		return nil, fmt.Errorf("it has no group %d", r.group)
	}
	for _, a := range d.Allow {
		compiled, err := compileAllow(a)
		if err != nil {
			return nil, err
		}
		r.allow = append(r.allow, compiled)
	}
	if r.check, err = checkOf(d.Check); err != nil {
		return nil, err
	}
	return r, r.measure(d.Regex)
}

// measure sets the window.
func (r *rule) measure(expr string) error {
	s, err := shapeOf(expr)
	switch {
	case err != nil:
		return err
	case r.id == "private-key":
		r.before, r.after = 128, keyAfter
	case apart(r.id):
		r.before, r.after = nearby, nearby
	case s.max >= 0 && s.max <= boundedMax:
		r.before, r.after = s.max, s.max
	default:
		r.before, r.after = wideBefore, wideAfter
	}
	return nil
}

// library is all rules with the table of their keywords.
type library struct {
	rules    []*rule
	allow    *allow
	words    *automaton
	lengths  []int       // of each keyword
	triggers [][]trigger // of each keyword
	// published holds the hashes of values that open nothing.
	published map[[sha256.Size]byte]bool
}

func loadLibrary(files ...[]byte) (*library, error) {
	lib := &library{published: map[[sha256.Size]byte]bool{}}
	var words []string
	for i, file := range files {
		var data rulesData
		err := json.Unmarshal(file, &data)
		if err != nil {
			return nil, fmt.Errorf("decoding the secret rules: %w", err)
		}
		if i == 0 {
			if lib.allow, err = compileAllow(data.Allow); err != nil {
				return nil, fmt.Errorf("compiling the list of what is no secret: %w", err)
			}
		}
		for _, p := range data.Published {
			sum, err := hex.DecodeString(p.SHA256)
			if err != nil || len(sum) != sha256.Size {
				return nil, fmt.Errorf("decoding the hash %q of a published value", p.SHA256)
			}
			lib.published[[sha256.Size]byte(sum)] = true
		}
		for _, d := range data.Rules {
			if d.Regex == "" {
				continue // Known by its path only; keyfile.go looks at the content instead.
			}
			if words, err = lib.add(d, words); err != nil {
				return nil, fmt.Errorf("compiling the secret rule %s: %w", d.ID, err)
			}
		}
	}
	var err error
	lib.words, err = newAutomaton(words)
	return lib, err
}

// add compiles a rule and returns the words with its keywords.
func (lib *library) add(d ruleData, words []string) ([]string, error) {
	r, err := compileRule(d)
	if err != nil {
		return nil, err
	}
	lib.rules = append(lib.rules, r)
	for _, k := range d.Keywords {
		n := slices.Index(words, k)
		if n < 0 {
			n = len(words)
			words = append(words, k)
			lib.lengths, lib.triggers = append(lib.lengths, len(k)), append(lib.triggers, nil)
		}
		g, err := gateFor(d, k)
		if err != nil {
			return nil, err
		}
		lib.triggers[n] = append(lib.triggers[n], trigger{rule: len(lib.rules) - 1, gate: g})
	}
	return words, nil
}

// gateFor returns the gate of a rule for one of its keywords.
func gateFor(d ruleData, keyword string) (gate, error) {
	switch {
	case d.Gate == "netrc":
		return netrcGate, nil
	case d.Gate == "userinfo":
		return userinfoGate, nil
	case d.Gate != "":
		return nil, fmt.Errorf("there is no gate %q", d.Gate)
	case d.ID == "kubernetes-secret-yaml":
		return kindGate, nil
	case apart(d.ID):
		return open, nil
	}
	return gateOf(d.Regex, keyword, d.Entropy)
}

package validate

import (
	_ "embed"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Schema is what the published schema of the language says, without the forms that JSON
// Schema needs to say it. Editors complete and explain from it, and validation checks the
// expanded tree against it. scripts/pipelineschema makes the data.
type Schema struct {
	// Version is the version of the published schema, such as "v1.261.1".
	Version string `json:"version"`
	// Definitions are the definitions by name; "pipeline" is the root.
	Definitions map[string]*Definition `json:"definitions"`
}

// Definition says which values are allowed somewhere. A definition is a reference, a
// choice, or one form: text, a sequence or a mapping.
type Definition struct {
	// Ref names the definition that this one is.
	Ref string `json:"ref,omitempty"`
	// Any are the forms of which one must fit.
	Any []*Definition `json:"any,omitempty"`
	// Type is "string", "array", "object", or "" for references and choices.
	Type string `json:"type,omitempty"`
	// About explains the value to people.
	About string `json:"about,omitempty"`
	// Deprecated says what to use instead, or is empty.
	Deprecated string `json:"deprecated,omitempty"`
	// Words are the only allowed texts; Fold compares them and Pattern without
	// regard to case.
	Words   []string `json:"words,omitempty"`
	Pattern string   `json:"pattern,omitempty"`
	Fold    bool     `json:"fold,omitempty"`
	// Items is what the items of a sequence are.
	Items *Definition `json:"items,omitempty"`
	// Keys are the keys of a mapping in the order of the schema. Open mappings may
	// have others; those that match KeyPattern are Values.
	Keys       []Key       `json:"keys,omitempty"`
	Open       bool        `json:"open,omitempty"`
	KeyPattern string      `json:"keyPattern,omitempty"`
	Values     *Definition `json:"values,omitempty"`
	// First are the keys of which one must stand first (X002), Required those that
	// must be there, AtLeast how many keys there must be.
	First    []string `json:"first,omitempty"`
	Required []string `json:"required,omitempty"`
	AtLeast  int      `json:"atLeast,omitempty"`
}

// Key is a key of a mapping with what its value may be.
type Key struct {
	Name string `json:"name"`
	Definition
}

// Key returns a key of a mapping, which compares exactly, or nil.
func (d *Definition) Key(name string) *Key {
	for i := range d.Keys {
		if d.Keys[i].Name == name {
			return &d.Keys[i]
		}
	}
	return nil
}

//go:embed schema.json
var publishedSchema []byte

// loadSchema reads the embedded data once; it never changes. A test makes sure that it
// can be read.
var loadSchema = sync.OnceValue(func() *Schema {
	s := &Schema{}
	if json.Unmarshal(publishedSchema, s) != nil {
		return &Schema{}
	}
	return s
})

// Published returns the schema of the language, which must not be changed.
func Published() *Schema { return loadSchema() }

// Form is one of the forms that a value may have: the definition behind references and
// choices, and the name of the definition it was reached through.
type Form struct {
	*Definition
	// Of is the name of the last named definition on the way, such as "step".
	Of string
}

// Forms resolves a definition to its forms.
func (s *Schema) Forms(d *Definition) []Form { return s.forms(d, "", 0) }

// maxReferences is more than the schema nests; it ends a cycle of references.
const maxReferences = 32

func (s *Schema) forms(d *Definition, of string, depth int) []Form {
	switch {
	case d == nil || depth > maxReferences:
		return nil
	case d.Ref != "":
		forms := s.forms(s.Definitions[d.Ref], d.Ref, depth+1)
		if len(d.Words) == 0 {
			return forms
		}
		for i := range forms { // A reference to a text may narrow it to words.
			narrowed := *forms[i].Definition
			narrowed.Words = d.Words
			forms[i].Definition = &narrowed
		}
		return forms
	case len(d.Any) > 0:
		var all []Form
		for _, variant := range d.Any {
			all = append(all, s.forms(variant, of, depth+1)...)
		}
		return all
	}
	return []Form{{Definition: d, Of: of}}
}

// allows reports whether a text fits a form of type string.
func (d *Definition) allows(text string) bool {
	same := func(word string) bool { return word == text || d.Fold && strings.EqualFold(word, text) }
	if len(d.Words) > 0 && !slices.ContainsFunc(d.Words, same) {
		return false
	}
	if d.Pattern == "" {
		return true
	}
	if word, ok := d.word(); ok {
		return same(word)
	}
	pattern := d.Pattern
	if d.Fold {
		pattern = "(?i)" + pattern
	}
	matched, err := regexp.MatchString(pattern, text)
	return err == nil && matched
}

// word returns the only text that the pattern allows, when it is of the form ^word$.
func (d *Definition) word() (string, bool) {
	word, ok := strings.CutPrefix(d.Pattern, "^")
	word, end := strings.CutSuffix(word, "$")
	return word, ok && end && word != "" && regexp.QuoteMeta(word) == word
}

package validate

import (
	"strings"

	"towpath.dev/towpath/internal/pipeline/parse"
)

// shape is what a value may look like. A shape can accept several forms at once,
// such as a string or a mapping.
type shape struct {
	// scalar checks a value and returns what is wrong with it; nil means that
	// the shape is no plain value.
	scalar func(text string) string
	// null says that an empty value is fine.
	null bool
	// items is the shape of the items of a sequence; nil when it is none.
	items *shape
	// keys are the keys of a mapping; nil when it is none.
	keys map[string]*key
	// values is the shape of the values of a mapping with free keys.
	values *shape
	// variants are the mappings that the first key tells apart (X002).
	variants map[string]*shape
	// what names the shape in messages, such as "a step".
	what string
	// anything accepts every form.
	anything bool
}

// key is one key of a mapping.
type key struct {
	shape    *shape
	required bool
	// refused says that the key is known but cannot be used here, and why.
	refused string
	// warning says that the key is known but has no effect here, and why.
	warning string
}

// check compares a node with a shape and reports whether its form is right, so
// that the content is worth looking at.
func (v *validator) check(n *parse.Node, s *shape) bool {
	switch {
	case s.anything:
		return true
	case n.IsNull() && s.null:
		return true
	case n.Kind == parse.Scalar && s.scalar != nil:
		if complaint := s.scalar(n.Text()); complaint != "" {
			v.found.Errorf(n.Pos, "", "Unexpected value '%s'; %s", n.Value, complaint)
			return false
		}
		return true
	case n.Kind == parse.Sequence && s.items != nil:
		ok := true
		for _, item := range n.Items {
			ok = v.check(item, s.items) && ok
		}
		return ok
	case n.Kind == parse.Mapping && s.variants != nil:
		return v.checkVariant(n, s)
	case n.Kind == parse.Mapping && s.keys != nil:
		return v.checkKeys(n, s)
	case n.Kind == parse.Mapping && s.values != nil:
		ok := true
		for _, p := range n.Pairs {
			ok = v.check(p.Value, s.values) && ok
		}
		return ok
	}
	if n.Kind == parse.Scalar {
		v.found.Errorf(n.Pos, "", "Unexpected value '%s'; expected %s", n.Value, s.forms())
	} else {
		v.found.Errorf(n.Pos, "", "Unexpected value; expected %s, found %s", s.forms(), n.Kind)
	}
	return false
}

// forms lists what the shape accepts.
func (s *shape) forms() string {
	var forms []string
	if s.scalar != nil {
		forms = append(forms, "a value")
	}
	if s.items != nil {
		forms = append(forms, "a sequence")
	}
	if s.keys != nil || s.values != nil || s.variants != nil {
		forms = append(forms, "a mapping")
	}
	text := strings.Join(forms, " or ")
	if s.what != "" {
		text += " (" + s.what + ")"
	}
	return text
}

// checkVariant finds the variant of a mapping by its first key (X002).
func (v *validator) checkVariant(n *parse.Node, s *shape) bool {
	first := n.FirstKey()
	if variant, ok := s.variants[first]; ok {
		return v.check(n, variant)
	}
	for _, p := range n.Pairs {
		if variant, ok := s.variants[p.Key.Value]; ok {
			v.found.Errorf(n.Pairs[0].Key.Pos, "X002", "Unexpected value '%s'; '%s' must be the first key of %s, move it up", first, p.Key.Value, s.what)
			v.check(n, variant)
			return false
		}
	}
	names := sortedKeys(s.variants)
	if first == "" {
		v.found.Errorf(n.Pos, "", "%s is empty; it starts with one of %s", s.what, strings.Join(names, ", "))
		return false
	}
	v.found.Errorf(n.Pairs[0].Key.Pos, "X002", "Unexpected value '%s'; %s starts with one of %s%s", first, s.what, strings.Join(names, ", "), suggest(first, names))
	return false
}

func (v *validator) checkKeys(n *parse.Node, s *shape) bool {
	ok := true
	for _, p := range n.Pairs {
		k, known := s.keys[p.Key.Value]
		switch {
		case !known:
			ok = false
			v.unknownKey(p.Key, s)
			continue
		case k.refused != "":
			ok = false
			v.found.Errorf(p.Key.Pos, "", "'%s' is not supported; %s", p.Key.Value, k.refused)
			continue
		case k.warning != "":
			v.found.Warnf(p.Key.Pos, "", "'%s' has no effect here; %s", p.Key.Value, k.warning)
		}
		ok = v.check(p.Value, k.shape) && ok
	}
	for _, name := range sortedKeys(s.keys) {
		if s.keys[name].required && n.Get(name) == nil {
			ok = false
			v.found.Errorf(n.Pos, "", "%s needs the key '%s'", s.what, name)
		}
	}
	return ok
}

// unknownKey reports a key that the mapping does not have (X011).
func (v *validator) unknownKey(key *parse.Node, s *shape) {
	names := sortedKeys(s.keys)
	hint := suggest(key.Value, names)
	if hint == "" && len(names) <= 12 {
		hint = "; expected one of " + strings.Join(names, ", ")
	}
	v.found.Errorf(key.Pos, "X011", "Unexpected value '%s' in %s%s", key.Value, s.what, hint)
}

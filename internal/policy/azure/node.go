package azure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// node is a value of a document with its path: "properties.policyRule.then.effect".
type node struct {
	path  string
	value any
}

// parse decodes a document; its root has the path "".
func parse(raw []byte) (node, error) {
	if len(raw) > MaxDocument {
		return node{}, fault.New(fault.TooLarge, "The policy document has %d bytes, more than %d.", len(raw), MaxDocument)
	}
	// Files from Windows editors begin with a byte order mark.
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\ufeff"))))
	var v any
	if err := d.Decode(&v); err != nil {
		return node{}, fault.New(fault.Invalid, "The policy document is not JSON: %s.", err)
	}
	if d.More() {
		return node{}, fault.New(fault.Invalid, "The policy document holds more than one JSON value.")
	}
	return node{value: v}, nil
}

// wrong is an error about a node.
func (n node) wrong(format string, args ...any) error {
	where := n.path
	if where == "" {
		where = "the document"
	}
	return fault.New(fault.Invalid, "%s: %s", where, fmt.Sprintf(format, args...))
}

func (n node) child(key string) string {
	if n.path == "" {
		return key
	}
	return n.path + "." + key
}

// typeName names the JSON type of a value as people say it.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("a %T", v)
}

// object reads an object whose keys are all among those known.
func (n node) object(known ...string) (fields, error) {
	m, ok := n.value.(map[string]any)
	if !ok {
		return fields{}, n.wrong("an object is expected, this is %s", typeName(n.value))
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if len(known) > 0 && !slices.Contains(known, k) {
			return fields{}, node{path: n.child(k)}.wrong("the field is not known here; these are: %s", strings.Join(known, ", "))
		}
	}
	return fields{node: n, m: m}, nil
}

// items reads a list.
func (n node) items() ([]node, error) {
	l, ok := n.value.([]any)
	if !ok {
		return nil, n.wrong("a list is expected, this is %s", typeName(n.value))
	}
	out := make([]node, len(l))
	for i, v := range l {
		out[i] = node{path: n.path + "[" + strconv.Itoa(i) + "]", value: v}
	}
	return out, nil
}

// text reads a text.
func (n node) text() (string, error) {
	s, ok := n.value.(string)
	if !ok {
		return "", n.wrong("a text is expected, this is %s", typeName(n.value))
	}
	return s, nil
}

// texts reads a list of texts.
func (n node) texts() ([]string, error) {
	items, err := n.items()
	if err != nil {
		return nil, err
	}
	out := make([]string, len(items))
	for i, item := range items {
		if out[i], err = item.text(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fields are the fields of an object.
type fields struct {
	node
	m map[string]any
}

// get returns a field; has is false when it is missing or null.
func (f fields) get(key string) (n node, has bool) {
	v, ok := f.m[key]
	return node{path: f.child(key), value: v}, ok && v != nil
}

// text returns a text field; "" when it is missing.
func (f fields) text(key string) (string, error) {
	n, has := f.get(key)
	if !has {
		return "", nil
	}
	return n.text()
}

// need returns a text field that must be there.
func (f fields) need(key string) (string, error) {
	n, has := f.get(key)
	if !has {
		return "", n.wrong("the field is missing")
	}
	s, err := n.text()
	if err == nil && s == "" {
		err = n.wrong("the field is empty")
	}
	return s, err
}

// texts returns a field with a list of texts; nil when it is missing.
func (f fields) texts(key string) ([]string, error) {
	n, has := f.get(key)
	if !has {
		return nil, nil
	}
	return n.texts()
}

// object returns an object field; has is false when it is missing.
func (f fields) object(key string, known ...string) (out fields, has bool, err error) {
	n, has := f.get(key)
	if !has {
		return fields{node: n}, false, nil
	}
	out, err = n.object(known...)
	return out, err == nil, err
}

package azure

import (
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// names are how policies, assignments and exemptions may be called. Azure's own are GUIDs.
var names = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$`)

// outer are the fields of a document beside its properties.
var outer = []string{"$schema", "id", "location", "identity", "name", "systemData", "tags", "type"}

// document reads the two forms in which the documents come: with a "properties" wrapper
// and without. It returns the properties and the name.
func document(raw []byte, known ...string) (fields, string, error) {
	root, err := parse(raw)
	if err != nil {
		return fields{}, "", err
	}
	m, ok := root.value.(map[string]any)
	if !ok {
		return fields{}, "", root.wrong("an object is expected, this is %s", typeName(root.value))
	}
	allowed := append([]string{"properties"}, outer...)
	if _, wrapped := m["properties"]; !wrapped {
		allowed = append(append([]string{}, outer...), known...)
	}
	top, err := root.object(allowed...)
	if err != nil {
		return fields{}, "", err
	}
	name, err := top.text("name")
	if err != nil {
		return fields{}, "", err
	}
	if name == "" {
		id, err := top.text("id")
		if err != nil {
			return fields{}, "", err
		}
		name = last(id)
	}
	if !names.MatchString(name) {
		return fields{}, "", node{path: "name"}.wrong("%q is not a name; letters, digits, dots, dashes and underscores are allowed, at most 128", name)
	}
	if n, wrapped := top.get("properties"); wrapped {
		props, err := n.object(known...)
		return props, name, err
	}
	return top, name, nil
}

// last returns the last segment of a resource id.
func last(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// KindOf tells which kind a document is by its fields, without reading all of it.
func KindOf(raw []byte) (string, error) {
	root, err := parse(raw)
	if err != nil {
		return "", err
	}
	m, _ := root.value.(map[string]any)
	if p, ok := m["properties"].(map[string]any); ok {
		m = p
	}
	for _, k := range []struct{ field, kind string }{
		{"policyRule", KindDefinition}, {"policyDefinitions", KindInitiative}, {"policyAssignmentId", KindExemption}, {"policyDefinitionId", KindAssignment},
	} {
		if _, ok := m[k.field]; ok {
			return k.kind, nil
		}
	}
	return "", fault.New(fault.Invalid, "The document is no policy document: it has none of the fields policyRule (a definition), policyDefinitions (an initiative), policyDefinitionId (an assignment), policyAssignmentId (an exemption).")
}

// about are the descriptive fields that every document has.
type about struct {
	title, description, version, category, fix string
	metadata                                   fields
}

func describe(p fields) (about, error) {
	var a about
	var err error
	for _, f := range []struct {
		key string
		to  *string
	}{{"displayName", &a.title}, {"description", &a.description}, {"version", &a.version}} {
		if *f.to, err = p.text(f.key); err != nil {
			return a, err
		}
	}
	meta, has, err := p.object("metadata")
	if err != nil || !has {
		return a, err
	}
	a.metadata = meta
	if a.category, err = meta.text("category"); err != nil {
		return a, err
	}
	if a.fix, err = meta.text("fix"); err != nil {
		return a, err
	}
	if a.version == "" {
		a.version, err = meta.text("version")
	}
	return a, err
}

// types of parameters, in lower case, with how Azure writes them.
var types = map[string]string{"string": "String", "array": "Array", "object": "Object", "boolean": "Boolean", "integer": "Integer", "float": "Float"}

func parameters(p fields) (map[string]Parameter, error) {
	all, has, err := p.object("parameters")
	if err != nil || !has {
		return nil, err
	}
	out := map[string]Parameter{}
	for name := range all.m {
		n, _ := all.get(name)
		param, err := parseParameter(n)
		if err != nil {
			return nil, err
		}
		out[name] = param
	}
	return out, nil
}

func parseParameter(n node) (Parameter, error) {
	f, err := n.object("type", "metadata", "defaultValue", "allowedValues", "schema")
	if err != nil {
		return Parameter{}, err
	}
	word, err := f.need("type")
	if err != nil {
		return Parameter{}, err
	}
	out := Parameter{Type: types[strings.ToLower(word)]}
	if out.Type == "" {
		return out, node{path: f.child("type")}.wrong("%q is not a type of parameters; String, Array, Object, Boolean, Integer and Float are", word)
	}
	if meta, has, err := f.object("metadata"); err != nil {
		return out, err
	} else if has {
		if out.Title, err = meta.text("displayName"); err != nil {
			return out, err
		}
		if out.Description, err = meta.text("description"); err != nil {
			return out, err
		}
	}
	if allowed, has := f.get("allowedValues"); has {
		items, err := allowed.items()
		if err != nil {
			return out, err
		}
		for _, item := range items {
			out.Allowed = append(out.Allowed, item.value)
		}
	}
	if d, has := f.get("defaultValue"); has {
		out.Default, out.HasDefault = d.value, true
		if err := out.check(d); err != nil {
			return out, err
		}
	}
	return out, nil
}

package expand

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// readRepositories reads the aliases that template references can use. The ref may be
// an expression over what is known before the resources are: parameters and predefined
// variables (X040).
func (x *expander) readRepositories(root *parse.Node, sc *scope) map[string]*Repository {
	repositories := map[string]*Repository{}
	list := root.Get("resources").Get("repositories")
	if list == nil {
		return repositories
	}
	for _, item := range list.Items {
		alias := item.Get("repository").Text()
		if alias == "" {
			continue
		}
		repositories[strings.ToLower(alias)] = &Repository{
			Alias:    alias,
			Type:     item.Get("type").Text(),
			Name:     item.Get("name").Text(),
			Ref:      x.any(item.Get("ref"), sc).Text(),
			Endpoint: item.Get("endpoint").Text(),
		}
	}
	return repositories
}

// addFile records that a file is part of the pipeline.
func (x *expander) addFile(src source) {
	x.files[src.String()] = src
	x.order = append(x.order, src.String())
}

// include replaces a template reference by the list that the template holds.
func (x *expander) include(n *parse.Node, sc *scope, kind string) []*parse.Node {
	call, ok := x.call(n, sc)
	if !ok {
		return nil
	}
	body := call.root
	for _, p := range body.Pairs {
		if p.Key.Value != kind && p.Key.Value != "parameters" {
			x.found.Errorf(p.Key.Pos, "T001", "Unexpected value '%s'; a template for %s has only parameters and %s", p.Key.Value, kind, kind)
		}
	}
	content := body.Get(kind)
	if content == nil {
		x.found.Errorf(body.Pos, "T001", "The template has no '%s', which is what the place that includes it (%s) needs", kind, n.Pos)
		return nil
	}
	inner := *call.scope
	if kind == "variables" {
		return x.includedVariables(content, &inner)
	}
	section := x.section(kind, entry{value: content, scope: &inner})
	switch {
	case section.IsNull():
		return nil
	case section.Kind != parse.Sequence:
		x.found.Errorf(section.Pos, "T001", "A sequence is expected in '%s', found %s", kind, section.Kind)
		return nil
	}
	return section.Items
}

// includedVariables expands a variable template into the variables of the
// including section, as items of the list form.
func (x *expander) includedVariables(content *parse.Node, sc *scope) []*parse.Node {
	section := x.variables(content, sc)
	switch {
	case section.IsNull():
		return nil
	case section.Kind == parse.Sequence:
		return section.Items
	case section.Kind != parse.Mapping:
		x.found.Errorf(section.Pos, "T001", "A mapping or a sequence is expected in 'variables', found %s", section.Kind)
		return nil
	}
	items := make([]*parse.Node, len(section.Pairs))
	for i, p := range section.Pairs {
		items[i] = &parse.Node{Kind: parse.Mapping, Pos: p.Key.Pos, Pairs: []parse.Pair{
			{Key: parse.NewScalar(p.Key.Pos, "name"), Value: p.Key},
			{Key: parse.NewScalar(p.Value.Pos, "value"), Value: p.Value},
		}}
	}
	return items
}

// extend merges the template that the root extends into the expanded root, and
// returns the name of the template (T001).
func (x *expander) extend(root, extends *parse.Node, sc *scope) string {
	if extends.Kind != parse.Mapping {
		x.found.Errorf(extends.Pos, "T001", "'extends' is a mapping with the keys template and parameters")
		return ""
	}
	if extends.Get("template") == nil {
		x.found.Errorf(extends.Pos, "T001", "'extends' needs the key 'template'")
		return ""
	}
	for _, key := range bodies {
		if value := root.Get(key); value != nil {
			x.found.Errorf(value.Pos, "T001", "'%s' cannot stand beside 'extends'; move it into the template", key)
		}
	}
	call, ok := x.call(extends, sc.asLiteral())
	if !ok {
		return ""
	}
	for alias, repository := range x.readRepositories(call.root, call.scope) {
		if _, known := x.repositories[alias]; !known {
			x.repositories[alias] = repository // the template brings its resources along
		}
	}
	expanded, further, inner := x.body(call.root, call.scope)
	for _, p := range expanded.Pairs {
		x.mergeRoot(root, p)
	}
	if further != nil {
		x.extend(root, further, inner)
	}
	return call.scope.source.String()
}

// bodies are the keys that hold what a pipeline does.
var bodies = []string{"stages", "jobs", "steps"}

// mergeRoot adds a key of an extended template to the root. Resources add up;
// everything else may stand in one of the two only (X006b).
func (x *expander) mergeRoot(root *parse.Node, p parse.Pair) {
	for i, own := range root.Pairs {
		if own.Key.Value != p.Key.Value {
			continue
		}
		if p.Key.Value == "resources" {
			root.Pairs[i].Value = mergeResources(own.Value, p.Value)
			return
		}
		if slices.Contains(bodies, p.Key.Value) {
			return // extend has said what is wrong
		}
		x.found.Errorf(p.Key.Pos, "X006b", "'%s' is already defined at %s; keep one of the two", p.Key.Value, own.Key.Pos)
		return
	}
	root.Pairs = append(root.Pairs, p)
}

func mergeResources(a, b *parse.Node) *parse.Node {
	if a.Kind != parse.Mapping || b.Kind != parse.Mapping {
		return a
	}
	merged := &parse.Node{Kind: parse.Mapping, Pos: a.Pos, Pairs: slices.Clone(a.Pairs)}
	for _, p := range b.Pairs {
		i := slices.IndexFunc(merged.Pairs, func(own parse.Pair) bool { return own.Key.Value == p.Key.Value })
		if i < 0 {
			merged.Pairs = append(merged.Pairs, p)
			continue
		}
		old := merged.Pairs[i].Value
		items := append(slices.Clone(old.Items), p.Value.Items...)
		merged.Pairs[i].Value = &parse.Node{Kind: parse.Sequence, Pos: old.Pos, Items: items}
	}
	return merged
}

// call is a template that was loaded and given its parameters.
type call struct {
	root  *parse.Node
	scope *scope
}

// call resolves a template reference, loads the file and makes its scope.
func (x *expander) call(n *parse.Node, sc *scope) (call, bool) {
	var reference, arguments *parse.Node
	for _, e := range x.entries(n, sc) {
		switch e.key.Value {
		case "template":
			reference = x.any(e.value, e.scope)
		case "parameters":
			arguments = x.any(e.value, e.scope)
		default:
			x.found.Errorf(e.key.Pos, "T001", "Unexpected value '%s'; a template reference has only template and parameters", e.key.Value)
		}
	}
	if reference.Text() == "" {
		x.found.Errorf(n.Pos, "T001", "The template reference is empty; write the path of a file")
		return call{}, false
	}
	src, ok := x.locate(reference, sc)
	if !ok {
		return call{}, false
	}
	name := src.String()
	if sc.depth >= x.limits.Nesting {
		x.stop(reference.Pos, "Templates include one another more than %d levels deep: %s", x.limits.Nesting, strings.Join(tail(append(slices.Clone(sc.parents), name)), " → "))
		return call{}, false
	}
	root := x.load(src, reference)
	if root == nil || x.stopped {
		return call{}, false
	}
	inner := &scope{
		source:    src,
		depth:     sc.depth + 1,
		parents:   append(slices.Clone(sc.parents), name),
		variables: sc.variables,
		work:      sc.work,
	}
	inner.parameters, ok = x.templateParameters(root, arguments, n)
	return call{root: root, scope: inner}, ok
}

// tail keeps the chain of a message short.
func tail(names []string) []string {
	if len(names) > 4 {
		return append([]string{"…"}, names[len(names)-4:]...)
	}
	return names
}

// locate finds the file that a reference means (T002). A relative path starts at
// the folder of the file that the reference was written in, which for a step
// that came in through a parameter is not the file that includes it.
func (x *expander) locate(reference *parse.Node, sc *scope) (source, bool) {
	text := strings.ReplaceAll(strings.TrimSpace(reference.Text()), `\`, "/")
	from, ok := x.files[reference.Pos.File]
	if !ok {
		from = sc.source
	}
	name, alias, qualified := cutLast(text, "@")
	src := source{repository: from.repository}
	if qualified {
		repository, ok := x.repository(reference, alias, from)
		if !ok {
			return source{}, false
		}
		src.repository = repository
	}
	absolute := name
	if !strings.HasPrefix(name, "/") && src.repository == from.repository {
		absolute = path.Join(path.Dir(from.path), name)
	}
	src.path = path.Clean(strings.TrimLeft(absolute, "/"))
	if src.path == "." || src.path == ".." || strings.HasPrefix(src.path, "../") || strings.ContainsRune(src.path, 0) {
		x.found.Errorf(reference.Pos, "T002", "The template path '%s' leads out of the repository", reference.Text())
		return source{}, false
	}
	return src, true
}

// repository finds the repository of an alias. A template of another repository
// may name its own repository and self, but no third one.
func (x *expander) repository(reference *parse.Node, alias string, from source) (*Repository, bool) {
	if strings.EqualFold(alias, "self") {
		return nil, true
	}
	repository, ok := x.repositories[strings.ToLower(alias)]
	if !ok {
		x.found.Errorf(reference.Pos, "T002", "The repository '%s' is not declared; add it to resources.repositories", alias)
		return nil, false
	}
	if from.repository != nil && from.repository != repository {
		x.found.Errorf(reference.Pos, "T002", "A template in the repository '%s' cannot refer to a template in the repository '%s'", from.repository.Alias, alias)
		return nil, false
	}
	return repository, true
}

// load reads and parses a template file, each only once.
func (x *expander) load(src source, reference *parse.Node) *parse.Node {
	name := src.String()
	if root, ok := x.loaded[name]; ok {
		return root
	}
	if len(x.order) >= x.limits.Files && !slices.Contains(x.order, name) {
		x.stop(reference.Pos, "The pipeline consists of more than %d files", x.limits.Files)
		return nil
	}
	x.loaded[name] = nil
	data, err := x.options.Loader.Load(x.ctx, Ref{Repository: src.repository, Path: src.path})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.found.Errorf(reference.Pos, "T002", "The template '%s' does not exist at this commit; paths are relative to the file that names them", name)
		return nil
	case err != nil:
		x.found.Errorf(reference.Pos, "T002", "The template '%s' cannot be read: %v", name, err)
		return nil
	}
	if _, known := x.files[name]; !known {
		x.addFile(src)
	}
	root, found := parse.Parse(name, data, x.limits.File)
	x.found = append(x.found, found...)
	if root == nil {
		return nil
	}
	if root.Kind != parse.Mapping {
		x.found.Errorf(root.Pos, "T001", "A template is a mapping; found %s", root.Kind)
		return nil
	}
	x.checkSyntax(root)
	x.loaded[name] = root
	return root
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// literalValue reports whether a default value is literal (T007).
func literalValue(n *parse.Node) bool {
	literal := true
	n.Walk(func(n *parse.Node) bool {
		literal = literal && !(n.Kind == parse.Scalar && expr.HasTemplate(n.Value))
		return literal
	})
	return literal
}

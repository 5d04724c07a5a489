package render

import (
	"maps"
	"path"
	"strings"

	"go.yaml.in/yaml/v4"
	"helm.sh/helm/v4/pkg/strvals"
	kyaml "sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
)

// userValues are the values that are laid over those of the chart.
type userValues struct {
	all      map[string]any
	set      map[string]any // those of Chart.Set alone, and of Chart.From
	from     map[string]any
	standIns []string
}

// userValues merges what the target says, as Helm does.
func (c Chart) userValues(out *Result) (userValues, error) {
	u := userValues{all: deepCopy(c.From), set: map[string]any{}, from: c.From}
	for _, f := range c.Values {
		var v map[string]any
		if err := kyaml.Unmarshal(f.Data, &v); err != nil {
			return u, fault.Wrap(fault.Invalid, err, "The values file %s is no valid YAML: %v.", f.Name, err)
		}
		overlay(u.all, v)
	}
	for _, line := range c.Set {
		for _, pair := range pairs(line) {
			if err := c.setPair(&u, pair); err != nil {
				return u, err
			}
		}
	}
	out.Unknown = u.standIns
	return u, nil
}

// setPair sets one "key=value"; one that only a run knows is taken from the running
// release, or filled with a stand-in.
func (c Chart) setPair(u *userValues, pair string) error {
	key, value, _ := strings.Cut(pair, "=")
	key = strings.TrimSpace(key)
	if _, rest, ok := strings.Cut(value, "$("); ok && strings.Contains(rest, ")") {
		if known, ok := at(c.Reuse, key); ok {
			put(u.all, key, known)
			put(u.set, key, known)
			return nil
		}
		u.standIns = append(u.standIns, key)
		pair = key + "=" + StandIn
		if i := strings.LastIndexByte(key, '.'); strings.Contains(strings.ToLower(key[i+1:]), "digest") {
			pair = key + "=" + StandInDigest
		}
	}
	for _, into := range []map[string]any{u.all, u.set} {
		if err := strvals.ParseInto(pair, into); err != nil {
			return fault.Wrap(fault.Invalid, err, "The value %q cannot be read: %v.", key, err).WithNext("write it as key=value")
		}
	}
	return nil
}

// pairs splits "a=1,b=2" at the commas that Helm splits at: not those with a backslash
// before them, nor those in braces.
func pairs(line string) []string {
	var out []string
	depth, from := 0, 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, line[from:i])
				from = i + 1
			}
		}
	}
	return append(out, line[min(from, len(line)):])
}

// at is the value under a key "a.b.c".
func at(values map[string]any, key string) (any, bool) {
	var cur any = values
	for name := range strings.SplitSeq(key, ".") {
		m, ok := cur.(map[string]any)
		if !ok {
			return nil, false
		}
		if cur, ok = m[name]; !ok || cur == nil {
			return nil, false
		}
	}
	return cur, true
}

// put sets the value under a key "a.b.c".
func put(values map[string]any, key string, value any) {
	names := strings.Split(key, ".")
	for _, name := range names[:len(names)-1] {
		m, ok := values[name].(map[string]any)
		if !ok {
			m = map[string]any{}
		} else {
			m = maps.Clone(m)
		}
		values[name] = m
		values = m
	}
	values[names[len(names)-1]] = value
}

// overlay puts src over dst, map by map; null takes a default away, as in Helm.
func overlay(dst, src map[string]any) {
	for k, v := range src {
		a, aok := dst[k].(map[string]any)
		b, bok := v.(map[string]any)
		if aok && bok {
			merged := maps.Clone(a)
			overlay(merged, b)
			v = merged
		}
		dst[k] = v
	}
}

// deepCopy copies maps and lists.
func deepCopy(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = deepCopyValue(v)
	}
	return out
}

func deepCopyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return deepCopy(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = deepCopyValue(v[i])
		}
		return out
	}
	return v
}

// valueFiles find the line of a value.
type valueFiles struct {
	user   []parsed // values files of the target, the strongest first
	chart  *chartValues
	hidden []map[string]any // values that come from no file, stronger than those of the chart
	set    map[string]any   // values that come from no file, stronger than all
}

// parsed is a values file with the places of its nodes.
type parsed struct {
	file string
	root *yaml.Node
}

// chartValues are the values.yaml of a chart and of those below it.
type chartValues struct {
	parsed
	below map[string]*chartValues // by the name under which their values stand
}

// valueFiles reads the values files of the chart.
func (c Chart) valueFiles(u userValues) *valueFiles {
	v := &valueFiles{chart: c.chartValues(c.Base, c.Files, 0), set: u.set, hidden: []map[string]any{u.from}}
	for i := len(c.Values) - 1; i >= 0; i-- {
		v.user = append(v.user, parsed{c.Values[i].Name, parseValues(c.Values[i].Data)})
	}
	return v
}

func (c Chart) chartValues(base string, files []File, depth int) *chartValues {
	out := &chartValues{below: map[string]*chartValues{}}
	var meta struct {
		Dependencies []struct{ Name, Alias string }
	}
	for _, f := range files {
		switch f.Name {
		case "values.yaml":
			out.parsed = parsed{path.Join(base, f.Name), parseValues(f.Data)}
		case "Chart.yaml":
			if err := kyaml.Unmarshal(f.Data, &meta); err != nil {
				meta.Dependencies = nil
			}
		}
	}
	if depth > 8 {
		return out
	}
	for name, sub := range subcharts(files) {
		below := c.chartValues(path.Join(base, sub.dir), sub.files, depth+1)
		out.below[name] = below
		for _, d := range meta.Dependencies {
			if d.Name == name && d.Alias != "" {
				out.below[d.Alias] = below
			}
		}
	}
	return out
}

// parseValues reads the nodes of a values file; nil when it cannot be read, or has more
// than one document.
func parseValues(data []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) != 1 {
		return nil
	}
	return doc.Content[0]
}

// find is the place of a value, as deep as it can be found, but not above least names.
func (v *valueFiles) find(path []any, least int) (Place, bool) {
	if _, ok := within(v.set, path); ok {
		return Place{}, false
	}
	for _, f := range v.user {
		if p, ok := f.find(path, least); ok {
			return p, true
		}
	}
	for _, h := range v.hidden {
		if _, ok := within(h, path); ok {
			return Place{}, false
		}
	}
	return v.chart.search(path, least)
}

// search looks in the chart's own values, then in those of the chart below.
func (c *chartValues) search(path []any, least int) (Place, bool) {
	if p, ok := c.find(path, least); ok {
		return p, true
	}
	if len(path) < 2 || least < 2 {
		return Place{}, false
	}
	name, _ := path[0].(string)
	below, ok := c.below[name]
	if !ok {
		return Place{}, false
	}
	if p, ok := below.search(path[1:], least-1); ok {
		return p, true
	}
	if path[1] == "global" {
		return c.search(path[1:], least-1)
	}
	return Place{}, false
}

// find walks a file.
func (f parsed) find(path []any, least int) (Place, bool) {
	if f.root == nil {
		return Place{}, false
	}
	node, key, depth := f.root, f.root, 0
	for depth < len(path) {
		k, n := step(node, path[depth])
		if n == nil {
			break
		}
		key, node = k, n
		depth++
	}
	if depth == 0 || depth < least {
		return Place{}, false
	}
	return Place{File: f.file, Line: key.Line}, true
}

// within reports whether a value is set by a map, itself or one that it lies in that is
// no map.
func within(values map[string]any, path []any) (any, bool) {
	var cur any = values
	for _, p := range path {
		m, ok := cur.(map[string]any)
		if !ok {
			return cur, true // A list or scalar that is set as a whole.
		}
		name, ok := p.(string)
		if !ok {
			return nil, false
		}
		if cur, ok = m[name]; !ok {
			return nil, false
		}
	}
	_, isMap := cur.(map[string]any)
	return cur, !isMap
}

package drift

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"towpath.dev/towpath/internal/deploy/route"
)

// maxDepth bounds how deep objects are compared; deeper ones are equal.
const maxDepth = 64

// Options say what else decides about an object.
type Options struct {
	// Scaled says that an autoscaler sets the number of replicas.
	Scaled bool
	// Swapped says that the Service leads to the router although its manifest says
	// otherwise, or the other way round: routing is being turned.
	Swapped bool
}

// Compare returns the paths of fields that the manifest sets and the live object has
// otherwise, as "spec.template.spec.containers[web].image", in order; none when they agree.
func Compare(manifest, live map[string]any, o Options) []string {
	c := comparison{options: o, kind: fmt.Sprint(manifest["kind"])}
	for _, key := range slices.Sorted(maps.Keys(manifest)) {
		switch key {
		case "apiVersion", "kind", "status":
			// A live object is read in the version of its manifest.
		case "metadata":
			c.metadata(mapOf(manifest[key]), mapOf(live[key]))
		case "stringData":
			c.secret(mapOf(manifest[key]), mapOf(live["data"]))
		default:
			c.value(path{key}, manifest[key], live[key], 0)
		}
	}
	slices.Sort(c.fields)
	return slices.Compact(c.fields)
}

type comparison struct {
	options Options
	kind    string
	fields  []string
}

// path leads to a field: names of maps, and elements of lists as "[name]".
type path []string

// String writes a path as people do; a name with dots stands in brackets.
func (p path) String() string {
	var b strings.Builder
	for i, s := range p {
		switch {
		case strings.HasPrefix(s, "["):
			b.WriteString(s)
		case strings.ContainsAny(s, "./"):
			b.WriteString("[" + s + "]")
		default:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s)
		}
	}
	return b.String()
}

func (p path) last() string { return p[len(p)-1] }

func (p path) in(name string) path { return append(slices.Clone(p), name) }

func (c *comparison) differs(p path) { c.fields = append(c.fields, p.String()) }

// metadata compares labels and annotations; the rest of it is the API server's.
func (c *comparison) metadata(want, live map[string]any) {
	for _, key := range []string{"labels", "annotations"} {
		c.value(path{"metadata", key}, want[key], live[key], 0)
	}
}

// secret compares stringData, which the API server folds into data.
func (c *comparison) secret(want, live map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		text, _ := want[key].(string)
		if got, _ := live[key].(string); got != base64.StdEncoding.EncodeToString([]byte(text)) {
			c.differs(path{"data", key})
		}
	}
}

// value compares what the manifest sets at a path with what lives there.
func (c *comparison) value(p path, want, live any, depth int) {
	if depth > maxDepth || c.ignored(p) || empty(want) {
		return
	}
	switch want := want.(type) {
	case map[string]any:
		got, ok := live.(map[string]any)
		if !ok {
			// A map of nothing but empty values is dropped as a whole.
			if !hollow(want) {
				c.differs(p)
			}
			return
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			c.value(p.in(key), want[key], got[key], depth+1)
		}
	case []any:
		got, ok := live.([]any)
		if !ok {
			c.differs(p)
			return
		}
		c.list(p, want, got, depth)
	default:
		if !same(p, want, live) {
			c.differs(p)
		}
	}
}

// platformKeys are labels and annotations that others than the manifest may set.
var platformKeys = []string{
	route.Label, "kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation",
}

// ignored reports whether somebody else than the manifest decides about a field.
func (c *comparison) ignored(p path) bool {
	if slices.Contains(platformKeys, p.last()) {
		return true
	}
	switch at := p.String(); {
	case at == "spec.replicas":
		return c.options.Scaled
	case c.kind == "Service" && c.options.Swapped:
		return at == "spec.selector" || strings.HasPrefix(at, "spec.ports[") && p.last() == "targetPort"
	}
	return false
}

// empty reports whether a value of a manifest says nothing: the API server drops it, or
// puts its default in its place.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// hollow reports whether a map has nothing but empty values, false and 0.
func hollow(m map[string]any) bool {
	for _, v := range m {
		if inner, ok := v.(map[string]any); ok {
			if !hollow(inner) {
				return false
			}
			continue
		}
		if !empty(v) && !zero(v) {
			return false
		}
	}
	return true
}

func zero(v any) bool {
	n, ok := float(v)
	return v == false || ok && n == 0
}

// list compares lists: element by element of the same name where they have names, else by
// position.
func (c *comparison) list(p path, want, live []any, depth int) {
	key := keyOf(want)
	if key == nil {
		if len(want) != len(live) {
			c.differs(p)
			return
		}
		for i := range want {
			c.value(p.in(fmt.Sprintf("[%d]", i)), want[i], live[i], depth+1)
		}
		return
	}
	for _, w := range want {
		name := key(w)
		at := p.in("[" + name + "]")
		i := slices.IndexFunc(live, func(v any) bool { return key(v) == name })
		if i < 0 {
			c.differs(at)
			continue
		}
		c.value(at, w, live[i], depth+1)
	}
}

// keyOf returns what names the elements of a list of maps, nil when nothing does. These are
// the keys by which server-side apply merges the lists of pods and Services.
func keyOf(list []any) func(any) string {
	for _, names := range [][]string{{"name"}, {"mountPath"}, {"containerPort", "protocol"}, {"port", "protocol"}, {"ip"}, {"topologyKey", "whenUnsatisfiable"}, {"devicePath"}} {
		key := func(v any) string {
			m, ok := v.(map[string]any)
			if !ok || m[names[0]] == nil {
				return ""
			}
			out := fmt.Sprint(m[names[0]])
			for _, n := range names[1:] {
				if v := fmt.Sprint(m[n]); m[n] != nil && v != "TCP" { // the default of protocol
					out += "/" + v
				}
			}
			return out
		}
		seen := map[string]bool{"": true}
		unique := true
		for _, v := range list {
			k := key(v)
			unique = unique && !seen[k]
			seen[k] = true
		}
		if unique {
			return key
		}
	}
	return nil
}

// same reports whether two scalars are the same to the API server.
func same(p path, want, live any) bool {
	if live == nil {
		return zero(want)
	}
	if want == live {
		return true
	}
	a, aok := float(want)
	b, bok := float(live)
	if aok && bok {
		// A port of 0 asks for any.
		return a == b || a == 0 && strings.HasSuffix(strings.ToLower(p.last()), "nodeport")
	}
	if text(want) == text(live) {
		return true
	}
	if !quantity(p) {
		return false
	}
	x, xerr := resource.ParseQuantity(text(want))
	y, yerr := resource.ParseQuantity(text(live))
	return xerr == nil && yerr == nil && x.Cmp(y) == 0
}

// text writes a scalar as a manifest does.
func text(v any) string {
	if n, ok := float(v); ok {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// quantity reports whether a path leads to an amount of something, of which there are many
// ways to write one: 1000m is 1.
func quantity(p path) bool {
	if slices.Contains([]string{"sizeLimit", "averageValue", "divisor"}, p.last()) {
		return true
	}
	for _, above := range p[:len(p)-1] {
		if slices.Contains([]string{"limits", "requests", "hard", "capacity", "max", "min", "default", "defaultRequest", "overhead"}, above) {
			return true
		}
	}
	return len(p) > 1 && p[len(p)-2] == "target" && p.last() == "value"
}

// float reads a number, whatever type its decoder gave it.
func float(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int32:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func mapOf(v any) map[string]any { m, _ := v.(map[string]any); return m }

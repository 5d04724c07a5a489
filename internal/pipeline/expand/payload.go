package expand

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// payloads shows what webhooks brought as parameters. A parameter that the pipeline declares
// goes before one: its type and its allowed values are what the author relies on.
func (x *expander) payloads(dict *expr.Dict, known map[string]bool) {
	for _, alias := range slices.Sorted(maps.Keys(x.options.Payloads)) {
		if known[strings.ToLower(alias)] {
			continue
		}
		pos := parse.Pos{File: "webhook " + alias}
		d := json.NewDecoder(bytes.NewReader(x.options.Payloads[alias]))
		d.UseNumber()
		var data any
		if err := d.Decode(&data); err != nil {
			x.found.Errorf(pos, "J007", "What the webhook '%s' brought is no JSON: %v", alias, err)
			continue
		}
		n := x.fromJSON(pos, data)
		if x.stopped {
			return
		}
		dict.Set(alias, x.value(n))
	}
}

// fromJSON makes a tree of decoded JSON; its texts stay texts whatever they look like.
func (x *expander) fromJSON(pos parse.Pos, data any) *parse.Node {
	if !x.spend(pos, 1) {
		return parse.NewScalar(pos, "")
	}
	switch v := data.(type) {
	case map[string]any:
		n := &parse.Node{Kind: parse.Mapping, Pos: pos}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.Pairs = append(n.Pairs, parse.Pair{Key: parse.NewString(pos, key), Value: x.fromJSON(pos, v[key])})
		}
		return n
	case []any:
		n := &parse.Node{Kind: parse.Sequence, Pos: pos}
		for _, item := range v {
			n.Items = append(n.Items, x.fromJSON(pos, item))
		}
		return n
	case string:
		return parse.NewString(pos, v)
	case json.Number:
		return parse.NewScalar(pos, v.String())
	case bool:
		if v {
			return parse.NewScalar(pos, "true")
		}
		return parse.NewScalar(pos, "false")
	}
	return parse.NewScalar(pos, "")
}

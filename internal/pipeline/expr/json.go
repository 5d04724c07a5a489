package expr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// callConvertToJSON prints a value as JSON, indented by two spaces (X089).
func callConvertToJSON(ev *evaluator, n *node) (Value, error) {
	v, err := ev.eval(&n.args[0])
	if err != nil {
		return Value{}, err
	}
	w := jsonWriter{}
	if err := w.write(v, 0); err != nil {
		return Value{}, ev.fault(n, "%s", err)
	}
	return NewString(w.out.String()), nil
}

var errJSONTooLarge = errors.New("the JSON text is larger than 10 MiB")

type jsonWriter struct{ out strings.Builder }

func (w *jsonWriter) write(v Value, depth int) error {
	if w.out.Len() > MaxResult {
		return errJSONTooLarge
	}
	switch v.kind {
	case Null:
		w.out.WriteString("null")
	case Boolean:
		fmt.Fprintf(&w.out, "%t", v.boolean)
	case Number:
		w.out.WriteString(formatNumber(v.number))
	case Array:
		return w.list(v, depth)
	case Object:
		return w.mapping(v, depth)
	default:
		text, _ := v.Text()
		return w.string(text)
	}
	return nil
}

func (w *jsonWriter) list(v Value, depth int) error {
	if v.array.Len() == 0 {
		w.out.WriteString("[]")
		return nil
	}
	w.out.WriteByte('[')
	for i := range v.array.Len() {
		w.separate(i, depth+1)
		if err := w.write(v.array.At(i), depth+1); err != nil {
			return err
		}
	}
	w.newline(depth)
	w.out.WriteByte(']')
	return nil
}

func (w *jsonWriter) mapping(v Value, depth int) error {
	keys := v.object.Keys()
	if len(keys) == 0 {
		w.out.WriteString("{}")
		return nil
	}
	w.out.WriteByte('{')
	for i, key := range keys {
		w.separate(i, depth+1)
		if err := w.string(key); err != nil {
			return err
		}
		w.out.WriteString(": ")
		child, _ := v.object.Get(key)
		if err := w.write(child, depth+1); err != nil {
			return err
		}
	}
	w.newline(depth)
	w.out.WriteByte('}')
	return nil
}

func (w *jsonWriter) separate(i, depth int) {
	if i > 0 {
		w.out.WriteByte(',')
	}
	w.newline(depth)
}

func (w *jsonWriter) newline(depth int) {
	w.out.WriteByte('\n')
	w.out.WriteString(strings.Repeat("  ", depth))
}

func (w *jsonWriter) string(text string) error {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return err
	}
	w.out.Write(bytes.TrimSuffix(buffer.Bytes(), []byte("\n")))
	return nil
}

// FromJSON converts data as encoding/json decodes it (nil, bool, float64,
// json.Number, string, []any, map[string]any) to a value. The keys of maps come
// out in alphabetical order, because Go does not keep theirs.
func FromJSON(data any) Value {
	switch data := data.(type) {
	case bool:
		return NewBoolean(data)
	case float64:
		return numberOr(fmt.Sprintf("%.7f", data))
	case json.Number:
		return numberOr(data.String())
	case string:
		return NewString(data)
	case []any:
		values := make([]Value, len(data))
		for i, item := range data {
			values[i] = FromJSON(item)
		}
		return NewList(values...)
	case map[string]any:
		dict := NewDict()
		for _, key := range sortedKeys(data) {
			dict.Set(key, FromJSON(data[key]))
		}
		return NewObject(dict)
	}
	return Value{}
}

// numberOr returns the number that a text stands for, or the text where it is
// out of the range of numbers.
func numberOr(text string) Value {
	if n, ok := parseNumber(text); ok {
		return Value{kind: Number, number: n}
	}
	return NewString(text)
}

func sortedKeys(data map[string]any) []string {
	return slices.Sorted(maps.Keys(data))
}

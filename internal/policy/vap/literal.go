package vap

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// literal writes a JSON value as an expression of CEL. Elements are marked dyn, because
// the API server wants all elements of a literal to be of one type.
func literal(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "dyn(null)", nil
	case map[string]any:
		return mapLiteral(v)
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			text, err := literal(e)
			if err != nil {
				return "", err
			}
			out[i] = text
		}
		return "dyn([" + strings.Join(out, ", ") + "])", nil
	case []string:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = e
		}
		return literal(out)
	case string:
		return "dyn(" + quote(v) + ")", nil
	case bool:
		return "dyn(" + strconv.FormatBool(v) + ")", nil
	case int:
		return "dyn(" + strconv.Itoa(v) + ")", nil
	case int64:
		return "dyn(" + strconv.FormatInt(v, 10) + ")", nil
	case float64:
		return "dyn(" + number(v) + ")", nil
	}
	return "", fmt.Errorf("a parameter of type %T cannot be written as a CEL literal", v)
}

func mapLiteral(m map[string]any) (string, error) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]string, len(keys))
	for i, k := range keys {
		text, err := literal(m[k])
		if err != nil {
			return "", fmt.Errorf("%s: %w", k, err)
		}
		out[i] = quote(k) + ": " + text
	}
	return "dyn({" + strings.Join(out, ", ") + "})", nil
}

// number writes whole numbers as integers, as Kubernetes' decoder reads them.
func number(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// quote writes a string literal. Go's escapes are CEL's.
func quote(s string) string { return strconv.Quote(s) }

// quoted writes a list of strings, in order.
func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = quote(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

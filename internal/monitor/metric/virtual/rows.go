package virtual

import "encoding/json"

// row is the values of one row by the names of the columns, as table.Builder takes them.
type row map[string]any

// object writes labels as a JSON object, without those named.
func object(ls map[string]string, without ...string) string {
	out := make(map[string]string, len(ls))
	for k, v := range ls {
		out[k] = v
	}
	for _, k := range without {
		delete(out, k)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return "{}" // strings are always written
	}
	return string(text)
}

package dev

import "strings"

// mark encloses the path of a field in a value; no environment can hold the byte.
const mark = "\x00"

// Mark stands in a value of Target.Env for a field that only the session's pod knows.
func Mark(path string) string { return mark + path + mark }

func marked(env []Value) bool {
	for _, v := range env {
		if strings.Contains(v.Value, mark) {
			return true
		}
	}
	return false
}

// fill returns the environment with the pod's fields in place of their marks, nothing for a
// field that the pod does not have.
func fill(env []Value, fields map[string]string) []Value {
	var pairs []string
	for path, value := range fields {
		pairs = append(pairs, Mark(path), value)
	}
	known := strings.NewReplacer(pairs...)
	out := make([]Value, len(env))
	for i, v := range env {
		v.Value = known.Replace(v.Value)
		for {
			before, rest, ok := strings.Cut(v.Value, mark)
			if !ok {
				break
			}
			_, after, _ := strings.Cut(rest, mark)
			v.Value = before + after
		}
		out[i] = v
	}
	return out
}

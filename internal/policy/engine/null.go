package engine

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// A manifest may say null where it could say nothing. The API server decodes a built-in kind
// to its type before anything judges it: of a field nothing remains, of a value in a map of
// strings the empty string. Programs here must see the same. Of other kinds the API server
// keeps nulls that their schema allows, so that they stay; the metadata of all is typed.

// hasNull reports whether a JSON value has null in it.
func hasNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		for _, e := range v {
			if hasNull(e) {
				return true
			}
		}
	case []any:
		for _, e := range v {
			if hasNull(e) {
				return true
			}
		}
	}
	return false
}

// withoutNulls replaces the nulls of an object by what the API server makes of them, in
// place. An object that does not decode is left alone: the API server would refuse it.
func withoutNulls(object map[string]any, kind schema.GroupVersionKind) {
	typed, err := scheme.Scheme.New(kind)
	if err != nil {
		typed = &metav1.PartialObjectMetadata{}
	}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(object, typed) != nil {
		return
	}
	decoded, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return
	}
	if _, partial := typed.(*metav1.PartialObjectMetadata); partial {
		meta, _ := object["metadata"].(map[string]any)
		become(meta, decoded["metadata"])
		return
	}
	become(object, decoded)
}

// become gives the nulls of a value what a decoded one has in their places; a field that it
// has not goes.
func become(v, decoded any) {
	switch v := v.(type) {
	case map[string]any:
		d, _ := decoded.(map[string]any)
		for k, e := range v {
			switch {
			case e != nil:
				become(e, d[k])
			case d[k] != nil:
				v[k] = d[k]
			default:
				delete(v, k)
			}
		}
	case []any:
		d, _ := decoded.([]any)
		for i := range min(len(v), len(d)) {
			if v[i] == nil {
				v[i] = d[i]
				continue
			}
			become(v[i], d[i])
		}
	}
}

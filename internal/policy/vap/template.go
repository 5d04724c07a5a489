package vap

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"towpath.dev/towpath/internal/policy/rule"
)

// source is what of a constraint template matters besides its program.
type source struct {
	Spec struct {
		CRD struct {
			Spec struct {
				Validation struct {
					Schema *shape `json:"openAPIV3Schema"`
				} `json:"validation"`
			} `json:"spec"`
		} `json:"crd"`
		Targets []struct {
			Operations []string `json:"operations"`
		} `json:"targets"`
	} `json:"spec"`
}

// shape is a schema, as far as defaults go.
type shape struct {
	Default    any              `json:"default"`
	Properties map[string]shape `json:"properties"`
	Items      *shape           `json:"items"`
}

// asksForDelete reports whether a template lists DELETE among its operations.
func asksForDelete(t rule.Template) bool {
	var s source
	if json.Unmarshal(t.Raw, &s) != nil || len(s.Spec.Targets) == 0 {
		return false
	}
	for _, op := range s.Spec.Targets[0].Operations {
		if strings.EqualFold(op, "DELETE") {
			return true
		}
	}
	return false
}

// parameters returns the parameters of a rule with the defaults of its template's schema,
// as the engine judges with; nil when there are none and the template declares none.
func parameters(r rule.Rule) (any, error) {
	var s source
	if err := json.Unmarshal(r.Template.Raw, &s); err != nil {
		return nil, fmt.Errorf("reading the schema of template %s: %w", r.Template.Kind, err)
	}
	schema := s.Spec.CRD.Spec.Validation.Schema
	switch {
	case schema != nil && r.Parameters == nil:
		return schema.fill(map[string]any{}), nil
	case schema != nil:
		return schema.fill(r.Parameters), nil
	case len(r.Parameters) == 0:
		return nil, nil
	}
	return r.Parameters, nil
}

func (s shape) fill(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := maps.Clone(v)
		if out == nil {
			out = map[string]any{}
		}
		for name, p := range s.Properties {
			if _, ok := out[name]; !ok && p.Default != nil {
				out[name] = p.Default
			}
			if e, ok := out[name]; ok {
				out[name] = p.fill(e)
			}
		}
		return out
	case []any:
		if s.Items == nil {
			return v
		}
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = s.Items.fill(e)
		}
		return out
	}
	return v
}

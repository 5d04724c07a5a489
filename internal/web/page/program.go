package page

import (
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/rule"
)

// template is what of a constraint template the page shows apart.
type template struct {
	Spec struct {
		Targets []struct {
			Rego string   `json:"rego"`
			Libs []string `json:"libs"`
			Code []struct {
				Engine string `json:"engine"`
				Source struct {
					Rego        string            `json:"rego"`
					Libs        []string          `json:"libs"`
					Variables   []rule.Variable   `json:"variables"`
					Validations []rule.Validation `json:"validations"`
				} `json:"source"`
			} `json:"code"`
		} `json:"targets"`
	} `json:"spec"`
}

// ProgramParts takes the program out of a constraint template (templates.gatekeeper.sh/v1):
// the expressions of CEL with their names, or the modules of Rego. A template of another
// form has none; it is shown as it is.
func ProgramParts(text string) []CodePart {
	var t template
	if yaml.Unmarshal([]byte(text), &t) != nil {
		return nil
	}
	var out []CodePart
	rego := func(text string, libs []string) {
		if strings.TrimSpace(text) != "" {
			out = append(out, CodePart{Name: "Program", Language: rule.Rego, Text: strings.TrimSpace(text)})
		}
		for _, l := range libs {
			out = append(out, CodePart{Name: "Library", Language: rule.Rego, Text: strings.TrimSpace(l)})
		}
	}
	for _, target := range t.Spec.Targets {
		rego(target.Rego, target.Libs)
		for _, c := range target.Code {
			s := c.Source
			rego(s.Rego, s.Libs)
			for _, v := range s.Validations {
				out = append(out, CodePart{Name: "Must be true", Note: orWord(v.Message, messageOf(v)), Language: rule.CEL, Text: strings.TrimSpace(v.Expression)})
			}
			for _, v := range s.Variables {
				out = append(out, CodePart{Name: "variables." + v.Name, Language: rule.CEL, Text: strings.TrimSpace(v.Expression)})
			}
		}
	}
	return out
}

func messageOf(v rule.Validation) string {
	if v.MessageExpression == "" {
		return ""
	}
	return "says: " + strings.Join(strings.Fields(v.MessageExpression), " ")
}

// paramsOf lists parameters by name.
func paramsOf(m map[string]azure.Parameter) []Param {
	var out []Param
	for name, p := range m {
		one := Param{Name: name, Type: p.Type, Text: orWord(p.Description, p.Title)}
		if p.HasDefault || p.Default != nil {
			one.Default = paramWord(p.Default)
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
	return out
}

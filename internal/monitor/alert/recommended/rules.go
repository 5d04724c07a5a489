package recommended

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

//go:embed rules.yaml
var file []byte

// Rule is a recommended rule. Texts are Prometheus templates.
type Rule struct {
	Group       string
	Name        string
	Original    string // its name in Azure's list, "" when it is the same
	Expr        string
	For         time.Duration
	Severity    string
	Summary     string
	Description string
	NextStep    string
	Correction  string // what was changed of Azure's rule and why, "" for nothing
}

// Rules returns the rules in the order of the file.
func Rules() ([]Rule, error) {
	groups, errs := rulefmt.Parse(file, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		return nil, fmt.Errorf("parsing the recommended rules: %w", errors.Join(errs...))
	}
	var out []Rule
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			out = append(out, Rule{
				Group: g.Name, Name: r.Alert, Original: r.Annotations["original"], Expr: r.Expr, For: time.Duration(r.For), Severity: r.Labels["severity"],
				Summary: r.Annotations["summary"], Description: r.Annotations["description"], NextStep: r.Annotations["next_step"],
				Correction: r.Annotations["correction"],
			})
		}
	}
	return out, nil
}

// Series returns the names of the series that the rules read, in order.
func Series() ([]string, error) {
	rules, err := Rules()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	p := parser.NewParser(parser.Options{})
	for _, r := range rules {
		expr, err := p.ParseExpr(r.Expr)
		if err != nil {
			return nil, fmt.Errorf("parsing rule %s: %w", r.Name, err)
		}
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok {
				for _, m := range s.LabelMatchers {
					if m.Name == labels.MetricName {
						names[m.Value] = true
					}
				}
			}
			return nil
		})
	}
	return slices.Sorted(maps.Keys(names)), nil
}

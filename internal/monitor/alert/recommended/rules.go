package recommended

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/common/model"
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

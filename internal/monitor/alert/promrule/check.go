package promrule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"towpath.dev/towpath/internal/fault"
)

// maxExpr is the longest expression in bytes.
const maxExpr = 16 << 10

// Check says what is wrong with a rule: its expression with line and column, its labels,
// the templates of its texts. nil when it can be evaluated.
func Check(r Rule) error {
	if len(r.Expr) > maxExpr {
		return fault.New(fault.TooLarge, "The expression has %d bytes; at most %d are allowed.", len(r.Expr), maxExpr)
	}
	p := parser.NewParser(parser.Options{})
	expr, err := p.ParseExpr(r.Expr)
	if err != nil {
		return located(r.Expr, err)
	}
	if t := expr.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return fault.New(fault.Invalid, "The expression is a %s; a rule needs an instant vector.", parser.DocumentedType(t)).
			WithNext("compare something: rate(…[5m]) > 0.1")
	}
	rf := rulefmt.Rule{Alert: r.Name, Expr: r.Expr, For: model.Duration(r.For), KeepFiringFor: model.Duration(r.KeepFiringFor), Labels: r.Labels, Annotations: r.Annotations}
	for _, e := range rf.Validate(rulefmt.RuleNode{}, model.LegacyValidation, p) {
		return fault.New(fault.Invalid, "The rule cannot be used: %s.", strings.TrimSuffix(e.Error(), "."))
	}
	for _, set := range []map[string]string{r.Labels, r.Annotations} {
		for _, name := range slices.Sorted(maps.Keys(set)) {
			if err := checkText(name, set[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// located turns errors of the parser into one that says where.
func located(text string, err error) error {
	var list parser.ParseErrors
	if !errors.As(err, &list) || len(list) == 0 {
		return fault.New(fault.Invalid, "The expression cannot be read: %v.", err)
	}
	e := list[0]
	line, column := place(text, int(e.PositionRange.Start))
	return fault.New(fault.Invalid, "Line %d, column %d: %v.", line, column, e.Err).WithNext("correct the PromQL there")
}

// place returns line and column, from 1, of a byte of a text. Columns count characters.
func place(text string, at int) (line, column int) {
	at = min(max(at, 0), len(text))
	before := text[:at]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, len([]rune(before[start:])) + 1
}

// String names a rule in logs.
func (r Rule) String() string { return fmt.Sprintf("%s/%s", r.Project, r.Name) }

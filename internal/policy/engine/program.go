package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/open-policy-agent/frameworks/constraint/pkg/client"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers/rego"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"towpath.dev/towpath/internal/policy/rule"
)

// enforcementPoint is the framework's name for who asks; there is one here.
const enforcementPoint = "towpath.dev"

// noBuiltins are the builtins of Rego that a template may not call: those that reach out,
// read the process, or answer differently each time.
var noBuiltins = []string{"http.send", "net.lookup_ip_addr", "opa.runtime", "rand.intn", "uuid.rfc4122"}

// programs are the compiled templates with their constraints.
type programs struct {
	client *client.Client
	rego   *rego.Driver
	cel    *celDriver
	target *target.K8sValidationTarget
}

// newPrograms makes programs without templates; before, which may be nil, is where CEL
// programs that are compiled already are taken from.
func newPrograms(before *programs) (*programs, error) {
	r, err := rego.New(rego.DisableBuiltins(noBuiltins...), rego.Defaults())
	if err != nil {
		return nil, fmt.Errorf("making the Rego driver: %w", err)
	}
	p := &programs{rego: r, cel: newCELDriver(), target: &target.K8sValidationTarget{}}
	if before != nil {
		p.cel.before = before.cel.compiled()
	}
	// The first driver wins for a template that has both engines.
	p.client, err = client.NewClient(client.Targets(p.target), client.Driver(p.cel), client.Driver(p.rego), client.EnforcementPoints(enforcementPoint))
	if err != nil {
		return nil, fmt.Errorf("making the constraint framework's client: %w", err)
	}
	return p, nil
}

// add compiles the template of a rule, when it is new, and its constraint under a name.
func (p *programs) add(ctx context.Context, r rule.Rule, name string) (compiled, error) {
	ct, err := decodeTemplate(r.Template.Raw)
	if err != nil {
		return compiled{}, err
	}
	if _, err := p.client.AddTemplate(ctx, ct); err != nil {
		return compiled{}, fmt.Errorf("its template %s does not compile: %w", r.Template.Kind, err)
	}
	m, err := newMatcher(r.Match)
	if err != nil {
		return compiled{}, err
	}
	v := ct.Spec.CRD.Spec.Validation
	u := constraintOf(r, name, v != nil && v.OpenAPIV3Schema != nil)
	if _, err := p.client.AddConstraint(ctx, u); err != nil {
		return compiled{}, fmt.Errorf("its parameters do not fit template %s: %w", r.Template.Kind, err)
	}
	// The client keeps it with the defaults of the template's schema.
	stored, err := p.client.GetConstraint(u)
	if err != nil {
		return compiled{}, fmt.Errorf("reading constraint %s: %w", name, err)
	}
	// Whoever reads the rule (the policies for the API server) must see them as well.
	if params, _, err := unstructured.NestedMap(stored.Object, "spec", "parameters"); err == nil && len(params) > 0 {
		r.Parameters = params
	}
	return compiled{Rule: r, constraint: stored, match: m, deletes: asksForDelete(ct)}, nil
}

// Check reports whether a template compiles.
func Check(ctx context.Context, t rule.Template) error {
	p, err := newPrograms(nil)
	if err != nil {
		return err
	}
	ct, err := decodeTemplate(t.Raw)
	if err != nil {
		return err
	}
	if _, err := p.client.AddTemplate(ctx, ct); err != nil {
		return fmt.Errorf("template %s does not compile: %w", t.Kind, err)
	}
	return nil
}

// constraintOf makes the constraint of a rule. It carries no match: matching is done here.
func constraintOf(r rule.Rule, name string, hasSchema bool) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": r.Template.Kind,
		"metadata": map[string]any{"name": name},
		"spec":     map[string]any{},
	}}
	switch {
	case len(r.Parameters) > 0:
		u.Object["spec"] = map[string]any{"parameters": normal(r.Parameters)}
	case hasSchema:
		// Without parameters the schema would not give their fields' defaults.
		u.Object["spec"] = map[string]any{"parameters": map[string]any{}}
	}
	return u
}

// asksForDelete reports whether a template lists DELETE among its operations.
func asksForDelete(ct *templates.ConstraintTemplate) bool {
	for _, op := range ct.Spec.Targets[0].Operations {
		if strings.EqualFold(string(op), "DELETE") {
			return true
		}
	}
	return false
}

// normal copies a JSON value into the form that Kubernetes' decoder gives it: integers are
// int64, so that a program sees the same whoever decoded the object.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = normal(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = normal(e)
		}
		return out
	default:
		return scalar(v)
	}
}

package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"github.com/open-policy-agent/frameworks/constraint/pkg/types"
	celschema "github.com/open-policy-agent/gatekeeper/v3/pkg/drivers/k8scel/schema"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/drivers/k8scel/transform"
	"github.com/open-policy-agent/opa/v1/storage"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// celDriver is a driver of the constraint framework for Gatekeeper's K8sNativeValidation.
// Gatekeeper has one too. This one differs where a verdict here must be the API server's:
// it has the API server's cost budget for a policy instead of the tenth of it that is for
// one expression, it refuses templates that do not compile when they are added, it tells
// an expression that failed from one that is false, and it takes the object decoded.
type celDriver struct {
	mu         sync.RWMutex
	validators map[string]validator // by the template's name
	before     map[string]validator // of the set before this one, by the digest of the program
}

// validator is a compiled program; it has no state and may be in many sets.
type validator struct {
	validating.Validator
	digest string
}

var _ drivers.Driver = (*celDriver)(nil)

func newCELDriver() *celDriver { return &celDriver{validators: map[string]validator{}} }

// celReview is what the driver judges.
type celReview struct {
	attributes *admission.VersionedAttributes
	namespace  *corev1.Namespace
}

// unjudged marks a result that is not a violation but an error, in Result.Metadata.
const unjudged = "error"

// Name is the engine of templates that the driver takes.
func (d *celDriver) Name() string { return celschema.Name }

// AddTemplate compiles a template; every expression of it must compile.
func (d *celDriver) AddTemplate(_ context.Context, ct *templates.ConstraintTemplate) error {
	source, err := celschema.GetSourceFromTemplate(ct)
	if err != nil {
		return err
	}
	text, err := json.Marshal(source)
	if err != nil {
		return fmt.Errorf("making the digest of the program: %w", err)
	}
	sum := sha256.Sum256(text)
	digest := hex.EncodeToString(sum[:])
	v, known := d.before[digest]
	if !known {
		program, err := compileCEL(source)
		if err != nil {
			return err
		}
		v = validator{program, digest}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.validators[ct.GetName()] = v
	return nil
}

func compileCEL(source *celschema.Source) (validating.Validator, error) {
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		return nil, fmt.Errorf("making the CEL environment: %w", err)
	}
	// Only the variables of the format itself see the constraint; programs have
	// variables.params, as in the API server.
	var plain cel.OptionalVariableDeclarations
	for _, v := range transform.AllVariablesCEL() {
		if r := compiler.CompileAndStoreVariable(v, cel.OptionalVariableDeclarations{HasParams: true}, environment.StoredExpressions); r.Error != nil {
			return nil, fmt.Errorf("compiling variable %s: %w", v.GetName(), r.Error)
		}
	}
	variables, err := source.GetVariables()
	if err != nil {
		return nil, err
	}
	for _, v := range variables {
		if r := compiler.CompileAndStoreVariable(v, plain, environment.StoredExpressions); r.Error != nil {
			return nil, fmt.Errorf("compiling variable %s: %w", v.GetName(), r.Error)
		}
	}
	validations, err := source.GetValidations()
	if err != nil {
		return nil, err
	}
	messages, err := source.GetMessageExpressions()
	if err != nil {
		return nil, err
	}
	for i := range validations {
		for _, e := range []cel.ExpressionAccessor{validations[i], messages[i]} {
			if e == nil {
				continue
			}
			if r := compiler.CompileCELExpression(e, plain, environment.StoredExpressions); r.Error != nil {
				return nil, fmt.Errorf("compiling validation %d: %w", i, r.Error)
			}
		}
	}
	fail := admissionregistrationv1.Fail
	condition := func(e []cel.ExpressionAccessor) cel.ConditionEvaluator {
		return compiler.CompileCondition(e, plain, environment.StoredExpressions)
	}
	return validating.NewValidator(condition(validations), nil, condition(nil), condition(messages), &fail, nil), nil
}

// compiled returns the programs by their digests.
func (d *celDriver) compiled() map[string]validator {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make(map[string]validator, len(d.validators))
	for _, v := range d.validators {
		out[v.digest] = v
	}
	return out
}

// RemoveTemplate forgets a template.
func (d *celDriver) RemoveTemplate(_ context.Context, ct *templates.ConstraintTemplate) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.validators, ct.GetName())
	return nil
}

// AddConstraint has nothing to do: constraints come with each query.
func (d *celDriver) AddConstraint(context.Context, *unstructured.Unstructured) error { return nil }

// RemoveConstraint has nothing to do.
func (d *celDriver) RemoveConstraint(context.Context, *unstructured.Unstructured) error { return nil }

// AddData has nothing to do: CEL programs see no other objects.
func (d *celDriver) AddData(context.Context, string, storage.Path, any) error { return nil }

// RemoveData has nothing to do.
func (d *celDriver) RemoveData(context.Context, string, storage.Path) error { return nil }

// Query judges a *celReview by constraints: a result for each validation that is not true
// or could not be evaluated (then with Metadata[unjudged]).
func (d *celDriver) Query(ctx context.Context, target string, constraints []*unstructured.Unstructured, review any, _ ...reviews.ReviewOpt) (*drivers.QueryResponse, error) {
	r, ok := review.(*celReview)
	if !ok {
		return nil, fmt.Errorf("judging a %T with CEL: it is not a review of this driver", review)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := &drivers.QueryResponse{}
	for _, c := range constraints {
		v := d.validators[strings.ToLower(c.GetKind())]
		if v.Validator == nil {
			return nil, fmt.Errorf("judging with CEL: template %s is not there", c.GetKind())
		}
		res := v.Validate(ctx, r.attributes.GetResource(), r.attributes, c, r.namespace, celconfig.RuntimeCELCostBudget, nil)
		for _, decision := range res.Decisions {
			if decision.Action != validating.ActionDeny {
				continue
			}
			result := &types.Result{Target: target, Msg: decision.Message, Constraint: c}
			if decision.Evaluation == validating.EvalError {
				result.Metadata = map[string]any{unjudged: true}
			}
			out.Results = append(out.Results, result)
		}
	}
	return out, nil
}

// Dump describes the driver's state; there is none worth showing.
func (d *celDriver) Dump(context.Context) (string, error) { return "", nil }

// GetDescriptionForStat knows no statistics.
func (d *celDriver) GetDescriptionForStat(string) (string, error) {
	return "", errors.New("the CEL driver has no statistics")
}

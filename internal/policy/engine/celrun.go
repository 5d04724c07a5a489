package engine

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/lazy"
)

// This file evaluates programs as the API server's own evaluator does, and gives what comes
// of it to the API server's own validator. It differs in that one review of an object by many
// rules converts the request once, and evaluates once what is the same text in several rules
// or in a validation and its message. Costs are counted as if each rule had evaluated
// everything by itself, twice when it has messages: whether a rule can judge depends on
// itself and the object only.

// celRun is the review of one object by several rules. It is used by one goroutine.
type celRun struct {
	*celReview
	request    *admissionv1.AdmissionRequest
	object     any // nil or map[string]any
	old        any
	converted  map[string]any // the request, once a program asks for it
	namespaces any            // the namespace object, likewise
	values     map[[sha256.Size]byte]*celValue
	phase      int // grows with each time that costs are counted from the beginning
}

func newCELRun(r *celReview) *celRun {
	at := &celRun{celReview: r, values: map[[sha256.Size]byte]*celValue{}}
	content := func(o runtime.Object) any {
		if u, ok := o.(*unstructured.Unstructured); ok {
			return u.Object
		}
		return nil
	}
	at.object, at.old = content(r.attributes.VersionedObject), content(r.attributes.VersionedOldObject)
	return at
}

// judge runs a program with a constraint's parameters.
func (at *celRun) judge(ctx context.Context, p *celProgram, constraint *unstructured.Unstructured) validating.ValidateResult {
	fail := admissionregistrationv1.Fail
	j := &celJudge{run: at, program: p, params: constraint.Object}
	v := validating.NewValidator(evaluator{j, p.validations}, nil, evaluator{j, nil}, evaluator{j, p.messages}, &fail, nil)
	return v.Validate(ctx, at.attributes.GetResource(), at.attributes, constraint, at.namespace, celconfig.RuntimeCELCostBudget, nil)
}

// celValue is a variable that was evaluated.
type celValue struct {
	val     ref.Val
	cost    int64
	parts   []*celValue // variables that it asked for
	charged int         // phase in which its cost was counted last
}

// celJudge is one rule in a review. Programs see the review through it.
type celJudge struct {
	run     *celRun
	program *celProgram
	params  any
	own     map[string]*celValue // variables with the constraint's parameters
	asking  []*celValue          // variables that are being evaluated
	cost    int64                // of the variables that the expression asked for
	ctx     context.Context      // of the evaluation under way, as for the API server's variables
}

var _ interpreter.Activation = (*celJudge)(nil)

// ResolveName returns what a name stands for in programs.
func (j *celJudge) ResolveName(name string) (any, bool) {
	switch name {
	case cel.ObjectVarName:
		return j.run.object, true
	case cel.OldObjectVarName:
		return j.run.old, true
	case cel.ParamsVarName:
		return j.params, true
	case cel.RequestVarName:
		return j.run.requestValue(), true
	case cel.NamespaceVarName:
		return j.run.namespaceValue(), true
	case cel.VariableVarName:
		return celVariables{j.program.names, j}, true
	}
	return nil, false
}

// Parent returns nil: there is no outer scope.
func (j *celJudge) Parent() interpreter.Activation { return nil }

func (at *celRun) requestValue() any {
	if at.converted == nil {
		out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(at.request)
		if err != nil {
			return types.NewErr("failed to prepare request variable for evaluation: %v", err)
		}
		at.converted = out
	}
	return at.converted
}

func (at *celRun) namespaceValue() any {
	if at.namespaces == nil && at.namespace != nil {
		out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(cel.CreateNamespaceObject(at.namespace))
		if err != nil {
			return types.NewErr("failed to prepare namespace variable for evaluation: %v", err)
		}
		at.namespaces = out
	}
	return at.namespaces
}

// celVariables is what the name variables stands for.
type celVariables struct {
	*lazy.MapValue
	judge *celJudge
}

// Find returns the value of a variable; false when the program has none of that name.
func (v celVariables) Find(key ref.Val) (ref.Val, bool) {
	s, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), true
	}
	name, ok := apiservercel.Unescape(string(s))
	if !ok {
		return nil, false
	}
	return v.judge.variable(name)
}

// Get is Find, with an error for a variable that is not there.
func (v celVariables) Get(key ref.Val) ref.Val {
	val, found := v.Find(key)
	if found {
		return val
	}
	return types.ValOrErr(key, "no such key: %v", key)
}

// Contains reports whether the program has a variable.
func (v celVariables) Contains(key ref.Val) ref.Val {
	val, found := v.Find(key)
	if val != nil && types.IsUnknownOrError(val) {
		return val
	}
	return types.Bool(found)
}

// variable returns the value of a variable and counts its cost.
func (j *celJudge) variable(name string) (ref.Val, bool) {
	v := j.program.variables[name]
	if v == nil {
		return nil, false
	}
	val := j.run.values[v.key]
	if v.own {
		val = j.own[name]
	}
	if val == nil {
		val = &celValue{}
		j.asking = append(j.asking, val)
		val.val, val.cost = j.evaluate(v)
		j.asking = j.asking[:len(j.asking)-1]
		switch {
		case !v.own:
			j.run.values[v.key] = val
		case j.own == nil:
			j.own = map[string]*celValue{name: val}
		default:
			j.own[name] = val
		}
	}
	if n := len(j.asking); n > 0 {
		j.asking[n-1].parts = append(j.asking[n-1].parts, val)
	}
	j.charge(val)
	return val.val, true
}

// charge counts the cost of a value and its parts, once in a phase.
func (j *celJudge) charge(v *celValue) {
	if v.charged == j.run.phase {
		return
	}
	v.charged = j.run.phase
	j.cost += v.cost
	for _, part := range v.parts {
		j.charge(part)
	}
}

func (j *celJudge) evaluate(v *celVariable) (ref.Val, int64) {
	val, details, err := v.Program.ContextEval(j.ctx, j)
	if details == nil {
		return types.NewErr("unable to get evaluation details of variable %q", v.name), 0
	}
	spent := details.ActualCost()
	if spent == nil {
		return types.NewErr("unable to calculate cost of variable %q", v.name), 0
	}
	cost := int64(min(*spent, math.MaxInt64))
	if err != nil {
		return types.NewErr("composited variable %q fails to evaluate: %v", v.name, err), cost
	}
	return val, cost
}

// evaluator evaluates some expressions of a program, for the API server's validator.
type evaluator struct {
	*celJudge
	expressions []cel.CompilationResult
}

var _ cel.ConditionEvaluator = evaluator{}

// CompilationErrors returns none: what does not compile is in no set.
func (e evaluator) CompilationErrors() []error { return nil }

// ForInput evaluates the expressions. Only the request is taken as it is given; everything
// else is the review's.
func (e evaluator) ForInput(ctx context.Context, _ *admission.VersionedAttributes, request *admissionv1.AdmissionRequest, _ cel.OptionalVariableBindings, _ *corev1.Namespace, budget int64) ([]cel.EvaluationResult, int64, error) {
	if len(e.expressions) == 0 {
		return nil, budget, nil
	}
	if e.run.request == nil {
		e.run.request = request
	}
	e.run.phase++
	e.ctx, e.cost = ctx, 0
	out := make([]cel.EvaluationResult, len(e.expressions))
	for i, x := range e.expressions {
		if x.ExpressionAccessor == nil {
			continue
		}
		var err error
		if out[i], budget, err = e.one(ctx, x, budget); err != nil {
			return nil, -1, err
		}
	}
	return out, budget, nil
}

var errOverBudget = &apiservercel.Error{
	Type:   apiservercel.ErrorTypeInvalid,
	Detail: "validation failed due to running out of cost budget, no further validation rules will be run",
	Cause:  apiservercel.ErrOutOfBudget,
}

// one evaluates an expression and returns what is left of the budget.
func (e evaluator) one(ctx context.Context, x cel.CompilationResult, budget int64) (cel.EvaluationResult, int64, error) {
	out := cel.EvaluationResult{ExpressionAccessor: x.ExpressionAccessor}
	val, details, err := x.Program.ContextEval(ctx, e.celJudge)
	variables := e.cost
	e.cost = 0
	if details == nil || details.ActualCost() == nil {
		return out, -1, &apiservercel.Error{Type: apiservercel.ErrorTypeInternal, Detail: fmt.Sprintf(
			"runtime cost could not be calculated for expression: %v, no further expression will be run", x.ExpressionAccessor.GetExpression()), Cause: apiservercel.ErrOutOfBudget}
	}
	spent := *details.ActualCost()
	if variables > budget || spent > math.MaxInt64 || int64(spent) > budget-variables {
		return out, -1, errOverBudget
	}
	budget -= variables + int64(spent)
	if err != nil {
		out.Error = &apiservercel.Error{Type: apiservercel.ErrorTypeInvalid, Detail: fmt.Sprintf("expression '%v' resulted in error: %v", x.ExpressionAccessor.GetExpression(), err)}
		return out, budget, nil
	}
	out.EvalResult = val
	return out, budget, nil
}

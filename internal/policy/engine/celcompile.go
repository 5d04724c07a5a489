package engine

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"

	celschema "github.com/open-policy-agent/gatekeeper/v3/pkg/drivers/k8scel/schema"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/drivers/k8scel/transform"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/lazy"
)

// celProgram is a compiled template. It has no state and may be in many sets.
type celProgram struct {
	digest      string
	variables   map[string]*celVariable
	validations []cel.CompilationResult
	messages    []cel.CompilationResult // of each validation; without an accessor where it has none
	names       *lazy.MapValue          // the type of `variables`
}

// celVariable is a variable of a program.
type celVariable struct {
	cel.CompilationResult
	name string
	// key is equal for variables that have the same value in every program: the same name
	// and text, and so all that they are made of.
	key [sha256.Size]byte
	// own says that its value is the constraint's: its parameters are in it.
	own bool
}

// compileCEL compiles a program with the compiler of the API server.
func compileCEL(source *celschema.Source) (*celProgram, error) {
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		return nil, fmt.Errorf("making the CEL environment: %w", err)
	}
	p := &celProgram{variables: map[string]*celVariable{}, names: lazy.NewMapValue(apiservercel.NewObjectType("kubernetes.variables", nil))}
	declare := func(v cel.NamedExpressionAccessor, o cel.OptionalVariableDeclarations) error {
		r := compiler.CompileAndStoreVariable(v, o, environment.StoredExpressions)
		if r.Error != nil {
			return fmt.Errorf("compiling variable %s: %w", v.GetName(), r.Error)
		}
		p.declare(v.GetName(), r)
		return nil
	}
	// Only the variables of the format itself see the constraint; programs have
	// variables.params, as in the API server.
	var plain cel.OptionalVariableDeclarations
	for _, v := range transform.AllVariablesCEL() {
		if err := declare(v, cel.OptionalVariableDeclarations{HasParams: true}); err != nil {
			return nil, err
		}
	}
	variables, err := source.GetVariables()
	if err != nil {
		return nil, err
	}
	for _, v := range variables {
		if err := declare(v, plain); err != nil {
			return nil, err
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
	p.validations, p.messages = make([]cel.CompilationResult, len(validations)), make([]cel.CompilationResult, len(messages))
	for i := range validations {
		p.validations[i] = compiler.CompileCELExpression(validations[i], plain, environment.StoredExpressions)
		if messages[i] != nil {
			p.messages[i] = compiler.CompileCELExpression(messages[i], plain, environment.StoredExpressions)
		}
		for _, r := range []cel.CompilationResult{p.validations[i], p.messages[i]} {
			if r.Error != nil {
				return nil, fmt.Errorf("compiling validation %d: %w", i, r.Error)
			}
		}
	}
	return p, nil
}

var (
	anyVariable = regexp.MustCompile(`\bvariables\b`)
	oneVariable = regexp.MustCompile(`\bvariables\s*\.\s*([A-Za-z_][A-Za-z0-9_]*)`)
	parameters  = regexp.MustCompile(`\bparams\b`)
)

// declare adds a variable. What it is made of is read from its text, at worst too much of
// it: words in strings and comments count. When that cannot be told it is the constraint's
// own, which costs time only.
func (p *celProgram) declare(name string, r cel.CompilationResult) {
	text := r.ExpressionAccessor.GetExpression()
	v := &celVariable{CompilationResult: r, name: name, own: parameters.MatchString(text)}
	found := oneVariable.FindAllStringSubmatch(text, -1)
	v.own = v.own || len(found) != len(anyVariable.FindAllString(text, -1))
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q", name, text)
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f[1]
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		of := p.variables[n]
		if of == nil {
			v.own = true
			continue
		}
		v.own = v.own || of.own
		sum.Write(of.key[:])
	}
	v.key = [sha256.Size]byte(sum.Sum(nil))
	if p.variables[name] != nil {
		// The later one counts, for those in between as well.
		v.own = true
		for _, other := range p.variables {
			other.own = true
		}
	}
	p.variables[name] = v
}

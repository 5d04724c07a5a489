package expr

import (
	"fmt"
	"strings"
)

// Env says which names an expression may use. The zero Env has none but the
// functions of the language.
type Env struct {
	// Values are the named values by lower-case name, such as "variables".
	Values map[string]Value
	// Functions are functions beyond those of the language by lower-case name,
	// such as "succeeded".
	Functions map[string]Function
	// Work is what evaluations may do together; nil gives each MaxWork of its own.
	Work *Work
}

// Work is an allowance that evaluations share. It is used up by every value that is looked at,
// by the byte, because a short expression may look at a large text over and over. It is for
// one goroutine.
type Work struct{ left int }

// NewWork returns an allowance of so many bytes.
func NewWork(bytes int) *Work { return &Work{left: bytes} }

// Function is a function that the caller supplies.
type Function struct {
	// Min and Max bound the number of arguments.
	Min, Max int
	// Call computes the result. An error that it returns is reported with the
	// place of the call.
	Call func(args []Value) (Value, error)
}

// Evaluate parses and evaluates an expression.
func Evaluate(source string, env Env) (Value, error) {
	e, err := Parse(source)
	if err != nil {
		return Value{}, err
	}
	return e.Evaluate(env)
}

// Evaluate computes the expression. An unknown name or function is an error
// only when evaluation reaches it (T011).
func (e *Expression) Evaluate(env Env) (Value, error) {
	if env.Work == nil {
		env.Work = NewWork(MaxWork)
	}
	return (&evaluator{source: e.source, env: env}).eval(&e.root)
}

// evaluator holds what one evaluation needs besides the tree.
type evaluator struct {
	source string
	env    Env
}

// filtered is what a wildcard yields: a list whose further dereferences apply to
// each of its items.
type filtered struct{ Items }

func (ev *evaluator) fault(n *node, format string, args ...any) error {
	return &Error{Message: fmt.Sprintf(format, args...), Offset: n.offset, Source: ev.source}
}

// eval computes a node and pays for what comes out.
func (ev *evaluator) eval(n *node) (Value, error) {
	v, err := ev.compute(n)
	if err == nil {
		err = ev.pay(n, 1+len(v.text))
	}
	return v, err
}

// pay takes from the allowance.
func (ev *evaluator) pay(n *node, bytes int) error {
	if ev.env.Work.left -= bytes; ev.env.Work.left >= 0 {
		return nil
	}
	err := &Error{Message: "The expressions take more work than is allowed; let them look at shorter texts, or less often", Offset: n.offset, Source: ev.source, Limit: true}
	return err
}

// itemCost is what an item of a list that an expression makes costs, in bytes.
const itemCost = 64

// payItems takes the price of a list from the allowance, and refuses one that is too long.
func (ev *evaluator) payItems(n *node, what string, count int) error {
	if count > MaxItems {
		return ev.fault(n, "The result of '%s' has more than %d items", what, MaxItems)
	}
	return ev.pay(n, count*itemCost)
}

func (ev *evaluator) compute(n *node) (Value, error) {
	switch n.op {
	case opLiteral:
		return n.value, nil
	case opName:
		if v, ok := ev.env.Values[strings.ToLower(n.name)]; ok {
			return v, nil
		}
		return Value{}, ev.fault(n, "Unrecognized value: '%s'", n.name)
	case opCall:
		return ev.call(n)
	}
	base, err := ev.eval(&n.args[0])
	if err != nil {
		return Value{}, err
	}
	switch n.op {
	case opProperty:
		return ev.dereference(n, base, NewString(n.name))
	case opIndex:
		index, err := ev.eval(&n.args[1])
		if err != nil {
			return Value{}, err
		}
		return ev.dereference(n, base, index)
	}
	return ev.wildcard(n, base)
}

func (ev *evaluator) call(n *node) (Value, error) {
	if f, ok := ev.env.Functions[strings.ToLower(n.name)]; ok {
		return ev.callSupplied(n, f)
	}
	f, ok := builtin(n.name)
	if !ok {
		return Value{}, ev.fault(n, "Unrecognized function: '%s'", n.name)
	}
	return f.call(ev, n)
}

func (ev *evaluator) callSupplied(n *node, f Function) (Value, error) {
	if arity := (function{min: f.Min, max: f.Max}); !arity.takes(len(n.args)) {
		return Value{}, ev.fault(n, "%s", arity.arity(n.name, len(n.args)))
	}
	args, err := ev.evalAll(n.args)
	if err != nil {
		return Value{}, err
	}
	result, err := f.Call(args)
	if err != nil {
		return Value{}, ev.fault(n, "%s", err)
	}
	return result, nil
}

func (ev *evaluator) evalAll(nodes []node) ([]Value, error) {
	values := make([]Value, len(nodes))
	for i := range nodes {
		v, err := ev.eval(&nodes[i])
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

// text evaluates an argument and converts it to a string.
func (ev *evaluator) text(n *node) (string, error) {
	v, err := ev.eval(n)
	if err != nil {
		return "", err
	}
	text, ok := v.Text()
	if !ok {
		return "", ev.fault(n, "Unable to convert from %s to String; use convertToJson(…) to print a complex value", v.kind)
	}
	return text, nil
}

// dereference is what an index finds; every item of a filtered list is looked into.
func (ev *evaluator) dereference(n *node, base, index Value) (Value, error) {
	if f, ok := base.array.(*filtered); ok {
		if err := ev.payItems(n, "*", len(f.values)); err != nil {
			return Value{}, err
		}
	}
	return dereference(base, index), nil
}

// dereference looks one step into a value. Everything that is not there is null
// (X064).
func dereference(base, index Value) Value {
	switch base.kind {
	case Object:
		key, ok := index.Text()
		if !ok {
			return Value{}
		}
		v, _ := base.object.Get(key)
		return v
	case Array:
		if f, ok := base.array.(*filtered); ok {
			return NewArray(f.dereference(index))
		}
		if i, ok := position(index); ok && i < base.array.Len() {
			return base.array.At(i)
		}
	}
	return Value{}
}

// dereference applies an index to every item that has it.
func (f *filtered) dereference(index Value) *filtered {
	result := &filtered{}
	for _, item := range f.values {
		switch item.kind {
		case Object:
			if key, ok := index.Text(); ok {
				if v, ok := item.object.Get(key); ok {
					result.values = append(result.values, v)
				}
			}
		case Array:
			if i, ok := position(index); ok && i < item.array.Len() {
				result.values = append(result.values, item.array.At(i))
			}
		}
	}
	return result
}

// position converts an index to a place in an array; fractions are cut off.
func position(index Value) (int, bool) {
	number, ok := index.asNumber()
	if !ok || index.kind == Null || number.Sign() < 0 {
		return 0, false
	}
	whole := number.Num().Int64()
	if !number.IsInt() {
		f, _ := number.Float64()
		whole = int64(f)
	} else if !number.Num().IsInt64() {
		return 0, false
	}
	return int(whole), true
}

// wildcard returns all the values of an object or all the items of an array; applied to the
// result of another wildcard it goes one level deeper.
func (ev *evaluator) wildcard(n *node, base Value) (Value, error) {
	from := []Value{base}
	if f, ok := base.array.(*filtered); ok {
		from = f.values
	}
	result, count := &filtered{}, 0
	for _, item := range from {
		count += width(item)
		if count > MaxItems {
			break
		}
		result.values = append(result.values, children(item)...)
	}
	return NewArray(result), ev.payItems(n, "*", count)
}

// width is the number of a value's children.
func width(v Value) int {
	switch v.kind {
	case Array:
		return v.array.Len()
	case Object:
		return len(v.object.Keys())
	}
	return 0
}

// children returns the items of an array or the values of an object.
func children(v Value) []Value {
	var values []Value
	switch v.kind {
	case Array:
		for i := range v.array.Len() {
			values = append(values, v.array.At(i))
		}
	case Object:
		for _, key := range v.object.Keys() {
			child, _ := v.object.Get(key)
			values = append(values, child)
		}
	}
	return values
}

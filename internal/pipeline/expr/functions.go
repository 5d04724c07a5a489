package expr

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf16"
)

// function is a function of the language. call gets its arguments unevaluated,
// because several functions stop early.
type function struct {
	min, max int
	call     func(ev *evaluator, n *node) (Value, error)
}

func (f function) takes(count int) bool { return count >= f.min && count <= f.max }

// arity words the complaint about a wrong number of arguments.
func (f function) arity(name string, count int) string {
	wanted := fmt.Sprintf("%d to %d arguments", f.min, f.max)
	switch {
	case f.max == 0:
		wanted = "no arguments"
	case f.min == f.max && f.min == 1:
		wanted = "one argument"
	case f.min == f.max:
		wanted = fmt.Sprintf("%d arguments", f.min)
	case f.max == many:
		wanted = fmt.Sprintf("at least %d", f.min) + " argument(s)"
	}
	problem := "Too few"
	if count > f.max {
		problem = "Too many"
	}
	return fmt.Sprintf("%s parameters supplied: '%s' takes %s, not %d", problem, name, wanted, count)
}

const many = math.MaxInt

// Arity is how many arguments a function of the language takes; most is -1 when there is no
// bound. ok is false for a name that the language itself does not have, such as that of a
// status function, which its place adds.
func Arity(name string) (least, most int, ok bool) {
	f, ok := builtin(name)
	if f.max == many {
		f.max = -1
	}
	return f.min, f.max, ok
}

// builtin finds a function of the language by name, without regard to case.
func builtin(name string) (function, bool) {
	switch strings.ToLower(name) {
	case "and":
		return function{2, many, callAnd}, true
	case "or":
		return function{2, many, callOr}, true
	case "not":
		return function{1, 1, callNot}, true
	case "xor":
		return function{2, 2, callXor}, true
	case "eq":
		return function{2, 2, equality(true)}, true
	case "ne":
		return function{2, 2, equality(false)}, true
	case "gt":
		return function{2, 2, ordering(func(o int) bool { return o > 0 })}, true
	case "ge":
		return function{2, 2, ordering(func(o int) bool { return o >= 0 })}, true
	case "lt":
		return function{2, 2, ordering(func(o int) bool { return o < 0 })}, true
	case "le":
		return function{2, 2, ordering(func(o int) bool { return o <= 0 })}, true
	case "in":
		return function{1, many, membership(true)}, true
	case "notin":
		return function{1, many, membership(false)}, true
	case "iif":
		return function{3, 3, callIif}, true
	case "coalesce":
		return function{2, many, callCoalesce}, true
	case "contains":
		return function{2, 2, textTest(foldContains)}, true
	case "startswith":
		return function{2, 2, textTest(foldPrefix)}, true
	case "endswith":
		return function{2, 2, textTest(foldSuffix)}, true
	case "containsvalue":
		return function{2, 2, callContainsValue}, true
	}
	return textBuiltin(name)
}

// textBuiltin finds the functions that make strings and lists.
func textBuiltin(name string) (function, bool) {
	switch strings.ToLower(name) {
	case "format":
		return function{1, many, callFormat}, true
	case "join":
		return function{2, 2, callJoin}, true
	case "split":
		return function{2, 2, callSplit}, true
	case "replace":
		return function{3, 3, callReplace}, true
	case "length":
		return function{1, 1, callLength}, true
	case "lower":
		return function{1, 1, textMap(strings.ToLower)}, true
	case "upper":
		return function{1, 1, textMap(strings.ToUpper)}, true
	case "trim":
		return function{1, 1, textMap(strings.TrimSpace)}, true
	case "substring":
		return function{3, 3, callSubstring}, true
	case "converttojson":
		return function{1, 1, callConvertToJSON}, true
	}
	return function{}, false
}

func callAnd(ev *evaluator, n *node) (Value, error) {
	for i := range n.args {
		v, err := ev.eval(&n.args[i])
		if err != nil || !v.Truthy() {
			return NewBoolean(false), err
		}
	}
	return NewBoolean(true), nil
}

func callOr(ev *evaluator, n *node) (Value, error) {
	for i := range n.args {
		v, err := ev.eval(&n.args[i])
		if err != nil || v.Truthy() {
			return NewBoolean(err == nil), err
		}
	}
	return NewBoolean(false), nil
}

func callNot(ev *evaluator, n *node) (Value, error) {
	v, err := ev.eval(&n.args[0])
	return NewBoolean(!v.Truthy()), err
}

func callXor(ev *evaluator, n *node) (Value, error) {
	args, err := ev.evalAll(n.args)
	if err != nil {
		return Value{}, err
	}
	return NewBoolean(args[0].Truthy() != args[1].Truthy()), nil
}

func equality(wanted bool) func(*evaluator, *node) (Value, error) {
	return func(ev *evaluator, n *node) (Value, error) {
		args, err := ev.evalAll(n.args)
		if err != nil {
			return Value{}, err
		}
		return NewBoolean(Equal(args[0], args[1]) == wanted), nil
	}
}

func ordering(holds func(order int) bool) func(*evaluator, *node) (Value, error) {
	return func(ev *evaluator, n *node) (Value, error) {
		args, err := ev.evalAll(n.args)
		if err != nil {
			return Value{}, err
		}
		order, ok := compareValues(args[0], args[1])
		if kind := args[0].kind; !ok && (kind == Array || kind == Object) {
			return Value{}, ev.fault(n, "Unable to compare: %s cannot be converted to Number", kind)
		}
		if !ok {
			return Value{}, ev.fault(n, "Unable to compare: %s cannot be converted to %s", describe(args[1]), orderKind(args[0]))
		}
		return NewBoolean(holds(order)), nil
	}
}

// orderKind is the kind that the right operand of an ordering is converted to.
func orderKind(left Value) Kind {
	switch left.kind {
	case Null, Array, Object:
		return Number
	}
	return left.kind
}

// describe names a value in a message.
func describe(v Value) string {
	if text, ok := v.Text(); ok && v.kind != Null {
		return fmt.Sprintf("%s '%s'", v.kind, shorten(text))
	}
	return v.kind.String()
}

func membership(wanted bool) func(*evaluator, *node) (Value, error) {
	return func(ev *evaluator, n *node) (Value, error) {
		left, err := ev.eval(&n.args[0])
		if err != nil {
			return Value{}, err
		}
		for i := range n.args[1:] {
			right, err := ev.eval(&n.args[i+1])
			if err != nil {
				return Value{}, err
			}
			if Equal(left, right) {
				return NewBoolean(wanted), nil
			}
		}
		return NewBoolean(!wanted), nil
	}
}

// callIif evaluates both branches, as the service does (X088).
func callIif(ev *evaluator, n *node) (Value, error) {
	args, err := ev.evalAll(n.args)
	if err != nil {
		return Value{}, err
	}
	if args[0].Truthy() {
		return args[1], nil
	}
	return args[2], nil
}

func callCoalesce(ev *evaluator, n *node) (Value, error) {
	for i := range n.args {
		v, err := ev.eval(&n.args[i])
		if err != nil || !v.isNull() {
			return v, err
		}
	}
	return Value{}, nil
}

func textTest(test func(s, part string) bool) func(*evaluator, *node) (Value, error) {
	return func(ev *evaluator, n *node) (Value, error) {
		s, err := ev.text(&n.args[0])
		if err != nil {
			return Value{}, err
		}
		part, err := ev.text(&n.args[1])
		if err != nil {
			return Value{}, err
		}
		return NewBoolean(test(s, part)), nil
	}
}

func textMap(change func(string) string) func(*evaluator, *node) (Value, error) {
	return func(ev *evaluator, n *node) (Value, error) {
		s, err := ev.text(&n.args[0])
		if err != nil {
			return Value{}, err
		}
		return NewString(change(s)), nil
	}
}

func callContainsValue(ev *evaluator, n *node) (Value, error) {
	args, err := ev.evalAll(n.args)
	if err != nil {
		return Value{}, err
	}
	if err := ev.payItems(n, n.name, width(args[0])); err != nil {
		return Value{}, err
	}
	for _, child := range children(args[0]) {
		if err := ev.pay(n, len(child.text)); err != nil {
			return Value{}, err
		}
		if Equal(args[1], child) {
			return NewBoolean(true), nil
		}
	}
	return NewBoolean(false), nil
}

func callReplace(ev *evaluator, n *node) (Value, error) {
	var texts [3]string
	for i := range texts {
		text, err := ev.text(&n.args[i])
		if err != nil {
			return Value{}, err
		}
		texts[i] = text
	}
	s, old, replacement := texts[0], texts[1], texts[2]
	if old == "" {
		return NewString(s), nil
	}
	if len(s)+strings.Count(s, old)*(len(replacement)-len(old)) > MaxResult {
		return Value{}, ev.tooLarge(n)
	}
	return NewString(strings.ReplaceAll(s, old, replacement)), nil
}

func callSplit(ev *evaluator, n *node) (Value, error) {
	s, err := ev.text(&n.args[0])
	if err != nil {
		return Value{}, err
	}
	separator, err := ev.text(&n.args[1])
	if err != nil {
		return Value{}, err
	}
	parts := []string{s}
	if separator != "" {
		if err := ev.payItems(n, n.name, strings.Count(s, separator)+1); err != nil {
			return Value{}, err
		}
		parts = strings.Split(s, separator)
	}
	values := make([]Value, len(parts))
	for i, part := range parts {
		values[i] = NewString(part)
	}
	return NewList(values...), nil
}

// callJoin joins the items of an array; items without text count as empty, and
// anything but an array is just converted (X082).
func callJoin(ev *evaluator, n *node) (Value, error) {
	separator, err := ev.text(&n.args[0])
	if err != nil {
		return Value{}, err
	}
	list, err := ev.eval(&n.args[1])
	if err != nil {
		return Value{}, err
	}
	if list.kind != Array {
		text, _ := list.Text()
		return NewString(text), nil
	}
	if err := ev.payItems(n, n.name, width(list)); err != nil {
		return Value{}, err
	}
	var joined strings.Builder
	for i, item := range children(list) {
		if i > 0 {
			joined.WriteString(separator)
		}
		text, _ := item.Text()
		joined.WriteString(text)
		if joined.Len() > MaxResult {
			return Value{}, ev.tooLarge(n)
		}
	}
	return NewString(joined.String()), nil
}

// callLength counts items, entries, or the UTF-16 units of a string.
func callLength(ev *evaluator, n *node) (Value, error) {
	v, err := ev.eval(&n.args[0])
	if err != nil {
		return Value{}, err
	}
	switch v.kind {
	case Array:
		return NewInt(int64(v.array.Len())), nil
	case Object:
		return NewInt(int64(len(v.object.Keys()))), nil
	}
	text, _ := v.Text()
	units := 0
	for _, r := range text {
		units += utf16.RuneLen(r)
	}
	return NewInt(int64(units)), nil
}

// callSubstring takes (text, start, length); what lies outside the text is cut
// off.
func callSubstring(ev *evaluator, n *node) (Value, error) {
	s, err := ev.text(&n.args[0])
	if err != nil {
		return Value{}, err
	}
	var bounds [2]int
	for i := range n.args[1:] {
		v, err := ev.eval(&n.args[i+1])
		if err != nil {
			return Value{}, err
		}
		at, ok := position(v)
		if !ok {
			return Value{}, ev.fault(&n.args[i+1], "substring needs a number that is not negative, not %s", describe(v))
		}
		bounds[i] = at
	}
	if bounds[0] == 0 && bounds[1] >= len(s) {
		return NewString(s), nil
	}
	units := utf16.Encode([]rune(s))
	start := min(bounds[0], len(units))
	length := min(bounds[1], len(units)-start)
	return NewString(string(utf16.Decode(units[start : start+length]))), nil
}

func (ev *evaluator) tooLarge(n *node) error {
	return ev.fault(n, "The result of '%s' is larger than %d bytes", n.name, MaxResult)
}

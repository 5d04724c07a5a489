package expr

import (
	"cmp"
	"strings"
)

// Equal compares two values the way eq does: the right one is converted to the
// kind of the left one, and a conversion that fails makes them unequal (X074).
func Equal(left, right Value) bool {
	switch left.kind {
	case Null:
		return right.isNull()
	case Boolean:
		return left.boolean == right.Truthy()
	case Number:
		number, ok := right.asNumber()
		return ok && left.number.Cmp(number) == 0
	case String:
		text, ok := right.Text()
		return ok && compareText(left.text, text) == 0
	case Version:
		v, ok := right.asVersion()
		return ok && left.version == v
	case DateTime:
		t, ok := right.asTime()
		return ok && left.time.Equal(t)
	case Array:
		return right.kind == Array && left.array == right.array
	}
	return right.kind == Object && left.object == right.object
}

// compareValues orders two values the way gt, ge, lt and le do. ok is false when the
// right one cannot be converted, which those functions report as an error (X076).
func compareValues(left, right Value) (order int, ok bool) {
	switch left.kind {
	case Boolean:
		l, _ := left.asNumber()
		r, _ := NewBoolean(right.Truthy()).asNumber()
		return l.Cmp(r), true
	case Number, Null, Array, Object:
		l, ok := left.asNumber()
		if !ok {
			return 0, false
		}
		r, ok := right.asNumber()
		if !ok {
			return 0, false
		}
		return l.Cmp(r), true
	case String:
		text, ok := right.Text()
		return compareText(left.text, text), ok
	case Version:
		v, ok := right.asVersion()
		return left.version.compare(v), ok
	}
	t, ok := right.asTime()
	return left.time.Compare(t), ok
}

// compareText orders two strings by code unit after folding to upper case, as
// "ordinal, ignore case" does.
func compareText(a, b string) int {
	if a == b {
		return 0
	}
	return cmp.Compare(strings.ToUpper(a), strings.ToUpper(b))
}

func foldContains(s, part string) bool {
	return strings.Contains(strings.ToUpper(s), strings.ToUpper(part))
}

func foldPrefix(s, part string) bool {
	return strings.HasPrefix(strings.ToUpper(s), strings.ToUpper(part))
}

func foldSuffix(s, part string) bool {
	return strings.HasSuffix(strings.ToUpper(s), strings.ToUpper(part))
}

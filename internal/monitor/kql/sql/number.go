package sql

import (
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// scalar writes a call. The kind of the result is the call's.
type scalar func(e *emitter, c *ir.Call, in []cell) (cell, error)

// scalars are the functions and operators that engines answer as the executor does.
func scalars() map[string]scalar {
	return map[string]scalar{
		"==": equality, "!=": equality, "<": ordering, "<=": ordering, ">": ordering, ">=": ordering,
		"between": between, "!between": between, "and": logic, "or": logic, "not": not, "=~": equalFold, "!~": equalFold,
		"in": membership, "!in": membership, "in~": membership, "!in~": membership,
		"iff": choice, "iif": choice, "case": choice, "coalesce": coalesce,
		"isnull": missing, "isnotnull": missing, "isempty": missing, "isnotempty": missing,
		"has": matcher, "!has": matcher, "has_cs": matcher, "!has_cs": matcher,
		"contains": matcher, "!contains": matcher, "contains_cs": matcher, "!contains_cs": matcher,
		"startswith": matcher, "!startswith": matcher, "startswith_cs": matcher, "!startswith_cs": matcher,
		"endswith": matcher, "!endswith": matcher, "endswith_cs": matcher, "!endswith_cs": matcher,
		"hasprefix": matcher, "!hasprefix": matcher, "hasprefix_cs": matcher, "!hasprefix_cs": matcher,
		"hassuffix": matcher, "!hassuffix": matcher, "hassuffix_cs": matcher, "!hassuffix_cs": matcher,
		"has_any": hasList, "has_all": hasList, "matches regex": matchesRegex, "extract": extract,
		"tostring": toString, "strcat": strcat, "strlen": strlen, "tolower": toLower, "substring": substring, "replace_string": replaceString,
		"+": arithmetic, "-": arithmetic, "*": arithmetic, "/": arithmetic, "%": arithmetic, "unary-": negate, "abs": absolute,
		"bin": bin, "bin_at": bin, "floor": bin,
		"toint": toNumber, "tolong": toNumber, "toreal": toNumber, "todouble": toNumber, "todatetime": same, "totimespan": same, "tobool": same,
		"datetime_diff": dateDiff, "startofday": startOf, "startofweek": startOf, "endofday": startOf, "endofweek": startOf,
		"dayofweek": dayOfWeek, "hourofday": hourOfDay,
	}
}

// risky refuses what may end in an error of the engine when the plan is a careful one.
func (e *emitter) risky(at ir.Span) error {
	if e.o.Careful {
		return refuse(at, "what an engine may refuse to compute")
	}
	return nil
}

// moment makes what lies outside of the range of datetime null.
func moment(s string) string {
	return fmt.Sprintf("(CASE WHEN %s BETWEEN 0 AND %d THEN %s END)", s, value.MaxDateTime, s)
}

// arithmetic: whole numbers that overflow wrap in Kusto and end in an error here, after
// which the runner asks again with a careful plan.
func arithmetic(e *emitter, c *ir.Call, in []cell) (cell, error) {
	if err := e.risky(c.Where()); err != nil {
		return cell{}, err
	}
	args, err := e.args(c, in)
	if err != nil {
		return cell{}, err
	}
	a, b := args[0], args[1]
	null := a.null || b.null
	if isReal(c.K) {
		x, ok1 := e.as(a, c.K)
		y, ok2 := e.as(b, c.K)
		if !ok1 || !ok2 || c.Func == "%" {
			return cell{}, refuse(c.Where(), "%s %s %s", a.kind, c.Func, b.kind)
		}
		return cell{sql: "(" + x.sql + " " + c.Func + " " + y.sql + ")", null: null}, nil
	}
	if !isWhole(c.K) && !isTime(c.K) || !(isWhole(a.kind) || isTime(a.kind)) || !(isWhole(b.kind) || isTime(b.kind)) {
		return cell{}, refuse(c.Where(), "%s %s %s", a.kind, c.Func, b.kind)
	}
	if c.K != table.Int {
		// An operation of two INTEGERs would be one, and overflow sooner.
		if x, ok := e.as(a, table.Long); ok {
			a = x
		}
		if x, ok := e.as(b, table.Long); ok {
			b = x
		}
	}
	var s string
	switch c.Func {
	case "/":
		s, null = e.d.Divide(a.sql, b.sql), true
	case "%":
		m := e.d.Cast("abs("+b.sql+")", table.Long)
		s, null = e.d.Modulo("("+e.d.Modulo(a.sql, b.sql)+" + "+m+")", m), true
	default:
		s = "(" + a.sql + " " + c.Func + " " + b.sql + ")"
	}
	switch {
	case c.K == table.Int:
		s = e.d.Cast(s, table.Int)
	case c.K == table.DateTime:
		s, null = moment(s), true
	case e.d.Name() == "clickhouse":
		s = e.d.Cast(s, table.Long)
	}
	return cell{sql: s, null: null}, nil
}

func negate(e *emitter, c *ir.Call, in []cell) (cell, error) {
	if err := e.risky(c.Where()); err != nil {
		return cell{}, err
	}
	args, err := e.args(c, in)
	if err != nil {
		return cell{}, err
	}
	if a := args[0]; a.kind == c.K && (isWhole(a.kind) || isReal(a.kind) || a.kind == table.TimeSpan) {
		return cell{sql: "(- " + a.sql + ")", null: a.null}, nil
	}
	return cell{}, refuse(c.Where(), "minus of %s", args[0].kind)
}

func absolute(e *emitter, c *ir.Call, in []cell) (cell, error) {
	if err := e.risky(c.Where()); err != nil {
		return cell{}, err
	}
	args, err := e.args(c, in)
	if err != nil {
		return cell{}, err
	}
	if a, ok := e.as(args[0], c.K); ok && (isWhole(c.K) || isReal(c.K) || c.K == table.TimeSpan) {
		return cell{sql: e.d.Cast("abs("+a.sql+")", c.K), null: a.null}, nil
	}
	return cell{}, refuse(c.Where(), "abs of %s", args[0].kind)
}

// bin rounds down to a constant multiple, bin_at to one away from a constant point.
func bin(e *emitter, c *ir.Call, in []cell) (cell, error) {
	if len(c.Args) < 2 {
		return cell{}, refuse(c.Where(), "%s of one argument", c.Func)
	}
	x, err := e.expr(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	if isReal(c.K) {
		return e.binReal(c, x)
	}
	size, err := e.number(c.Args[1])
	if err != nil {
		return cell{}, err
	}
	x, fits := e.as(x, c.K)
	if size <= 0 || !fits || !(isWhole(x.kind) || isTime(x.kind)) || isTime(x.kind) != (c.Args[1].Kind() == table.TimeSpan) {
		return cell{}, refuse(c.Where(), "bin of %s by %d", x.kind, size)
	}
	at := int64(0)
	if len(c.Args) > 2 {
		if at, err = e.number(c.Args[2]); err != nil {
			return cell{}, err
		}
		at = at % size
	}
	if x.kind == table.DateTime && at == 0 {
		// Moments are never negative.
		return cell{sql: fmt.Sprintf("(%s - %s)", x.sql, e.d.Modulo(x.sql, fmt.Sprint(size))), null: x.null}, nil
	}
	if err := e.risky(c.Where()); err != nil {
		return cell{}, err
	}
	s := e.d.Number(table.Long, size)
	from := x.sql
	if at != 0 {
		from = "(" + x.sql + " - " + e.d.Number(table.Long, at) + ")"
	}
	rest := e.d.Modulo("("+e.d.Modulo(from, s)+" + "+s+")", s)
	return cell{sql: e.d.Cast("("+x.sql+" - "+rest+")", c.K), null: x.null}, nil
}

func (e *emitter) binReal(c *ir.Call, x cell) (cell, error) {
	l := e.lit(c.Args[1])
	if l == nil || len(c.Args) > 2 {
		return cell{}, refuse(c.Where(), "bin by what is not constant")
	}
	size, ok := l.Value.(float64)
	if n, whole := l.Value.(int64); whole && isWhole(l.K) {
		size, ok = float64(n), true
	}
	x, fits := e.as(x, c.K)
	if !ok || !fits || !(size > 0) {
		return cell{}, refuse(c.Where(), "bin of %s", x.kind)
	}
	s := e.d.Real(size)
	return cell{sql: "(" + e.d.Floor(x.sql+" / "+s) + " * " + s + " + " + e.d.Real(0) + ")", null: x.null}, nil
}

// same is a conversion of a value to the type that it has.
func same(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.expr(c.Args[0], in)
	if err == nil && x.kind != c.K {
		err = refuse(c.Where(), "%s of %s", c.Func, x.kind)
	}
	return x, err
}

// toNumber is toint, tolong and toreal.
func toNumber(e *emitter, c *ir.Call, in []cell) (cell, error) {
	if err := e.risky(c.Where()); err != nil {
		return cell{}, err
	}
	if m, ok := c.Args[0].(*ir.Call); ok && (m.Func == "." || m.Func == "[]") {
		return e.memberNumber(m, c.K, in)
	}
	x, err := e.expr(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	switch {
	case x.kind == c.K:
		return x, nil
	case x.kind == table.String:
		return cell{sql: e.readNumber(x.sql, c.K, ""), null: true}, nil
	case isReal(c.K) && (isWhole(x.kind) || isTime(x.kind)):
		return cell{sql: e.d.Cast(x.sql, table.Real), null: x.null}, nil
	case c.K == table.Long && (x.kind == table.Int || isTime(x.kind)):
		return cell{sql: e.d.Cast(x.sql, table.Long), null: x.null}, nil
	case c.K == table.Int && x.kind == table.Long:
		return cell{sql: e.narrow(x.sql), null: true}, nil
	case isWhole(c.K) && isReal(x.kind):
		return cell{sql: e.cut(x.sql, c.K), null: true}, nil
	}
	return cell{}, refuse(c.Where(), "%s of %s", c.Func, x.kind)
}

// narrow makes a long an int, null when it does not fit.
func (e *emitter) narrow(x string) string {
	return "(CASE WHEN " + x + " BETWEEN -2147483648 AND 2147483647 THEN " + e.d.Cast(x, table.Int) + " END)"
}

// cut makes a real a whole number, null when it does not fit.
func (e *emitter) cut(x string, k table.Kind) string {
	lo, hi := "-9.2e18", "9.2e18"
	if k == table.Int {
		lo, hi = "-2147483649", "2147483648"
	}
	s := "(CASE WHEN " + x + " > " + lo + " AND " + x + " < " + hi + " THEN " + e.d.Cast("trunc("+x+")", k)
	if k == table.Long {
		// The last few below 2^63 are the executor's.
		when := "abs(" + x + ") >= 9.2e18 AND abs(" + x + ") < 9.3e18"
		s += " WHEN " + when + " THEN " + e.d.GiveUp(k, when)
	}
	return s + " END)"
}

// The forms of numbers in texts that every engine reads alike, and characters that no form
// of a number has. What is neither makes the engine give up.
const (
	plainWhole = `^[+-]?[0-9]{1,18}$`
	plainReal  = `^[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$`
	noNumber   = "^[^0-9]*$|[g-wyzG-WYZ_!\"#$%&'()*,/:;<=>?@\\[\\]^`{|}~]|^[^xX]*[a-dfA-DF][^xX]*$"
)

// readNumber reads a number in a text, null when there is none. guard is a condition under
// which it is read at all, "" for none.
func (e *emitter) readNumber(x string, k table.Kind, guard string) string {
	form, odd := plainWhole, "FALSE"
	read := e.d.Cast(x, table.Long)
	switch {
	case isReal(k):
		form, read = plainReal, e.d.Cast(x, k)
		odd = e.d.Lower(x) + " IN ('nan', 'inf', '+inf', '-inf', 'infinity', '+infinity', '-infinity')"
	case k == table.Int:
		read = e.narrow(read)
	}
	plain, none := e.d.Matches(x, e.d.Text(form)), "(NOT "+odd+" AND "+e.d.Matches(x, e.d.Text(noNumber))+")"
	when := "NOT " + plain + " AND NOT " + none
	if guard != "" {
		when = guard + " AND " + when
	}
	return "(CASE WHEN " + plain + " THEN " + read + " WHEN " + none + " THEN " + e.d.Null(k) + " ELSE " + e.d.GiveUp(k, when) + " END)"
}

// memberNumber is toint, tolong or toreal of a member of a dynamic.
func (e *emitter) memberNumber(c *ir.Call, k table.Kind, in []cell) (cell, error) {
	x, path, err := e.path(c, in)
	if err != nil {
		return cell{}, err
	}
	text, kind := e.d.MemberText(x.sql, path), e.d.MemberType(x.sql, path)
	whole, real := e.d.Cast(text, table.Long), e.d.Cast(text, table.Real)
	switch {
	case isReal(k):
		whole = real
	case k == table.Int:
		whole, real = e.narrow(whole), e.cut(real, k)
	default:
		real = e.cut(real, k)
	}
	one, zero := e.d.Cast("1", k), e.d.Cast("0", k)
	s := "(CASE WHEN " + e.structured(x.sql) + " THEN (CASE"
	for _, branch := range [][2]string{
		{"integer", whole}, {"real", real}, {"string", e.readNumber(text, k, kind+" = 'string'")}, {"bool", "(CASE WHEN " + text + " = 'true' THEN " + one + " ELSE " + zero + " END)"}, {"big", e.d.GiveUp(k, kind+" = 'big'")},
	} {
		s += " WHEN " + kind + " = '" + branch[0] + "' THEN " + branch[1]
	}
	s += " END) END)"
	return cell{sql: s, null: true}, nil
}

func dateDiff(e *emitter, c *ir.Call, in []cell) (cell, error) {
	unit, err := e.word(c.Args[0])
	if err != nil {
		return cell{}, err
	}
	ticks, ok := value.UnitTicks(strings.ToLower(unit))
	if !ok {
		return cell{}, refuse(c.Where(), "datetime_diff in %s", unit)
	}
	var parts [2]string
	null := false
	for i := range parts {
		x, err := e.expr(c.Args[i+1], in)
		if err != nil {
			return cell{}, err
		}
		if x.kind != table.DateTime {
			return cell{}, refuse(c.Where(), "datetime_diff of %s", x.kind)
		}
		if ticks == 7*value.Day { // weeks begin on Sunday; day 0 was a Monday
			x.sql = fmt.Sprintf("(%s + %d)", x.sql, value.Day)
		}
		parts[i], null = e.d.Divide(x.sql, fmt.Sprint(ticks)), null || x.null
	}
	return cell{sql: "(" + parts[0] + " - " + parts[1] + ")", null: null}, nil
}

// date writes an argument that must be a moment.
func (e *emitter) date(c *ir.Call, n int, in []cell) (cell, error) {
	x, err := e.expr(c.Args[n], in)
	if err == nil && x.kind != table.DateTime {
		err = refuse(c.Where(), "%s of %s", c.Func, x.kind)
	}
	return x, err
}

func startOf(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.date(c, 0, in)
	if err != nil {
		return cell{}, err
	}
	offset := int64(0)
	if len(c.Args) > 1 {
		if offset, err = e.number(c.Args[1]); err != nil {
			return cell{}, err
		}
	}
	if offset > 1e6 || offset < -1e6 {
		return cell{}, refuse(c.Where(), "an offset of %d", offset)
	}
	unit, before := value.Day, int64(0)
	if strings.HasSuffix(c.Func, "week") {
		unit = 7 * value.Day
		before = value.Day
	}
	add := offset * unit
	if strings.HasPrefix(c.Func, "endof") {
		add += unit - 1
	}
	rest := e.d.Modulo(fmt.Sprintf("(%s + %d)", x.sql, before), fmt.Sprint(unit))
	return cell{sql: moment(fmt.Sprintf("(%s - %s + %s)", x.sql, rest, e.d.Number(table.Long, add))), null: true}, nil
}

func dayOfWeek(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.date(c, 0, in)
	if err != nil || c.K != table.TimeSpan {
		return cell{}, refuse(c.Where(), "dayofweek")
	}
	day := e.d.Modulo("("+e.d.Divide(x.sql, fmt.Sprint(value.Day))+" + 1)", "7")
	return cell{sql: fmt.Sprintf("(%s * %d)", day, value.Day), null: x.null}, nil
}

func hourOfDay(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.date(c, 0, in)
	if err != nil || !isWhole(c.K) {
		return cell{}, refuse(c.Where(), "hourofday")
	}
	return cell{sql: e.d.Cast(e.d.Modulo(e.d.Divide(x.sql, fmt.Sprint(value.Hour)), "24"), c.K), null: x.null}, nil
}

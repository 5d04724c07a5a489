package bind

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// origin says where a column's name comes from: that decides what happens when two meet.
type origin uint8

const (
	nameless origin = iota // Column1
	given                  // written: a = x, or a itself
	derived                // taken from a function's argument: tostring(a)
	prefixed               // made: sum_a
)

// legacyScalars are the older names of functions.
var legacyScalars = map[string]string{
	"iif": "iff", "todouble": "toreal", "toboolean": "tobool", "todynamic": "parse_json", "toobject": "parse_json", "parsejson": "parse_json",
	"extractjson": "extract_json", "parseurl": "parse_url", "parseurlquery": "parse_urlquery", "notempty": "isnotempty", "notnull": "isnotnull",
	"extractall": "extract_all", "pack": "bag_pack", "pack_dictionary": "bag_pack", "array_strcat": "strcat_array", "arraylength": "array_length",
	"weekofyear": "week_of_year", "datepart": "datetime_part", "columnifexists": "column_ifexists", "merge_tdigest": "tdigest_merge",
	"totime": "totimespan", "array_iif": "array_iff", "floor": "bin", "base64_encodestring": "base64_encode_tostring",
	"base64_decodestring": "base64_decode_tostring", "make_string": "unicode_codepoints_to_string", "to_utf8": "unicode_codepoints_from_string",
	"row_rank": "row_rank_dense",
}

// legacyAggregates are the older names of aggregates.
var legacyAggregates = map[string]string{
	"any": "take_any", "anyif": "take_anyif", "makelist": "make_list", "makeset": "make_set", "argmax": "arg_max", "argmin": "arg_min",
	"make_dictionary": "make_bag", "cnt": "count", "merge_tdigest": "tdigest_merge",
}

// nameOf is the automatic name of an expression, as Kusto makes it.
func nameOf(x syntax.Expr) (string, origin) {
	switch x := x.(type) {
	case *syntax.Paren:
		return nameOf(x.X)
	case *syntax.Ident:
		return x.Name, given
	case *syntax.Path:
		if base, o := nameOf(x.X); o != nameless {
			return base + "_" + x.Name.Name, derived
		}
		if _, isCall := x.X.(*syntax.Call); !isCall {
			break
		}
	case *syntax.Index:
		base, o := nameOf(x.X)
		lit, ok := x.I.(*syntax.Lit)
		if o == nameless || !ok {
			break
		}
		switch v := lit.Value.(type) {
		case string:
			return base + "_" + v, derived
		case int64:
			return base + "_" + strconv.FormatInt(v, 10), derived
		}
	case *syntax.Call:
		return nameOfCall(x)
	}
	return "", nameless
}

func nameOfCall(x *syntax.Call) (string, origin) {
	name := x.Name.Name
	if name == "column_ifexists" || name == "columnifexists" {
		if lit, ok := litOf(x.Args, 0); ok {
			return lit, given
		}
	}
	if s := lookup(scalars, current(legacyScalars, name)); s != nil {
		return s.nameWith(x, firstName(x))
	}
	return nameOfAggregate(x)
}

// firstName is the name of a call's first argument, "" when it has none.
func firstName(x *syntax.Call) string {
	if len(x.Args) == 0 {
		return ""
	}
	name, o := nameOf(x.Args[0])
	if o == nameless {
		return ""
	}
	return name
}

// nameOfAggregate is nameOfCall where an aggregate is meant: some names mean both.
func nameOfAggregate(x *syntax.Call) (string, origin) {
	name := x.Name.Name
	s := lookup(aggregates, current(legacyAggregates, name))
	if s == nil {
		return "", nameless
	}
	if prefix, legacy := map[string]string{"any": "any", "anyif": "anyif", "argmax": "max", "argmin": "min", "cnt": "cnt", "make_dictionary": "dictionary"}[name]; legacy {
		return prefix + "_" + firstName(x), prefixed
	}
	return s.nameWith(x, firstName(x))
}

// nameWith applies the naming rule of a signature.
func (s *signature) nameWith(x *syntax.Call, first string) (string, origin) {
	switch {
	case s.name == "arg_max" || s.name == "arg_min":
		if first == "" {
			return strings.TrimPrefix(s.name, "arg_") + "_", prefixed
		}
		return first, derived
	case s.name == "take_any" || s.naming == "first":
		if first == "" {
			return "", nameless
		}
		return first, derived
	case s.naming == "name":
		return s.name + "_" + first, prefixed
	case s.naming == "percentile":
		at := 1
		if strings.HasSuffix(s.name, "w") {
			at = 2
		}
		return percentileName(first, x.Args, at), prefixed
	case strings.HasPrefix(s.naming, "!"):
		return s.naming[1:], prefixed
	case strings.HasPrefix(s.naming, "="):
		return s.naming[1:] + "_" + first, prefixed
	}
	return "", nameless
}

// percentileName is percentile_x_50: a point in the number becomes an underscore.
func percentileName(first string, args []syntax.Expr, at int) string {
	p := ""
	if at < len(args) {
		if lit, ok := args[at].(*syntax.Lit); ok {
			switch v := lit.Value.(type) {
			case int64:
				p = strconv.FormatInt(v, 10)
			case float64:
				p = strconv.FormatFloat(v, 'f', -1, 64)
			}
		}
	}
	return "percentile_" + first + "_" + strings.ReplaceAll(p, ".", "_")
}

func litOf(args []syntax.Expr, i int) (string, bool) {
	if i >= len(args) {
		return "", false
	}
	lit, ok := args[i].(*syntax.Lit)
	if !ok {
		return "", false
	}
	s, ok := lit.Value.(string)
	return s, ok && lit.Kind == table.String
}

func current(legacy map[string]string, name string) string {
	if n := legacy[name]; n != "" {
		return n
	}
	return name
}

// namer gives the columns of a result names that differ.
type namer struct {
	taken   map[string]origin
	columns int // how many have been called Column…
}

func newNamer() *namer { return &namer{taken: map[string]origin{}} }

// give returns the name for a column; clash is true when it is written twice.
func (n *namer) give(name string, o origin) (string, bool) {
	if o == nameless {
		for {
			n.columns++
			name = "Column" + strconv.Itoa(n.columns)
			if _, is := n.taken[name]; !is {
				break
			}
		}
		n.taken[name] = o
		return name, false
	}
	had, is := n.taken[name]
	if !is {
		n.taken[name] = o
		return name, false
	}
	if o == given && (had == given || had == derived) || o == derived && had == given {
		return name, true
	}
	return n.number(name, o), false
}

// number puts the first number that is free behind a name.
func (n *namer) number(name string, o origin) string {
	for i := 1; ; i++ {
		numbered := name + strconv.Itoa(i)
		if _, is := n.taken[numbered]; !is {
			n.taken[numbered] = o
			return numbered
		}
	}
}

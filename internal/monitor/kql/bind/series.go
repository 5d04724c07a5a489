package bind

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// seriesResults are the columns that a function with several results makes, nil for others.
// The function itself returns an array of them, in this order.
func seriesResults(name string) []table.Column {
	const r, l, d = table.Real, table.Long, table.Dynamic
	cols := func(text string) []table.Column {
		var out []table.Column
		for _, f := range strings.Fields(text) {
			n, k, ok := strings.Cut(f, ":")
			c := table.Column{Name: n, Kind: r}
			if ok {
				c.Kind = map[string]table.Kind{"l": l, "d": d}[k]
			}
			out = append(out, c)
		}
		return out
	}
	switch name {
	case "series_fit_line":
		return cols("rsquare slope variance rvariance interception line_fit:d")
	case "series_fit_2lines":
		return cols("rsquare split_idx:l variance rvariance line_fit:d right_rsquare right_slope right_interception right_variance right_rvariance " +
			"left_rsquare left_slope left_interception left_variance left_rvariance")
	case "series_stats":
		return cols("min min_idx:l max max_idx:l avg stdev variance")
	case "series_decompose", "series_decompose_forecast":
		if name == "series_decompose_forecast" {
			return cols("forecast:d seasonal:d trend:d residual:d")
		}
		return cols("baseline:d seasonal:d trend:d residual:d")
	case "series_decompose_anomalies":
		return cols("ad_flag:d ad_score:d baseline:d")
	case "series_periods_detect", "series_periods_validate":
		return cols("periods:d scores:d")
	case "series_fft", "series_ifft":
		return cols("real:d imag:d")
	case "series_fit_poly":
		return cols("rsquare coefficients:d variance rvariance poly_fit:d")
	}
	return nil
}

// seriesItems binds a function with several results into a column each, nil for others.
func (b *binder) seriesItems(x *syntax.Call, s *scope, r *row) []item {
	if s.find(x.Name.Name) != nil {
		return nil
	}
	cols := seriesResults(x.Name.Name)
	sorts := x.Name.Name == "array_sort_asc" || x.Name.Name == "array_sort_desc"
	if cols == nil && !sorts {
		return nil
	}
	e := b.scalar(x, s, r)
	if e.Kind() == table.Unknown {
		return []item{{expr: e, at: x.Span}}
	}
	first := ""
	if len(x.Args) > 0 {
		first, _ = nameOf(x.Args[0])
	}
	call, ok := e.(*ir.Call)
	if !ok {
		return []item{{expr: e, at: x.Span}}
	}
	at := ir.At{Span: x.Span}
	if sorts {
		return b.sorted(x, call)
	}
	var out []item
	for i, c := range cols {
		part := &ir.Nth{At: at, K: c.Kind, Call: call, N: i}
		name := c.Name
		if name == "forecast" {
			name = "baseline"
		}
		out = append(out, item{expr: part, name: x.Name.Name + "_" + first + "_" + name, origin: prefixed, at: x.Span})
	}
	return out
}

// sorted are the results of array_sort_asc and _desc: an array per array given. With one
// array the call itself is the result.
func (b *binder) sorted(x *syntax.Call, call *ir.Call) []item {
	at := ir.At{Span: x.Span}
	arrays := 0
	for _, a := range call.Args {
		if a.Kind() == table.Dynamic {
			arrays++
		}
	}
	var out []item
	seen := map[string]bool{}
	for i := range arrays {
		name, o := nameOf(x.Args[i])
		if o != nameless {
			name += "_sorted"
			o = prefixed
			if seen[name] {
				name += strconv.Itoa(i)
			}
			seen[name] = true
		}
		part := ir.Expr(call)
		if arrays > 1 {
			part = &ir.Nth{At: at, K: table.Dynamic, Call: call, N: i}
		}
		out = append(out, item{expr: part, name: name, origin: o, at: x.Span})
	}
	return out
}

// makeSeries binds make-series. The tree has the axis before the aggregates; the service
// shows it behind them.
func (b *binder) makeSeries(in ir.Rel, op *syntax.MakeSeries, s *scope) ir.Rel {
	r := rowOf(in.Columns())
	m := &ir.MakeSeries{In: in}
	n := newNamer()
	var cols []table.Column
	for _, it := range b.items(op.By, s, r) {
		name, clash := n.give(it.name, it.origin)
		if clash {
			b.errorf(it.at, "give one of them another name", "there are two columns %q", name)
		}
		m.Keys = append(m.Keys, ir.Named{Name: name, Expr: it.expr})
		cols = append(cols, table.Column{Name: name, Kind: it.expr.Kind()})
	}
	axis := b.items([]syntax.Expr{op.Axis}, s, r)[0]
	aggs := &aggregation{in: r, made: 0}
	var items []item
	for _, a := range op.Aggs {
		got := b.items([]syntax.Expr{a.Expr}, s, &row{cols: r.cols, aggs: aggs})
		constant(aggs, got)
		items = append(items, got...)
		for range got {
			var d ir.Expr
			if a.Default != nil {
				d = b.scalar(a.Default, s, nil)
			}
			m.Defaults = append(m.Defaults, d)
		}
	}
	if !b.seriesAggs(m, aggs, items, n) {
		return nil
	}
	m.Axis.Expr = axis.expr
	m.Axis.Name, _ = n.give(axis.name, prefixed)
	b.seriesBounds(m, op, s)
	keys := len(cols)
	cols = append(cols, table.Column{Name: m.Axis.Name, Kind: table.Dynamic})
	for _, a := range m.Aggs {
		cols = append(cols, table.Column{Name: a.Names[0], Kind: table.Dynamic})
	}
	m.Out = out(op.Span, cols)
	kind, at := optionWord(op.Options, "kind")
	m.NonEmpty = kind == "nonempty"
	if kind != "" && !m.NonEmpty {
		b.errorf(at, "", "there is no kind %q of make-series", kind)
	}
	var places []int
	for i := range cols {
		if i != keys {
			places = append(places, i)
		}
	}
	return pick(m, op.Span, append(places, keys))
}

// constant turns a value without an aggregate into one, so that it stands where rows are.
func constant(aggs *aggregation, items []item) {
	if len(items) != 1 || items[0].expr.Kind() == table.Unknown {
		return
	}
	if _, ok := items[0].expr.(*ir.Lit); !ok {
		return
	}
	k := items[0].expr.Kind()
	aggs.list = append(aggs.list, ir.Agg{At: ir.At{Span: items[0].at}, Func: "take_any", Args: []ir.Expr{items[0].expr}, Kinds: []table.Kind{k}})
	items[0].expr = &ir.Col{At: ir.At{Span: items[0].at}, K: k, Index: aggs.made}
	aggs.made++
}

// seriesAggs names the aggregates of make-series. Each must be one aggregate with one result.
func (b *binder) seriesAggs(m *ir.MakeSeries, aggs *aggregation, items []item, n *namer) bool {
	for i, it := range items {
		c, ok := it.expr.(*ir.Col)
		if !ok || c.Index != i || len(items) != len(aggs.list) || len(aggs.list[i].Kinds) != 1 {
			b.errorf(it.at, "compute it with extend, after make-series", "make-series takes aggregates with one value, alone")
			return false
		}
		name, clash := n.give(it.name, it.origin)
		if clash {
			b.errorf(it.at, "give one of them another name", "there are two columns %q", name)
		}
		a := aggs.list[i]
		a.Names, a.Kinds = []string{name}, []table.Kind{a.Kinds[0]}
		m.Aggs = append(m.Aggs, a)
		if m.Defaults[i] != nil && numeric(m.Defaults[i].Kind()) && numeric(a.Kinds[0]) {
			m.Defaults[i] = b.cast(m.Defaults[i], max(a.Kinds[0], m.Defaults[i].Kind()))
		}
	}
	return true
}

func (b *binder) seriesBounds(m *ir.MakeSeries, op *syntax.MakeSeries, s *scope) {
	bound := func(x syntax.Expr) ir.Expr {
		if x == nil {
			return nil
		}
		return b.scalar(x, s, nil)
	}
	if len(op.InRange) == 3 {
		// The older form's stop is inclusive: one tick, or one, is added.
		m.From, m.To, m.Step = bound(op.InRange[0]), bound(op.InRange[1]), bound(op.InRange[2])
		at := ir.At{Span: op.Span}
		if m.To.Kind() == table.DateTime {
			m.To = &ir.Call{At: at, K: table.DateTime, Func: "+", Args: []ir.Expr{m.To, &ir.Lit{At: at, K: table.TimeSpan, Value: int64(1)}}}
		}
	} else {
		m.From, m.To, m.Step = bound(op.From), bound(op.To), bound(op.Step)
	}
	axis := m.Axis.Expr.Kind()
	fits := func(e ir.Expr, k table.Kind) bool {
		return e == nil || e.Kind() == table.Unknown || axis == table.Unknown || e.Kind() == k || numeric(e.Kind()) && numeric(k)
	}
	step := axis
	if axis == table.DateTime {
		step = table.TimeSpan
	}
	if !numeric(axis) && axis != table.DateTime && axis != table.TimeSpan && axis != table.Unknown {
		b.errorf(op.Axis.Where(), "", "the axis must be a datetime, a timespan or a number, not %s", axis)
		return
	}
	if !fits(m.From, axis) || !fits(m.To, axis) || !fits(m.Step, step) {
		b.errorf(op.Span, "", "from, to and step do not fit an axis of type %s", axis)
	}
}

func (b *binder) topNested(in ir.Rel, op *syntax.TopNested, s *scope) ir.Rel {
	r := rowOf(in.Columns())
	t := &ir.TopNested{In: in}
	n := newNamer()
	var cols []table.Column
	for _, l := range op.Levels {
		lv := ir.Level{Asc: l.By.Order == "asc"}
		if l.N != nil {
			lv.N = b.number(l.N, s)
		}
		by := b.items([]syntax.Expr{l.Of}, s, r)[0]
		b.groupable(by)
		lv.By.Name, _ = n.give(by.name, by.origin)
		lv.By.Expr = by.expr
		if l.Others != nil {
			lv.Others = b.cast(b.scalar(l.Others, s, nil), by.expr.Kind())
		}
		aggs := &aggregation{in: r}
		it := b.items([]syntax.Expr{l.By.Expr}, s, &row{cols: r.cols, aggs: aggs})
		if len(aggs.list) != 1 || len(it) != 1 || len(aggs.list[0].Kinds) != 1 {
			b.errorf(l.By.Span, "", "top-nested takes one aggregate per level")
			return nil
		}
		if _, plain := it[0].expr.(*ir.Col); !plain {
			b.errorf(l.By.Span, "", "top-nested takes an aggregate alone")
			return nil
		}
		lv.Agg = aggs.list[0]
		name := "aggregated_" + lv.By.Name
		if x, ok := l.By.Expr.(*syntax.Named); ok {
			name = x.Names[0].Name
		}
		name, _ = n.give(name, prefixed)
		lv.Agg.Names = []string{name}
		cols = append(cols, table.Column{Name: lv.By.Name, Kind: by.expr.Kind()}, table.Column{Name: name, Kind: lv.Agg.Kinds[0]})
		t.Levels = append(t.Levels, lv)
	}
	t.Out = out(op.Span, cols)
	return t
}

func (b *binder) topHitters(in ir.Rel, op *syntax.TopHitters, s *scope) ir.Rel {
	r := rowOf(in.Columns())
	b.plainColumn(op.Of)
	of := b.items([]syntax.Expr{op.Of}, s, r)[0]
	b.groupable(of)
	t := &ir.TopHitters{In: in, N: b.number(op.N, s), Of: of.expr}
	name, _ := newNamer().give(of.name, of.origin)
	second := table.Column{Name: "approximate_count_" + name, Kind: table.Long}
	if op.By != nil {
		by := b.items([]syntax.Expr{op.By}, s, r)[0]
		t.By = by.expr
		second = table.Column{Name: "approximate_sum_" + by.name, Kind: by.expr.Kind()}
	}
	t.Out = out(op.Span, []table.Column{{Name: name, Kind: of.expr.Kind()}, second})
	return t
}

func (b *binder) reduce(in ir.Rel, op *syntax.Reduce, s *scope) ir.Rel {
	x := op.By
	if n, ok := x.(*syntax.Named); ok {
		x = n.X
	}
	n := &ir.Reduce{In: in, Expr: b.cast(b.scalar(x, s, rowOf(in.Columns())), table.String)}
	for _, o := range op.Options {
		switch o.Name {
		case "threshold":
			n.Threshold = b.cast(b.scalar(o.Value, s, nil), table.Real)
		case "characters":
			n.Chars, _ = optionWord([]syntax.Option{o}, "characters")
		default:
			if !strings.HasPrefix(o.Name, "hint.") {
				b.errorf(o.Span, "", "reduce with %s is not supported", o.Name)
			}
		}
	}
	n.Out = out(op.Span, []table.Column{{Name: "Pattern", Kind: table.String}, {Name: "Count", Kind: table.Long}, {Name: "Representative", Kind: table.String}})
	return n
}

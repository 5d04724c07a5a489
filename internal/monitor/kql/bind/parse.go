package bind

import (
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// place puts a column of a type into a schema: in the place of one of its name, or at the
// end. It returns the place.
func place(cols *[]table.Column, name string, k table.Kind) int {
	for i, c := range *cols {
		if c.Name == name {
			(*cols)[i].Kind = k
			return i
		}
	}
	*cols = append(*cols, table.Column{Name: name, Kind: k})
	return len(*cols) - 1
}

func (b *binder) parse(in ir.Rel, op *syntax.ParseText, s *scope) ir.Rel {
	p := &ir.Parse{Out: out(op.Span, append([]table.Column(nil), in.Columns()...)), In: in, Kind: "simple", Must: op.Must}
	kind, at := optionWord(op.Options, "kind")
	switch kind {
	case "":
	case "simple", "relaxed", "regex":
		p.Kind = kind
	default:
		b.errorf(at, "", "there is no kind %q of parse", kind)
	}
	p.Flags, _ = optionWord(op.Options, "flags")
	p.Expr = b.scalar(op.Expr, s, rowOf(in.Columns()))
	if k := p.Expr.Kind(); k == table.Dynamic {
		p.Expr = b.cast(p.Expr, table.String)
	} else if k != table.String && k != table.Unknown {
		b.errorf(op.Expr.Where(), "make a text of it with tostring", "parse reads a text, not a value of type %s", k)
	}
	for _, part := range op.Parts {
		switch {
		case part.Text != nil:
			text, _ := part.Text.Value.(string)
			p.Parts = append(p.Parts, ir.Part{Text: text, Place: -1})
		case part.Star:
			p.Parts = append(p.Parts, ir.Part{Star: true, Place: -1})
		case part.Column != nil:
			k := part.Kind
			if k == table.Unknown {
				k = table.String
			}
			p.Parts = append(p.Parts, ir.Part{Place: place(&p.Cols, part.Column.Name, k), To: k})
		}
	}
	return p
}

func (b *binder) parseKV(in ir.Rel, op *syntax.ParseKV, s *scope) ir.Rel {
	p := &ir.ParseKV{Out: out(op.Span, append([]table.Column(nil), in.Columns()...)), In: in}
	p.Expr = b.cast(b.scalar(op.Expr, s, rowOf(in.Columns())), table.String)
	for _, c := range op.Columns {
		p.Keys = append(p.Keys, c.Name.Name)
		p.Places = append(p.Places, place(&p.Cols, c.Name.Name, c.Kind))
	}
	for _, o := range op.Options {
		value, _ := optionWord([]syntax.Option{o}, o.Name)
		switch o.Name {
		case "pair_delimiter":
			p.PairDelimiter = value
		case "kv_delimiter":
			p.KVDelimiter = value
		case "quote":
			p.Quotes = quotes(b, o)
		case "escape":
			p.Escape = value
		case "greedy":
			p.Greedy = value == "true"
		default:
			b.errorf(o.Span, "", "parse-kv with %s is not supported", o.Name)
		}
	}
	return p
}

// quotes are the characters around values: one, or an opening and a closing one.
func quotes(b *binder, o syntax.Option) []string {
	if p, ok := o.Value.(*syntax.Paren); ok {
		o.Value = p.X
	}
	if lit, ok := o.Value.(*syntax.Lit); ok {
		if s, ok := lit.Value.(string); ok {
			rs := []rune(s)
			switch len(rs) {
			case 1:
				return []string{s, s}
			case 2:
				return []string{string(rs[0]), string(rs[1])}
			}
		}
	}
	b.errorf(o.Span, "", "quote takes one or two characters")
	return nil
}

package monitor

import (
	"context"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// maxText is the longest query in bytes.
const maxText = 256 << 10

// bound parses and binds a text; what is wrong is a fault with line and column.
func bound(text string) (*ir.Query, error) {
	if len(text) > maxText {
		return nil, fault.New(fault.TooLarge, "The query is longer than %d KiB.", maxText>>10)
	}
	q, errs := bind.Bind(text, bind.Standard())
	if len(errs) > 0 {
		f := fault.Wrap(fault.Invalid, query.Errors(errs), "%d:%d: %s", errs[0].Line, errs[0].Col, errs[0].Message)
		if errs[0].Next != "" {
			f = f.WithNext("%s", errs[0].Next)
		}
		return nil, f
	}
	return q, nil
}

// Checked is what an editor shows of a text: everything that is wrong with it, or what it
// would answer.
type Checked struct {
	Errors  []Mistake  `json:"errors"`
	Columns []Column   `json:"columns"`
	Render  *ir.Render `json:"render,omitempty"`
}

// Mistake is one thing that is wrong; Start and End are bytes of the text, End exclusive.
type Mistake struct {
	Start   int    `json:"start"`
	End     int    `json:"end"`
	Line    int    `json:"line"`
	Col     int    `json:"col"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
}

// Check says what is wrong with a text without running it. It tells nothing of anybody's
// rows, so it needs no rights but to be known.
func (s *Service) Check(_ context.Context, a identity.Actor, text string) (Checked, error) {
	if err := known(a); err != nil {
		return Checked{}, err
	}
	out := Checked{Errors: []Mistake{}, Columns: []Column{}}
	if len(text) > maxText {
		return out, fault.New(fault.TooLarge, "The query is longer than %d KiB.", maxText>>10)
	}
	q, errs := bind.Bind(text, bind.Standard())
	for _, e := range errs {
		out.Errors = append(out.Errors, Mistake{Start: e.Span.Start, End: e.Span.End, Line: e.Line, Col: e.Col, Message: e.Message, Next: e.Next})
	}
	if len(errs) == 0 {
		out.Render = q.Render
		for _, c := range q.Rel.Columns() {
			out.Columns = append(out.Columns, Column{c.Name, c.Kind.String()})
		}
	}
	return out, nil
}

// Complete lists what may stand at a place of a text, in bytes.
func (s *Service) Complete(_ context.Context, a identity.Actor, text string, position int) ([]bind.Item, error) {
	if err := known(a); err != nil {
		return nil, err
	}
	if len(text) > maxText || position < 0 || position > len(text) {
		return nil, fault.New(fault.Invalid, "There is no place %d in this text.", position)
	}
	return bind.Complete(text, position, bind.Standard()), nil
}

func known(a identity.Actor) error {
	if !a.Known() {
		return fault.New(fault.Unauthentic, "You are not signed in.").WithNext("sign in, or pass a token")
	}
	return nil
}

// Tail answers a question with rows as they are acknowledged, until ctx ends or do fails.
// The text may only pick, compute and take apart rows of one table. Before rows are given
// the actor's right is asked again.
func (s *Service) Tail(ctx context.Context, a identity.Actor, in Scope, text string, do func(rows *Answer, dropped int64) error) error {
	if err := s.require(ctx, a, in); err != nil {
		return err
	}
	name, err := followed(text)
	if err != nil {
		return err
	}
	return s.Stream.Follow(ctx, name, in.Project, in.All, func(b *table.Batch, dropped int64) error {
		if b == nil {
			return do(nil, dropped)
		}
		one := query.New(query.Options{Clock: s.Clock, Tables: query.NewMemory(b)})
		r, err := one.Run(ctx, query.Ask{Text: text, Project: in.Project, All: in.All, MaxRows: maxRows})
		if err != nil {
			return err
		}
		if err := s.require(ctx, a, in); err != nil {
			return err
		}
		if r.Batch.Rows() == 0 && dropped == 0 {
			return nil
		}
		return do(answer(r), dropped)
	})
}

// MayTail returns nil when the actor may follow a query, and when it can be followed.
func (s *Service) MayTail(ctx context.Context, a identity.Actor, in Scope, text string) error {
	if err := s.require(ctx, a, in); err != nil {
		return err
	}
	_, err := followed(text)
	return err
}

// followed returns the table whose rows a text picks.
func followed(text string) (string, error) {
	q, err := bound(text)
	if err != nil {
		return "", err
	}
	name, ok := rowwise(q.Rel)
	if !ok || q.Render != nil {
		return "", fault.New(fault.Invalid, "This query adds up or orders rows, so it cannot be followed.").WithNext("follow one table with where, extend, project and parse only")
	}
	return name, nil
}

// rowwise returns the one table of a query that treats each row by itself.
func rowwise(r ir.Rel) (name string, ok bool) {
	for {
		switch n := r.(type) {
		case *ir.Scan:
			return n.Table, true
		case *ir.Filter:
			r = n.In
		case *ir.Project:
			r = n.In
		case *ir.Parse:
			r = n.In
		case *ir.ParseKV:
			r = n.In
		case *ir.Expand:
			r = n.In
		default:
			return "", false
		}
	}
}

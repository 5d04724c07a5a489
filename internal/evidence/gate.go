package evidence

import (
	"context"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// lockGate is where the checks lie that hold the stages of runs. It is no column: they show
// where the stage leads, at deploy or at build.
const lockGate = "gate"

// gate takes in that a check holds a stage, or that it holds it no more.
func (f feed) gate(ctx context.Context) error {
	p, ok := decode[event.CheckHeld](f.e)
	if !ok {
		return nil
	}
	ids, err := f.changesOf(ctx, event.OfRun(p.Run))
	if err != nil {
		return err
	}
	b := body{State: None, Environment: p.Environment, Name: p.Title, Why: p.Why}
	switch {
	case f.e.Type == event.TypeCheckHeld:
		b.State, b.Why = Held, strings.Join(p.Waits, ", ")
	case p.Result == "refused":
		b.State = Shut
	}
	for _, id := range ids {
		if err := f.put(ctx, id, lockGate, p.Entry, p.Run, b); err != nil {
			return err
		}
	}
	return nil
}

// gates are those of the parts that show at deploy, or the others.
func gates(parts []part, deploy bool) []part {
	var out []part
	for _, p := range parts {
		if (p.body.Environment != "") == deploy && p.body.State != None {
			out = append(out, p)
		}
	}
	return out
}

// gateCell says by whom a change is held and since when, over what the cell said before; a
// release that has failed is told before a stage that waits.
func gateCell(c *Cell, parts []part) {
	var shown *part
	for i := range parts {
		if shown == nil || shown.body.State == Held && parts[i].body.State == Shut {
			shown = &parts[i]
		}
	}
	if shown == nil || c.State == Shut {
		return
	}
	c.State, c.Since, c.Who, c.Link = shown.body.State, shown.time, shown.actor, event.OfRun(shown.run)
	c.Fact = strings.ToLower(shown.body.Name)
	c.Detail = "waits for " + shown.body.Why
	if shown.body.State == Shut {
		c.Detail = shown.body.Why
	}
	if env := shown.body.Environment; env != "" {
		c.Detail = env + ": " + c.Detail
	}
}

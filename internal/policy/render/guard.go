package render

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// guard bounds what templates do. It counts for one rendering.
type guard struct {
	ctx   context.Context
	left  Limits
	marks *marks // nil: none
	sees  map[int][]valuePath
	// values finds the path of a map or list of values by its identity.
	values map[uintptr][]any
}

// errTooMuch is why a rendering was stopped.
var errTooMuch = errors.New("the templates do more than is allowed")

// errLate is why a rendering was stopped by the clock.
var errLate = errors.New("the templates take longer than is allowed")

// tick counts a step that may write so many bytes.
func (g *guard) tick(bytes int) (string, error) {
	g.left.Steps--
	g.left.Bytes -= int64(bytes)
	switch {
	case g.ctx.Err() != nil:
		return "", errLate
	case g.left.Steps < 0:
		return "", fmt.Errorf("%w: too many loops and inclusions", errTooMuch)
	case g.left.Bytes < 0:
		return "", fmt.Errorf("%w: too much text", errTooMuch)
	}
	return "", nil
}

// line marks what an action writes, as text/template would write it.
func (g *guard) line(id int, v any) (string, error) {
	text := written(v)
	if _, err := g.tick(len(text)); err != nil {
		return "", err
	}
	seen := g.sees[id]
	delete(g.sees, id)
	if id < 0 || len(g.marks.list) <= id {
		return text, nil
	}
	if p, ok := only(seen, text); ok {
		k := g.marks.list[id]
		k.value = p.key()
		g.marks.paths[k.value] = p
		id = g.marks.id(k)
	}
	return markLines(text, markText(id)), nil
}

// written is a value as an action writes it.
func written(v any) string {
	switch v := v.(type) {
	case nil:
		return "<no value>"
	case string:
		return v
	case error, fmt.Stringer:
		return fmt.Sprint(v)
	}
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	if r.Kind() == reflect.Pointer || !r.CanInterface() {
		return "<nil>"
	}
	return fmt.Sprint(r.Interface())
}

// plain takes the marks out of a value.
func plain(v any) any {
	if s, ok := v.(string); ok {
		return unmark(s)
	}
	return v
}

// text instruments what tpl is about to run.
func (g *guard) text(src string) string {
	return (&instrument{src: unmark(src), marks: g.marks}).run()
}

package render

import (
	"context"

	"towpath.dev/towpath/internal/fault"
)

type origin struct{}

func (c Chart) render(context.Context) (Result, error) {
	return Result{}, fault.New(fault.Unavailable, "Charts cannot be rendered yet.")
}

func manifests(context.Context, []File, string, Limits) (Result, error) {
	return Result{}, fault.New(fault.Unavailable, "Manifests cannot be read yet.")
}

func (o *Object) places(string) []Place { return []Place{o.Source} }

package cli

import (
	"context"
	"net/url"
)

// fetch reads one answer of the API.
func fetch[T any](ctx context.Context, e *env, path string, query url.Values) (v T, err error) {
	c, err := e.client()
	if err != nil {
		return v, err
	}
	return v, c.Get(ctx, path, query, &v)
}

// send changes something by the API and returns what it is since.
func send[T any](ctx context.Context, e *env, method, path string, in any) (v T, err error) {
	c, err := e.client()
	if err != nil {
		return v, err
	}
	return v, c.Do(ctx, method, path, in, &v)
}

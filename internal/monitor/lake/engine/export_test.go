//go:build cgo

package engine

import (
	"context"
	"log/slog"
	"time"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/lake"
)

// OpenOver opens a lake whose segments live in a blob store.
func OpenOver(ctx context.Context, o lake.Options, blobs *blob.Store, c clock.Clock, logger *slog.Logger) (*Engine, error) {
	return openOver(ctx, o, blobs, c, logger)
}

// Compact puts small segments together now.
func Compact(ctx context.Context, e *Engine) error { return e.compact(ctx) }

// Expire lets segments go as of a time.
func Expire(e *Engine, now time.Time) error { return e.expire(now) }

// Reflect brings the blob store up to date now.
func Reflect(ctx context.Context, e *Engine) error { return e.reflect(ctx) }

// Evict empties the cache down to its limit.
func Evict(e *Engine) { e.files.Evict(e.inUse) }

// NewJumps returns the watch over a wall clock of a lake whose last rows came at newest.
func NewJumps(wall, newest time.Time) func(time.Time) bool { return newJumps(wall, newest).look }

// Restamp lets rows come now that came in the future.
func Restamp(e *Engine, now time.Time) error { return e.restamp(now) }

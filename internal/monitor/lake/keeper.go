package lake

import (
	"context"
	"log/slog"
)

type keeper struct {
	options Options
	logger  *slog.Logger
}

func newKeeper(o Options, logger *slog.Logger) *keeper { return &keeper{options: o, logger: logger} }

func (k *keeper) run(ctx context.Context) { <-ctx.Done() }

func (k *keeper) close() {}

package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"towpath.dev/towpath/internal/store"
)

// homeOf finds the item on which a signal counts: the one that it holds on (0 when it does
// not hold), that of its key or group, else the one that it joined before, else the one
// that it is to join now. When the item that it has ended too long ago, the one that it is
// to join goes before.
func (s *Service) homeOf(ctx context.Context, tx *store.Tx, g Signal, held int64) (row, bool, error) {
	if held != 0 {
		it, err := load(ctx, tx, held, true)
		return it, err == nil, err
	}
	own, found, err := newest(ctx, tx, g.Project, g.GroupKey())
	if err != nil {
		return row{}, false, err
	}
	if !found {
		own, found, err = joined(ctx, tx, g)
	}
	if err != nil || found && !own.gone(s.now()) || g.Onto == 0 {
		return own, found, err
	}
	onto, err := load(ctx, tx, g.Onto, true)
	if err != nil {
		return row{}, false, fmt.Errorf("joining item %d: %w", g.Onto, err)
	}
	if onto.Project != g.Project || onto.Insight == nil || !onto.Ended.IsZero() {
		return own, found, nil // It cannot be joined any more.
	}
	return onto, true, nil
}

// joined returns the item that a signal joined before.
func joined(ctx context.Context, tx *store.Tx, g Signal) (row, bool, error) {
	var number int64
	err := tx.QueryRow(ctx, `SELECT item FROM work_signal WHERE project = ? AND signal = ?`, g.Project, g.Key()).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) || err == nil && number == 0 {
		return row{}, false, nil
	}
	if err != nil {
		return row{}, false, fmt.Errorf("looking for the item that a signal joined: %w", err)
	}
	it, err := load(ctx, tx, number, true)
	return it, err == nil, err
}

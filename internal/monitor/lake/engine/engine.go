//go:build cgo

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine/duck"
	"towpath.dev/towpath/internal/monitor/lake/segment"
	"towpath.dev/towpath/internal/monitor/lake/wal"
	"towpath.dev/towpath/internal/monitor/table"
)

// Engine is an open lake. It is safe for concurrent use.
type Engine struct {
	options lake.Options
	clock   clock.Clock
	logger  *slog.Logger
	tables  map[string]*table.Table
	lock    *os.File
	db      *duck.DB
	log     *wal.Log
	files   *segment.Files
	recent  *recent
	gate    gate
	count   counters
	queries *pool

	queue  chan *entry // into the log
	logged chan *group // from the log into the hot tables
	sealer chan *generation
	fatal  chan error // why the process must end; the rest is in the log

	pace pace // of commit alone

	stop context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex // guards what follows
	hot      []*generation
	segments []*sealed
	manifest *segment.Manifest

	going map[uint64]bool // segments that count no more and are still being read

	manifests sync.Mutex // held while the manifest is changed and saved

	mirrors   sync.Mutex        // held while the blob store is brought up to date
	published *segment.Manifest // what it has, nil before the first look
	wake      chan struct{}     // the mirror
}

type counters struct {
	appended, batches, duplicates, refused, queries, tooLarge, seals, compacted, expired, queued atomic.Int64
}

// Defaults of the options.
const (
	defaultMemory = 320 << 20
	defaultTemp   = 2 << 30
	defaultFree   = 64 << 20
	defaultCache  = 4 << 30
	defaultRows   = 1 << 18
	defaultAge    = 10 * time.Minute
	defaultGroup  = 1 << 15
	hotShare      = 6 // of the memory, what a generation may take: two are there while one is sealed, which sorts a copy
)

func pick[T int | int64 | time.Duration](given, otherwise T) T {
	if given > 0 {
		return given
	}
	return otherwise
}

func complete(o lake.Options) lake.Options {
	o.MemoryLimit = pick(o.MemoryLimit, defaultMemory)
	o.TempLimit = pick(o.TempLimit, defaultTemp)
	o.Threads = pick(o.Threads, 2)
	o.MinFree = pick(o.MinFree, defaultFree)
	o.CacheBytes = pick(o.CacheBytes, defaultCache)
	o.Seal.Rows = pick(o.Seal.Rows, defaultRows)
	o.Seal.Bytes = pick(o.Seal.Bytes, o.MemoryLimit/hotShare)
	o.Seal.Age = pick(o.Seal.Age, defaultAge)
	o.Seal.Group = pick(o.Seal.Group, defaultGroup)
	return o
}

// Open opens the lake of a folder, which one process may at a time: what the log holds is
// in the hot tables when it returns.
func Open(ctx context.Context, o lake.Options, c clock.Clock, logger *slog.Logger) (*Engine, error) {
	var blobs *blob.Store
	if o.Blob.Driver != "" && o.Blob.Driver != "filesystem" {
		var err error
		if blobs, err = blob.Open(ctx, o.Blob); err != nil {
			return nil, fmt.Errorf("opening the blob store of segments: %w", err)
		}
	}
	return openOver(ctx, o, blobs, c, logger)
}

// openOver opens a lake whose segments live in a blob store, nil for its own folder.
func openOver(ctx context.Context, o lake.Options, blobs *blob.Store, c clock.Clock, logger *slog.Logger) (*Engine, error) {
	e := &Engine{
		options: complete(o), clock: c, logger: logger, tables: map[string]*table.Table{}, recent: newRecent(), queries: newPool(),
		going: map[uint64]bool{}, wake: make(chan struct{}, 1), queue: make(chan *entry, 1024), logged: make(chan *group, 1), sealer: make(chan *generation, 1024), fatal: make(chan error, 1),
	}
	for _, t := range table.Catalog() {
		if !t.Virtual {
			e.tables[t.Name] = t
		}
	}
	if err := e.open(ctx, blobs); err != nil {
		return nil, errors.Join(err, e.release())
	}
	ctx, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, f := range []func(context.Context){e.commit, e.heat, e.seal, e.tend, e.mirror} {
		e.work.Add(1)
		go func() {
			defer e.work.Done()
			f(ctx)
		}()
	}
	return e, nil
}

func (e *Engine) path(name string) string { return filepath.Join(e.options.Dir, name) }

func (e *Engine) open(ctx context.Context, blobs *blob.Store) error {
	if err := os.MkdirAll(e.options.Dir, 0o700); err != nil {
		return fmt.Errorf("making the lake's folder: %w", err)
	}
	var err error
	if e.lock, err = lock(ctx, e.path("lock")); err != nil {
		return err
	}
	if err := os.RemoveAll(e.path("tmp")); err != nil {
		return fmt.Errorf("removing what queries spilled: %w", err)
	}
	if e.manifest, err = segment.LoadManifest(e.options.Dir); err != nil {
		return err
	}
	e.db, err = duck.Open(duck.Settings{
		Memory: e.options.MemoryLimit, Temp: e.path("tmp"), Spill: e.options.TempLimit, Threads: e.options.Threads, Folders: []string{e.path("segments")},
	})
	if err != nil {
		return err
	}
	if err := e.openSegments(ctx, blobs); err != nil {
		return err
	}
	if err := e.recent.load(e.path("recent")); err != nil {
		e.logger.Warn("cannot read the batch IDs of what was sealed; a batch that is sent again may be stored twice", "error", err)
	}
	if err := e.replay(ctx); err != nil {
		return err
	}
	// The names of the folders must be as durable as what is acknowledged in them.
	return errors.Join(segment.SyncPath(e.options.Dir), segment.SyncPath(filepath.Dir(e.options.Dir)))
}

func (e *Engine) openSegments(ctx context.Context, blobs *blob.Store) error {
	var err error
	if e.files, err = segment.OpenFiles(e.path("segments"), blobs, e.options.CacheBytes, e.logger); err != nil {
		return err
	}
	if err := e.identify(ctx); err != nil {
		return err
	}
	if err := e.files.Tidy(ctx, e.manifest); err != nil {
		return err
	}
	e.manifest.Trash = slices.DeleteFunc(e.manifest.Trash, func(i segment.Info) bool { return i.Data == "" }) // Tidy removed it.
	for _, i := range e.manifest.Segments {
		x, err := segment.ReadIndex(e.files.IndexPath(i.ID))
		if err != nil {
			if x, err = e.mend(ctx, i, err); fault.Is(err, fault.Unavailable) {
				x, err = segment.Blunt(i), nil
			}
			if err != nil {
				e.logger.Error("a segment cannot be read; queries go on without its rows", "segment", i.ID, "table", i.Table, "rows", i.Rows, "error", err)
				continue
			}
		}
		e.segments = append(e.segments, &sealed{info: i, index: x})
	}
	return nil
}

// mend makes the index of a segment anew from its rows.
func (e *Engine) mend(ctx context.Context, i segment.Info, why error) (*segment.Index, error) {
	t := e.tables[i.Table]
	if t == nil {
		return nil, errors.Join(why, errors.New("its table is not in the catalogue"))
	}
	if _, err := os.Stat(e.files.Path(i.ID)); err != nil && i.IndexData != "" {
		// The mirror fetches the index when the blob store is back.
		return nil, fault.Wrap(fault.Unavailable, errors.Join(why, err), "Neither the segment nor its index is here.")
	}
	e.logger.Warn("a segment's index is made anew", "segment", i.ID, "error", why)
	c, err := e.db.Connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s := &sealed{info: i}
	if err := e.index(ctx, c, t, s, e.files.Path(i.ID)); err != nil {
		return nil, errors.Join(why, err)
	}
	path := e.files.IndexPath(i.ID)
	return s.index, os.Rename(segment.Temp(path), path)
}

// lock makes sure that no other process has the lake open.
func lock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the lake: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // A lake before this one may still be ending.
	defer cancel()
	for ctx.Err() == nil {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return f, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil, errors.Join(fmt.Errorf("locking the lake: another process has it: %w", err), f.Close())
}

// Fatal gives the error after which the process must end and be started again, for it
// cannot go on with what it has in memory. What was acknowledged is in the log.
func (e *Engine) Fatal() <-chan error { return e.fatal }

func (e *Engine) die(err error) {
	select {
	case e.fatal <- err:
	default: // One is enough.
	}
}

// Close ends the lake after what it has taken is stored. Queries that run are ended.
func (e *Engine) Close() error {
	e.gate.close()
	e.stop()
	e.queries.close()
	e.work.Wait()
	return e.release()
}

func (e *Engine) release() error {
	var err error
	if e.db != nil {
		e.db.Close()
	}
	if e.log != nil {
		err = e.log.Close()
	}
	if e.lock != nil {
		err = errors.Join(err, e.lock.Close())
	}
	return err
}

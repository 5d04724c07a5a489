package tail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Config says what to read and where it goes.
type Config struct {
	// Root is the folder of pod logs, absolute: <namespace>_<pod>_<uid>/<container>/<n>.log
	// below it; /var/log/pods on most nodes.
	Root string
	// State is the folder of the checkpoint; the Tailer alone writes in it.
	State string
	// Node is the name of the node: column Computer.
	Node string
	// Exclude lists namespaces whose logs are not read.
	Exclude []string
	// Self is "namespace/pod" of the Tailer itself; its own lines are not read, or each
	// would cause the next. "" when it is no pod.
	Self   string
	Sender Sender
	Log    *slog.Logger
	// Now is the clock; nil means time.Now.
	Now    func() time.Time
	Limits Limits
}

// Limits bound the work of a Tailer. A zero field means the default that is given with it.
type Limits struct {
	// Batch is how many bytes of rows make a parcel (1 MiB), Wait how long a row waits for
	// others (200 ms).
	Batch int
	Wait  time.Duration
	// Queue is how many parcels may wait for the one on its way (4).
	Queue int
	// Join is how long after an open stack trace its next line may come (250 ms), in the
	// times of the lines and, at the end of a file, on the clock.
	Join time.Duration
	// Open is how many files are open at a time (1024). Files that are read to the end are
	// closed first; one with lines that are not read is never closed for it.
	Open int
	// Turn is how many bytes of a file are read before others have their turn (128 KiB).
	Turn int
	// Poll is how often the files are looked at for more (100 ms), Rescan how often the
	// folders are (10 s, with inotify only a precaution; 500 ms without).
	Poll, Rescan time.Duration
	// Grace is how long a renamed or deleted file that is read to the end is still looked
	// at, because the runtime may have it open (5 s).
	Grace time.Duration
	// Held is how many unread bytes of deleted files may keep disk space (2 GiB); beyond
	// that the oldest are given up and counted as Lost.
	Held int64
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Batch: cmp.Or(l.Batch, 1<<20), Wait: cmp.Or(l.Wait, 200*time.Millisecond), Queue: cmp.Or(l.Queue, 4),
		Join: cmp.Or(l.Join, 250*time.Millisecond), Open: cmp.Or(l.Open, 1024), Turn: cmp.Or(l.Turn, 128<<10),
		Poll: cmp.Or(l.Poll, 100*time.Millisecond), Rescan: l.Rescan, Grace: cmp.Or(l.Grace, 5*time.Second),
		Held: cmp.Or(l.Held, 2<<30),
	}
}

// Sender brings parcels to the server. Send returns nil when the server has stored the
// parcel for good, a *Refusal when it answered otherwise, and any other error when it could
// not be asked. It is called for one parcel at a time, again with the same parcel after an
// error.
type Sender interface {
	Send(ctx context.Context, p Parcel) error
}

// Parcel is an encoded batch.
type Parcel struct {
	ID   [16]byte
	Body []byte // a batch of ContainerLogV2 in the encoding of package table, zstd
	Rows int
	// Stats is the state of the Tailer when the parcel is sent.
	Stats Stats
}

// Refusal is an answer of the server other than success.
type Refusal struct {
	Status  int           // of HTTP
	After   time.Duration // what Retry-After asks for; 0 when it does not
	Message string
}

// Error returns what the server said.
func (r *Refusal) Error() string {
	return fmt.Sprintf("the server answered %d: %s", r.Status, r.Message)
}

// bad reports whether the server finds fault with the parcel itself, so that repeating it
// has no hope.
func (r *Refusal) bad() bool { return r.Status == 400 || r.Status == 413 || r.Status == 422 }

// Tailer follows the logs of a node. Make it with New and call Run once.
type Tailer struct {
	cfg    Config
	counts counts
}

// New checks the configuration and prepares the folder of the checkpoint.
func New(cfg Config) (*Tailer, error) {
	switch {
	case !filepath.IsAbs(cfg.Root) || !filepath.IsAbs(cfg.State):
		return nil, fmt.Errorf("the folder of logs %q and that of the state %q must be absolute", cfg.Root, cfg.State)
	case cfg.Node == "":
		return nil, errors.New("the tailer needs the name of its node")
	case cfg.Sender == nil || cfg.Log == nil:
		return nil, errors.New("the tailer needs a sender and a log")
	}
	if err := os.MkdirAll(cfg.State, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the state: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Root = filepath.Clean(cfg.Root)
	cfg.Exclude = slices.Clone(cfg.Exclude)
	cfg.Limits = cfg.Limits.withDefaults()
	return &Tailer{cfg: cfg}, nil
}

package metric

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// disk makes what was committed durable. The TSDB writes its WAL without an fsync and keeps
// the handle to itself; but fsync is about the file, not the handle, so another handle on
// the newest segments does it. Callers that come together share one fsync.
type disk struct {
	dirs []string // of the WAL and of its twin for samples out of order

	mu      sync.Mutex
	next    *flight
	running sync.Mutex
}

// flight is one fsync that some callers wait for.
type flight struct {
	done chan struct{}
	err  error
}

// sync returns after everything that was committed before the call lies on the disk.
func (d *disk) sync() error {
	d.mu.Lock()
	f := d.next
	if f != nil {
		d.mu.Unlock()
		<-f.done
		return f.err
	}
	f = &flight{done: make(chan struct{})}
	d.next = f
	d.mu.Unlock()

	d.running.Lock()
	d.mu.Lock()
	d.next = nil // who comes from now on may have committed after the fsync began
	d.mu.Unlock()
	f.err = d.flush()
	d.running.Unlock()
	close(f.done)
	return f.err
}

// flush syncs the two newest segments of each folder: a segment that was full a moment ago
// is synced by the TSDB in the background only.
func (d *disk) flush() error {
	for _, dir := range d.dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("syncing metrics: %w", err)
		}
		left := 2
		for i := len(entries) - 1; i >= 0 && left > 0; i-- {
			if !segment(entries[i].Name()) {
				continue
			}
			left--
			if err := fsync(filepath.Join(dir, entries[i].Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("syncing metrics: %w", err)
			}
		}
		if err := fsync(dir); err != nil {
			return fmt.Errorf("syncing metrics: %w", err)
		}
	}
	return nil
}

// segment reports whether a file of the folder is a segment: eight digits.
func segment(name string) bool {
	for _, c := range name {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(name) == 8
}

func fsync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// A file is the magic and then records: the length and the CRC-32C of the bytes, four bytes
// each, little endian, and the bytes.
const (
	magic  = "TPWAL\x00\x00\x01"
	header = 8
	// MaxRecord is the largest record in bytes.
	MaxRecord = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Log is an open log. One goroutine may write while others ask for its size.
type Log struct {
	dir    string
	logger *slog.Logger

	mu     sync.Mutex
	file   *os.File
	number uint64           // of file
	good   int64            // bytes of file that are acknowledged
	broken bool             // file may hold bytes behind good
	sizes  map[uint64]int64 // of every file
	buffer []byte
}

// Open reads what the log holds and begins a new file. each gets every record with the
// number of its file, in order; the bytes are its own. Files numbered up to sealed are
// removed unread.
func Open(dir string, sealed uint64, logger *slog.Logger, each func(file uint64, record []byte) error) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the log's folder: %w", err)
	}
	l := &Log{dir: dir, logger: logger, number: sealed, sizes: map[uint64]int64{}}
	numbers, err := l.list()
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		l.number = max(l.number, n)
		if n <= sealed {
			if err := os.Remove(l.path(n)); err != nil {
				return nil, fmt.Errorf("removing a sealed log file: %w", err)
			}
			continue
		}
		if err := l.read(n, each); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.begin()
}

func (l *Log) path(n uint64) string { return filepath.Join(l.dir, fmt.Sprintf("%016d.wal", n)) }

func (l *Log) list() ([]uint64, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("listing the log: %w", err)
	}
	var out []uint64
	for _, e := range entries {
		var n uint64
		if _, err := fmt.Sscanf(e.Name(), "%016d.wal", &n); err == nil && filepath.Base(l.path(n)) == e.Name() {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// read gives the records of a file and cuts what is torn behind them.
func (l *Log) read(n uint64, each func(uint64, []byte) error) error {
	f, err := os.OpenFile(l.path(n), os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening a log file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reading a log file: %w", err)
	}
	good := int64(0)
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(f, start); err == nil && string(start) == magic {
		if good, err = records(f, info.Size(), func(record []byte) error { return each(n, record) }); err != nil {
			return err
		}
	}
	if good < info.Size() {
		l.logger.Warn("cut the torn tail of a log file", "file", filepath.Base(l.path(n)), "kept", good, "cut", info.Size()-good)
		if err := errors.Join(f.Truncate(good), f.Sync()); err != nil {
			return fmt.Errorf("cutting a log file: %w", err)
		}
	}
	l.sizes[n] = good
	return nil
}

// records calls each for every whole record after the magic, and returns where they end.
func records(r io.Reader, size int64, each func([]byte) error) (good int64, err error) {
	good = int64(len(magic))
	var head [header]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return good, ended(err)
		}
		length := int64(binary.LittleEndian.Uint32(head[:4]))
		if length == 0 || length > MaxRecord || length > size-good-header { // A power cut can leave zeros.
			return good, nil
		}
		record := make([]byte, length)
		if _, err := io.ReadFull(r, record); err != nil {
			return good, ended(err)
		}
		if crc32.Checksum(record, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
			return good, nil
		}
		if err := each(record); err != nil {
			return good, err
		}
		good += header + length
	}
}

// ended lets the end of a file be one, and nothing else.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return fmt.Errorf("reading a log file: %w", err)
}

// begin makes the next file. The caller holds the lock.
func (l *Log) begin() error {
	path := l.path(l.number + 1)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making a log file: %w", err)
	}
	if _, err = f.WriteString(magic); err == nil {
		err = errors.Join(f.Sync(), syncDir(l.dir))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("making a log file: %w", err), f.Close(), os.Remove(path))
	}
	if l.file != nil {
		_ = l.file.Close() // Everything that counts in it was synced.
	}
	l.number++
	l.file, l.good, l.broken = f, int64(len(magic)), false
	l.sizes[l.number] = l.good
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Write appends records and returns once they are on disk. After an error none of them is
// acknowledged, and the log stays usable: a later Write goes on behind the last good one.
func (l *Log) Write(records ...[]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		if err := l.mend(); err != nil {
			return err
		}
	}
	b := l.buffer[:0]
	for _, r := range records {
		if len(r) == 0 || len(r) > MaxRecord {
			return fmt.Errorf("writing a log record of %d bytes: 1 to %d are allowed", len(r), MaxRecord)
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(len(r)))
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(r, castagnoli))
		b = append(b, r...)
	}
	if l.buffer = b; cap(b) > 4<<20 {
		l.buffer = nil // A rare large write does not hold memory for ever.
	}
	l.broken = true
	if _, err := l.file.WriteAt(b, l.good); err != nil {
		return errors.Join(fmt.Errorf("writing the log: %w", err), l.mend())
	}
	if err := l.file.Sync(); err != nil {
		// The pages may be marked clean without being on disk: this file takes no more.
		return fmt.Errorf("syncing the log: %w", err)
	}
	l.broken = false
	l.good += int64(len(b))
	l.sizes[l.number] = l.good
	return nil
}

// mend makes the log usable after a write that failed: it cuts what is behind the last
// good record, or leaves the file and begins another.
func (l *Log) mend() error {
	if errors.Join(l.file.Truncate(l.good), l.file.Sync()) == nil {
		l.broken = false
		return nil
	}
	return l.begin()
}

// Rotate begins a new file, and returns the number of the one before, the last that holds
// a record written until now.
func (l *Log) Rotate() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.number
	return before, l.begin()
}

// Drop removes the files numbered up to and including n, but never the one being written.
func (l *Log) Drop(n uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	for k := range l.sizes {
		if k > n || k == l.number {
			continue
		}
		if e := os.Remove(l.path(k)); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("removing a sealed log file: %w", e))
			continue
		}
		delete(l.sizes, k)
	}
	return err
}

// Size returns the bytes of all files.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := int64(0)
	for _, n := range l.sizes {
		sum += n
	}
	return sum
}

// Close closes the file that is being written.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

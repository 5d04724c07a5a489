package logs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// stride is how many lines lie between two entries of an index.
const stride = 256

// Ref names the log of one step.
type Ref struct {
	Run  int64
	Job  string // the id of the job, never a name that a user chose
	Step int    // number of the step, from 1
}

// Line is one line of a log.
type Line struct {
	N    int64     `json:"n"` // number, from 0
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// Store keeps the logs below one folder. It is safe for concurrent use; one process
// writes at a time.
type Store struct {
	dir string

	mu   sync.Mutex
	open map[Ref]*file
}

// file is a log that is being written.
type file struct {
	mu    sync.Mutex
	f     *os.File
	lines int64
	size  int64
	index []int64
	wake  chan struct{} // closed and replaced when lines come, closed for good by Seal
	done  bool          // sealed: the store no longer knows this file
}

// New returns the store below dir, which need not exist.
func New(dir string) *Store { return &Store{dir: dir, open: map[Ref]*file{}} }

func (s *Store) path(r Ref) string {
	return filepath.Join(s.dir, "runs", strconv.FormatInt(r.Run, 10), r.Job, strconv.Itoa(r.Step)+".log")
}

// indexOf is the path of the index of a log.
func indexOf(log string) string { return strings.TrimSuffix(log, ".log") + ".idx" }

// Append adds records, each ended by a line feed, whose first is line number first.
// It returns the number of the next line. When the records do not begin at the end
// of the log it adds nothing and returns fault.Conflict with the number that it
// wants. A log larger than limit bytes takes nothing more: fault.TooLarge.
func (s *Store) Append(r Ref, first int64, records []byte, limit int64) (next int64, err error) {
	f, err := s.locked(r)
	if err != nil {
		return 0, err
	}
	defer f.mu.Unlock()
	switch {
	case first != f.lines:
		return f.lines, fault.New(fault.Conflict, "The log of the step goes on at line %d, not at %d.", f.lines, first)
	case len(records) == 0:
		return f.lines, nil
	case records[len(records)-1] != '\n':
		return f.lines, fault.New(fault.Invalid, "The log lines do not end with a line feed.")
	case limit > 0 && f.size+int64(len(records)) > limit:
		return f.lines, fault.New(fault.TooLarge, "The log of the step is larger than %d bytes.", limit)
	}
	if n, err := f.f.WriteAt(records, f.size); err != nil {
		// What was written is cut off, so that a repetition begins cleanly.
		return f.lines, errors.Join(fmt.Errorf("writing %d of %d bytes of a log: %w", n, len(records), err), f.f.Truncate(f.size))
	}
	f.extend(records)
	close(f.wake)
	f.wake = make(chan struct{})
	return f.lines, nil
}

// locked returns the open file of a step with its lock held.
func (s *Store) locked(r Ref) (*file, error) {
	for {
		f, err := s.writer(r)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		if !f.done {
			return f, nil
		}
		// It was sealed while this call waited for it: the next one opens it again.
		f.mu.Unlock()
	}
}

// extend counts records that now stand at the end of the file.
func (f *file) extend(records []byte) {
	for len(records) > 0 {
		if f.lines%stride == 0 {
			f.index = append(f.index, f.size)
		}
		end := bytes.IndexByte(records, '\n')
		if end < 0 {
			return
		}
		f.lines++
		f.size += int64(end + 1)
		records = records[end+1:]
	}
}

// writer returns the open file of a step, opening it and dropping a half line.
func (s *Store) writer(r Ref) (*file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.open[r]; f != nil {
		return f, nil
	}
	path := s.path(r)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of a log: %w", err)
	}
	raw, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	f, err := scan(raw)
	if err == nil {
		err = raw.Truncate(f.size)
	}
	if err == nil {
		// An index that an earlier Seal wrote says less than the log will hold.
		if err = os.Remove(indexOf(path)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading a log: %w", err), raw.Close())
	}
	f.f, f.wake = raw, make(chan struct{})
	s.open[r] = f
	return f, nil
}

// scan counts the whole lines of a file.
func scan(r io.Reader) (*file, error) {
	f := &file{}
	br := bufio.NewReaderSize(r, 256<<10)
	atStart := true
	var partial int64
	for {
		part, err := br.ReadSlice('\n')
		if len(part) > 0 && atStart && f.lines%stride == 0 {
			f.index = append(f.index, f.size)
		}
		atStart = err == nil
		partial += int64(len(part))
		switch {
		case err == nil:
			f.lines++
			f.size += partial
			partial = 0
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			if partial > 0 && f.lines%stride == 0 {
				f.index = f.index[:len(f.index)-1]
			}
			return f, nil
		default:
			return nil, err
		}
	}
}

// Seal says that a step has ended: its log is made durable and its index written.
// Lines that come late are still taken. A log that nobody wrote stays absent.
func (s *Store) Seal(r Ref) error {
	s.mu.Lock()
	f := s.open[r]
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return nil
	}
	err := f.f.Sync()
	buf := make([]byte, 0, 8+8*len(f.index))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(f.lines))
	for _, off := range f.index {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(off))
	}
	err = errors.Join(err, f.f.Close(), os.WriteFile(indexOf(s.path(r)), buf, 0o600))
	// Readers ask the open file until its index stands: never is a log shorter than it was.
	s.mu.Lock()
	delete(s.open, r)
	s.mu.Unlock()
	f.done = true
	close(f.wake)
	return err
}

// Changed returns a channel that is closed when lines come to a log after the call
// or when the log is sealed; nil for a log that nobody writes in this process.
func (s *Store) Changed(r Ref) <-chan struct{} {
	s.mu.Lock()
	f := s.open[r]
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wake
}

// Lines returns how many lines a log has; 0 for one that is not there.
func (s *Store) Lines(r Ref) (int64, error) {
	lines, _, err := s.offsets(r)
	return lines, err
}

// offsets returns the number of lines of a log and its index.
func (s *Store) offsets(r Ref) (int64, []int64, error) {
	s.mu.Lock()
	f := s.open[r]
	s.mu.Unlock()
	if f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.lines, f.index[:len(f.index):len(f.index)], nil
	}
	path := s.path(r)
	raw, err := os.ReadFile(indexOf(path))
	if err == nil && len(raw)%8 == 0 && len(raw) >= 8 {
		index := make([]int64, 0, len(raw)/8-1)
		for b := raw[8:]; len(b) > 0; b = b[8:] {
			index = append(index, int64(binary.LittleEndian.Uint64(b)))
		}
		// A power cut may have left less than was written.
		if lines := int64(binary.LittleEndian.Uint64(raw)); (lines+stride-1)/stride == int64(len(index)) {
			return lines, index, nil
		}
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("opening a log: %w", err)
	}
	defer file.Close()
	scanned, err := scan(file)
	if err != nil {
		return 0, nil, fmt.Errorf("reading a log: %w", err)
	}
	return scanned.lines, scanned.index, nil
}

// Read returns at most limit lines from line number from on, and how many lines the
// log has in all. A log that is not there has none.
func (s *Store) Read(r Ref, from int64, limit int) (lines []Line, total int64, err error) {
	total, index, err := s.offsets(r)
	if err != nil || from >= total || limit <= 0 {
		return nil, total, err
	}
	from = max(from, 0)
	f, err := os.Open(s.path(r))
	if err != nil {
		return nil, total, fmt.Errorf("opening a log: %w", err)
	}
	defer f.Close()
	at := from / stride
	if _, err := f.Seek(index[at], io.SeekStart); err != nil {
		return nil, total, fmt.Errorf("reading a log: %w", err)
	}
	end := min(from+int64(limit), total)
	br := bufio.NewReaderSize(f, 64<<10)
	var long []byte
	for n := at * stride; n < end; {
		part, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part...)
			continue
		}
		if err != nil {
			return nil, total, fmt.Errorf("reading line %d of a log: %w", n, err)
		}
		if n >= from {
			whole := part
			if len(long) > 0 {
				whole = append(long, part...)
			}
			milli, text := protocol.ParseLine(whole[:len(whole)-1])
			lines = append(lines, Line{N: n, Time: time.UnixMilli(milli).UTC(), Text: string(text)})
		}
		long = nil
		n++
	}
	return lines, total, nil
}

// Remove deletes the logs of a run.
func (s *Store) Remove(run int64) error {
	return os.RemoveAll(filepath.Join(s.dir, "runs", strconv.FormatInt(run, 10)))
}

// Close seals every open log.
func (s *Store) Close() error {
	s.mu.Lock()
	refs := make([]Ref, 0, len(s.open))
	for r := range s.open {
		refs = append(refs, r)
	}
	s.mu.Unlock()
	var errs []error
	for _, r := range refs {
		errs = append(errs, s.Seal(r))
	}
	return errors.Join(errs...)
}

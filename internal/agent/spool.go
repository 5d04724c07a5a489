package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// spool keeps what a job printed, on disk, and its step updates until the server has
// acknowledged them. One goroutine, deliver, brings them there in order: a step is
// reported as completed only when its whole log has arrived.
type spool struct {
	dir    string
	client *client
	path   string // of the job in the protocol
	lease  string
	limit  int64

	mu      sync.Mutex
	steps   []*stepSpool
	closing bool
	busy    bool          // deliver is talking to the server
	changed chan struct{} // closed and replaced at every change
	lost    error         // set when the server takes nothing more
}

// stepSpool is the part of one step.
type stepSpool struct {
	file   *os.File
	update protocol.StepUpdate
	dirty  bool

	lines, size   int64 // written
	acked         int64 // lines that the server has
	ackedSize     int64 // where they end in the file
	full, refused bool  // over the limit here, or at the server
}

// owner is kept beside the logs so that a later agent can bring them back.
type owner struct {
	Job   string `json:"job"`
	Lease string `json:"lease"`
}

const ownerFile = "job.json"

func newSpool(dir string, c *client, job *protocol.Job) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the spool: %w", err)
	}
	raw, err := json.Marshal(owner{Job: job.ID, Lease: job.Lease})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, ownerFile), raw, 0o600); err != nil {
		return nil, fmt.Errorf("writing the spool: %w", err)
	}
	return &spool{dir: dir, client: c, path: "jobs/" + job.ID, lease: job.Lease, limit: job.LogLimit, changed: make(chan struct{})}, nil
}

// signal wakes deliver and flush; mu is held.
func (s *spool) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// step opens the spool of a step, or goes on with one from an earlier agent.
func (s *spool) step(number int) (*stepSpool, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, strconv.Itoa(number)+".log"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the spool of step %d: %w", number, err)
	}
	st := &stepSpool{file: f, update: protocol.StepUpdate{Number: number}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, st)
	return st, nil
}

// report notes the newest state of a step.
func (s *spool) report(st *stepSpool, u protocol.StepUpdate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.Number = st.update.Number
	st.update, st.dirty = u, true
	s.signal()
}

// write adds records, whole lines that are masked already.
func (s *spool) write(st *stepSpool, records []byte, lines int64) error {
	if st.full || lines == 0 {
		return nil
	}
	if s.limit > 0 && st.size+int64(len(records)) > s.limit-1024 {
		st.full = true
		records = protocol.AppendLine(nil, time.Now().UnixMilli(),
			fmt.Appendf(nil, "##[warning]The log of this step is over %d MiB: the rest is not kept.", s.limit>>20))
		lines = 1
	}
	if _, err := st.file.WriteAt(records, st.size); err != nil {
		return fmt.Errorf("writing the log of step %d: %w", st.update.Number, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.size += int64(len(records))
	st.lines += lines
	s.signal()
	return nil
}

// chunkSize is how much one request carries: enough for 100 000 lines a second over
// a slow connection, little enough for a live view.
const chunkSize = 1 << 20

// pace is the least time between two log requests, and half of it that after an update,
// so that a step that prints a line at a time does not make a request of each.
const pace = 10 * time.Millisecond

// deliver brings everything to the server until the spool is closed and empty, ctx
// ends, or the server wants nothing more.
func (s *spool) deliver(ctx context.Context) {
	for {
		s.mu.Lock()
		changed, closing, lost := s.changed, s.closing, s.lost
		updates, st := s.due()
		s.busy = len(updates) > 0 || st != nil
		s.mu.Unlock()
		var err error
		switch {
		case lost != nil:
			return
		case len(updates) > 0:
			err = s.sendUpdates(ctx, updates)
			if st == nil && !closing {
				time.Sleep(pace / 2)
			}
		case st != nil:
			err = s.sendLog(ctx, st)
			if err == nil && !closing {
				time.Sleep(pace)
			}
		case closing:
			return
		default:
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		s.mu.Lock()
		s.busy, s.lost = false, err
		s.signal()
		s.mu.Unlock()
	}
}

// due returns the updates that may be sent now, or else a step whose log has more;
// mu is held.
func (s *spool) due() ([]protocol.StepUpdate, *stepSpool) {
	var updates []protocol.StepUpdate
	var pending *stepSpool
	for _, st := range s.steps {
		behind := st.acked < st.lines && !st.refused
		if behind && pending == nil {
			pending = st
		}
		if st.dirty && !(behind && st.update.Status == plan.Completed) {
			updates = append(updates, st.update)
			st.dirty = false
		}
	}
	return updates, pending
}

func (s *spool) sendUpdates(ctx context.Context, updates []protocol.StepUpdate) error {
	err := retry(ctx, func() error {
		return s.client.call(ctx, s.path+"/steps", s.lease, protocol.Update{Steps: updates}, nil)
	})
	if ended(err) {
		// The server has ended the job; logs are still welcome.
		return nil
	}
	return err
}

// sendLog sends the next chunk of a step.
func (s *spool) sendLog(ctx context.Context, st *stepSpool) error {
	s.mu.Lock()
	from, size := st.ackedSize, st.size
	s.mu.Unlock()
	buf := make([]byte, min(chunkSize, size-from))
	if _, err := st.file.ReadAt(buf, from); err != nil {
		return fmt.Errorf("reading the spool: %w", err)
	}
	if end := bytes.LastIndexByte(buf, '\n'); end >= 0 {
		buf = buf[:end+1]
	} else {
		whole, err := longLine(st.file, from)
		if err != nil {
			return err
		}
		buf = whole
	}
	next, err := s.postLog(ctx, st, buf)
	if err != nil {
		return err
	}
	return s.acknowledge(st, next, int64(bytes.Count(buf, []byte{'\n'})), int64(len(buf)))
}

// longLine reads one line that is longer than a chunk.
func longLine(f *os.File, from int64) ([]byte, error) {
	buf := make([]byte, protocol.MaxLine+64)
	n, err := f.ReadAt(buf, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	end := bytes.IndexByte(buf[:n], '\n')
	if end < 0 {
		return nil, errors.New("reading the spool: a line has no end")
	}
	return buf[:end+1], nil
}

// postLog sends a chunk and returns the number of the line that the server wants next,
// or -1 when it wants no more of this step.
func (s *spool) postLog(ctx context.Context, st *stepSpool, chunk []byte) (int64, error) {
	var reply protocol.LogReply
	path := fmt.Sprintf("%s/logs/%d?line=%d", s.path, st.update.Number, st.acked)
	err := retry(ctx, func() error {
		res, err := s.client.send(ctx, http.MethodPost, path, s.lease, bytes.NewReader(chunk), nil)
		if err != nil {
			return err
		}
		defer drain(res.Body)
		return json.NewDecoder(res.Body).Decode(&reply)
	})
	var r *refusal
	switch {
	case err == nil:
		return reply.Next, nil
	case errors.As(err, &r) && r.status == http.StatusConflict && json.Unmarshal(r.body, &reply) == nil:
		return reply.Next, nil
	case errors.As(err, &r) && r.status == http.StatusRequestEntityTooLarge:
		return -1, nil
	}
	return 0, err
}

// acknowledge moves on to the line that the server wants next: the one after the chunk
// when all is well, else wherever the server is.
func (s *spool) acknowledge(st *stepSpool, next, lines, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signal()
	switch next {
	case -1:
		st.refused = true
		return nil
	case st.acked + lines:
		st.acked, st.ackedSize = next, st.ackedSize+size
		return nil
	}
	offset, err := offsetOf(st.file, next)
	if err != nil {
		return err
	}
	st.acked, st.ackedSize = next, offset
	return nil
}

// offsetOf finds where line number n begins in a spool file.
func offsetOf(f *os.File, n int64) (int64, error) {
	buf := make([]byte, 256<<10)
	var at int64
	for n > 0 {
		got, err := f.ReadAt(buf, at)
		if got == 0 {
			return 0, fmt.Errorf("the server has %d lines more than this agent printed: %w", n, err)
		}
		part := buf[:got]
		for n > 0 {
			end := bytes.IndexByte(part, '\n')
			if end < 0 {
				at += int64(len(part))
				break
			}
			at += int64(end + 1)
			part = part[end+1:]
			n--
		}
	}
	return at, nil
}

// flush waits until the server has everything, or the spool is lost.
func (s *spool) flush(ctx context.Context) error {
	for {
		s.mu.Lock()
		changed, lost := s.changed, s.lost
		empty := !s.busy
		for _, st := range s.steps {
			empty = empty && !st.dirty && (st.acked >= st.lines || st.refused)
		}
		s.mu.Unlock()
		switch {
		case lost != nil:
			return lost
		case empty:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close ends deliver once everything is delivered and removes the files when keep is
// false.
func (s *spool) close(keep bool) error {
	s.mu.Lock()
	s.closing = true
	s.signal()
	var errs []error
	for _, st := range s.steps {
		errs = append(errs, st.file.Close())
	}
	s.mu.Unlock()
	if !keep {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

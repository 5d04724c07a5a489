package pipeline

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// stayed is the kept job of a request whose lease fits; nil when it is not kept any more.
func (s *Service) stayed(r *http.Request) (*stayRow, error) {
	row, over, err := s.leased(r.Context(), r.PathValue("id"), r.Header.Get(protocol.HeaderLease))
	if err != nil {
		return nil, err
	}
	if !over {
		return nil, fault.New(fault.Conflict, "The job has not ended.")
	}
	stay, err := loadStay(r.Context(), s.db, row.id)
	if err == nil && stay == nil {
		err = fault.New(fault.NotFound, "The job is not kept.")
	}
	return stay, err
}

// serveStay tells the agent of a kept job what to do with it.
func (s *Service) serveStay(w http.ResponseWriter, r *http.Request) error {
	var in protocol.Stay
	if err := decode(w, r, &in); err != nil {
		return err
	}
	timeout := wait(in.WaitSeconds)
	for {
		news := s.hub.changed(onStay(r.PathValue("id")))
		stay, err := s.stayed(r)
		if err != nil {
			return err
		}
		if !stay.ended && !s.clock.Now().Before(stay.until) {
			if err := s.drop(r.Context(), stay.job, overtime); err != nil {
				return err
			}
			stay.ended, stay.why = true, overtime
		}
		if stay.ended {
			answer(w, http.StatusOK, protocol.StayReply{Over: true, Why: stay.why})
			return nil
		}
		s.stays.renew(stay.job, s.opts.Lease)
		if open := s.stays.take(stay.job); len(open) > 0 {
			answer(w, http.StatusOK, protocol.StayReply{Open: open})
			return nil
		}
		select {
		case <-news:
		case <-timeout:
			answer(w, http.StatusOK, protocol.StayReply{})
			return nil
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// serveTerminal takes the connection of an agent that has opened a terminal and gives it to the
// person who waits for it.
func (s *Service) serveTerminal(w http.ResponseWriter, r *http.Request) error {
	stay, err := s.stayed(r)
	if err != nil {
		return err
	}
	id := r.PathValue("terminal")
	switch {
	case !strings.EqualFold(r.Header.Get("Upgrade"), protocol.UpgradeTerminal):
		return fault.New(fault.Invalid, "A terminal is joined by the header Upgrade: %s.", protocol.UpgradeTerminal)
	case stay.ended || !s.stays.awaited(stay.job, id):
		return fault.New(fault.Conflict, "Nobody waits for this terminal any more.")
	}
	way, err := TakeOver(w, protocol.UpgradeTerminal)
	if err != nil {
		return err
	}
	if !s.stays.meet(stay.job, id, way) {
		return way.Close()
	}
	return nil
}

// terminalWrite is how long the other end of a terminal may not take what is written.
const terminalWrite = time.Minute

// TakeOver makes the connection of a request one of another protocol and returns it. A write
// that is not taken for a minute ends it.
func TakeOver(w http.ResponseWriter, name string) (io.ReadWriteCloser, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("taking the connection over: %w", err)
	}
	err = conn.SetDeadline(time.Time{}) // Those of requests end here.
	if err == nil {
		_, err = fmt.Fprintf(buffered.Writer, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", name)
	}
	if err = errors.Join(err, buffered.Flush()); err != nil {
		return nil, errors.Join(fmt.Errorf("taking the connection over: %w", err), conn.Close())
	}
	return &taken{conn: conn, r: buffered.Reader}, nil
}

// taken is a connection of which some bytes may have been read.
type taken struct {
	conn net.Conn
	r    *bufio.Reader
}

// Read reads what was buffered first.
func (t *taken) Read(p []byte) (int, error) { return t.r.Read(p) }

// Write writes within terminalWrite.
func (t *taken) Write(p []byte) (int, error) {
	if err := t.conn.SetWriteDeadline(time.Now().Add(terminalWrite)); err != nil {
		return 0, err
	}
	return t.conn.Write(p)
}

// Close closes the connection.
func (t *taken) Close() error { return t.conn.Close() }

package tunnel

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// maxPacket is the largest datagram: its length has two bytes.
const maxPacket = 65535

// idleTime ends a udp connection on which nothing flows.
const idleTime = 2 * time.Minute

func writePacket(w io.Writer, p []byte) error {
	if len(p) > maxPacket {
		return fmt.Errorf("a datagram has %d bytes, of which %d are allowed", len(p), maxPacket)
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(p)), uint16(len(p))), p...))
	return err
}

func readPacket(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	p := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, p)
	return p, err
}

// packets is a stream that carries datagrams.
type packets struct{ *stream }

// Read returns one datagram; what does not fit into b is lost, as of a socket.
func (p *packets) Read(b []byte) (int, error) {
	d, err := readPacket(p.stream)
	if err != nil {
		return 0, err
	}
	return copy(b, d), nil
}

// Write sends one datagram.
func (p *packets) Write(b []byte) (int, error) {
	if err := writePacket(p.stream, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// relay carries datagrams both ways until one side ends or nothing has flowed for
// idleTime, and closes both.
func relay(a, b net.Conn) {
	var last atomic.Int64
	touch := func() { last.Store(time.Now().UnixNano()) }
	touch()
	done := make(chan struct{}, 2)
	for _, way := range [...][2]net.Conn{{a, b}, {b, a}} {
		go func() {
			defer func() { done <- struct{}{} }()
			buf := make([]byte, maxPacket)
			for {
				n, err := way[0].Read(buf)
				if err != nil {
					return
				}
				touch()
				if _, err := way[1].Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
	tick := time.NewTicker(idleTime / 4)
	defer tick.Stop()
	for open := true; open; {
		select {
		case <-done:
			open = false
		case now := <-tick.C:
			open = now.Sub(time.Unix(0, last.Load())) < idleTime
		}
	}
	_ = a.Close()
	_ = b.Close()
}

package devbox

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// order is what the outside asks of the inside.
type order struct {
	ID       int           `json:"id"`
	Kind     string        `json:"kind"` // setup, start, stop (the ID of a start), dial
	UID      int           `json:"uid,omitempty"`
	GID      int           `json:"gid,omitempty"`
	Resolver string        `json:"resolver,omitempty"` // text of resolv.conf
	Command  *Command      `json:"command,omitempty"`
	Port     int           `json:"port,omitempty"`
	Grace    time.Duration `json:"grace,omitempty"`
}

// report is what the inside says: the answer to an order, with a descriptor for setup and
// dial, or that a program ended.
type report struct {
	ID   int    `json:"id"`
	Kind string `json:"kind"`           // done, ended
	Text string `json:"text,omitempty"` // why not; of ended: how
}

// maxPacket bounds a packet between inside and outside; the kernel's own bound is a little
// higher.
const maxPacket = 190 << 10

// channel carries packets of JSON with descriptors between outside and inside.
type channel struct {
	conn *net.UnixConn
	mu   sync.Mutex // One packet at a time.
	buf  []byte     // Of the one reader.
}

func newChannel(f *os.File) (*channel, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("opening the channel to the namespace: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("opening the channel to the namespace: it is a %T", c)
	}
	return &channel{conn: u, buf: make([]byte, maxPacket)}, nil
}

// channelPair returns the end of the outside and the file for the inside.
func channelPair() (*channel, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("opening a channel: %w", err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "outside"), os.NewFile(uintptr(fds[1]), "inside")
	defer near.Close()
	c, err := newChannel(near)
	if err != nil {
		_ = far.Close()
		return nil, nil, err
	}
	return c, far, nil
}

func (c *channel) send(v any, file *os.File) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxPacket {
		return fmt.Errorf("the program's environment and arguments have %d bytes, of which %d are allowed", len(b), maxPacket)
	}
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, err = c.conn.WriteMsgUnix(b, rights, nil)
	return err
}

// receive reads a packet into v, and the descriptor that came with it or nil.
func (c *channel) receive(v any) (*os.File, error) {
	rights := make([]byte, unix.CmsgSpace(4))
	n, rn, _, _, err := c.conn.ReadMsgUnix(c.buf, rights)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, net.ErrClosed
	}
	var file *os.File
	if rn > 0 {
		messages, err := unix.ParseSocketControlMessage(rights[:rn])
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			fds, err := unix.ParseUnixRights(&m)
			if err != nil {
				return nil, err
			}
			for _, fd := range fds {
				unix.CloseOnExec(fd)
				file = os.NewFile(uintptr(fd), "received")
			}
		}
	}
	return file, json.Unmarshal(c.buf[:n], v)
}

// Close closes the channel.
func (c *channel) Close() error { return c.conn.Close() }

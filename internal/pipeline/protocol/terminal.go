package protocol

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
)

// Completed is the answer to Complete.
type Completed struct {
	// StaySeconds is how long the agent is to leave a failed job as it is, with what it left
	// running; 0 has it clear up at once.
	StaySeconds float64 `json:"stay_seconds,omitempty"`
}

// Stay keeps a failed job that has been completed, and asks what to do with it.
type Stay struct {
	// WaitSeconds is how long the server may hold the request for news.
	WaitSeconds float64 `json:"wait_seconds"`
}

// StayReply is the answer to Stay.
type StayReply struct {
	// Over asks the agent to clear up; Why says who or what wants it.
	Over bool   `json:"over,omitempty"`
	Why  string `json:"why,omitempty"`
	// Open are terminals that somebody waits for, to be opened in the job. Each is told once.
	Open []Terminal `json:"open,omitempty"`
}

// Terminal is a terminal that an agent is to open.
type Terminal struct {
	ID   string `json:"id"`
	Size Size   `json:"size"`
}

// Size is that of a terminal in characters.
type Size struct {
	Columns uint16 `json:"columns"`
	Rows    uint16 `json:"rows"`
}

// Bounded is the size with what makes no sense replaced: no side is 0 or above 1000.
func (s Size) Bounded() Size {
	if s.Columns == 0 || s.Rows == 0 {
		return Size{Columns: 80, Rows: 24}
	}
	return Size{Columns: min(s.Columns, 1000), Rows: min(s.Rows, 1000)}
}

// UpgradeTerminal is the protocol that a request for a terminal upgrades to: frames both ways.
const UpgradeTerminal = "towpath-terminal"

// The kinds of frames of a terminal.
const (
	// FrameData is what is typed or printed, bytes as they are.
	FrameData byte = 0
	// FrameResize is a Size as JSON, from the person to the agent.
	FrameResize byte = 1
	// FrameEnd is an End as JSON, towards the person; nothing follows it.
	FrameEnd byte = 2
)

// MaxFrame is the largest payload of a frame in bytes.
const MaxFrame = 32 << 10

// End says how a terminal ended.
type End struct {
	// Code is the exit code of the shell, -1 when it did not end by itself.
	Code int `json:"code"`
	// Why says what ended it, when that was not the shell.
	Why string `json:"why,omitempty"`
}

// ErrFrame says that the other end broke the form of frames.
var ErrFrame = errors.New("the other end of the terminal sent something that is no frame")

// frameHead is a kind and the length of the payload, little endian.
const frameHead = 1 + 2

// Frames are the frames of one connection. One goroutine reads; any may write.
type Frames struct {
	conn io.ReadWriter
	head [frameHead]byte
	mu   sync.Mutex
}

// NewFrames carries frames over a connection.
func NewFrames(conn io.ReadWriter) *Frames { return &Frames{conn: conn} }

// Read returns the next frame; its payload is the caller's.
func (f *Frames) Read() (kind byte, payload []byte, err error) {
	if _, err := io.ReadFull(f.conn, f.head[:]); err != nil {
		return 0, nil, err
	}
	size := int(binary.LittleEndian.Uint16(f.head[1:]))
	if size > MaxFrame || f.head[0] > FrameEnd {
		return 0, nil, ErrFrame
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(f.conn, payload); err != nil {
		return 0, nil, fmt.Errorf("reading a frame of a terminal: %w", err)
	}
	return f.head[0], payload, nil
}

// Write writes a frame of at most MaxFrame bytes. It waits until the connection takes it, so
// that what prints faster than somebody reads is held up.
func (f *Frames) Write(kind byte, payload []byte) error {
	if len(payload) > MaxFrame {
		return ErrFrame
	}
	frame := make([]byte, frameHead, frameHead+len(payload))
	frame[0] = kind
	binary.LittleEndian.PutUint16(frame[1:], uint16(len(payload)))
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.conn.Write(append(frame, payload...))
	return err
}

// WriteJSON writes a frame whose payload is a value as JSON.
func (f *Frames) WriteJSON(kind byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return f.Write(kind, raw)
}

// ParseSize reads the sides of a terminal; what is no number counts as 0.
func ParseSize(columns, rows string) Size {
	side := func(text string) uint16 {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return 0
		}
		return uint16(n)
	}
	return Size{Columns: side(columns), Rows: side(rows)}.Bounded()
}

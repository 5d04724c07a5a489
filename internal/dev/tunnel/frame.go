package tunnel

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Version is the version of the protocol that this package speaks.
const Version = 1

// maxFrame bounds a frame: what begins a connection or a stream.
const maxFrame = 60 << 10

// Kind says what a stream is for.
type Kind string

// The kinds. All but HTTP are opened by the developer's end.
const (
	HTTP   Kind = "http"   // a connection that the session pod accepted, to the developer's program
	Dial   Kind = "dial"   // a connection of the developer's program into the cluster
	DNS    Kind = "dns"    // one DNS message, asked of the cluster's resolver
	Lookup Kind = "lookup" // the addresses of one name in the cluster
	Ping   Kind = "ping"   // an answer and nothing else
	Sync   Kind = "sync"   // a program's binary into the session pod
	State  Kind = "status" // how the session pod is
	Logs   Kind = "logs"   // what the program in the session pod writes
	Renew  Kind = "renew"  // the lease is extended
)

// Header begins each stream and says what it is for. Only the fields of its kind are set.
type Header struct {
	Version int    `json:"v"`
	Kind    Kind   `json:"kind"`
	Port    int    `json:"port,omitempty"`    // http: of the session pod
	Peer    string `json:"peer,omitempty"`    // http: who connected, "10.1.2.3:4567"
	Network string `json:"network,omitempty"` // dial: tcp or udp
	Address string `json:"address,omitempty"` // dial: "host:port"
	Name    string `json:"name,omitempty"`    // lookup
	Build   *Build `json:"build,omitempty"`   // sync
	Follow  bool   `json:"follow,omitempty"`  // logs: until the program's end and beyond
	// Expires is until when a renewal extends the lease.
	Expires time.Time `json:"expires,omitzero"`
}

// Answer is what the other end says to a header, before anything else flows.
type Answer struct {
	Code      Code      `json:"code,omitempty"`      // "" when the stream goes on
	Message   string    `json:"message,omitempty"`   // one sentence for the developer
	Addresses []string  `json:"addresses,omitempty"` // lookup
	Status    *Status   `json:"status,omitempty"`    // status, and of a sync at its end
	Expires   time.Time `json:"expires,omitzero"`    // renew: when the lease ends now
}

// Code says why the other end does not go on, for a program to branch on.
type Code string

// The codes.
const (
	Refused     Code = "refused"     // nobody listens there, or the program is down
	Forbidden   Code = "forbidden"   // the session may not reach this
	NotFound    Code = "not_found"   // the name does not exist
	Invalid     Code = "invalid"     // the header or what follows it is wrong
	Unsupported Code = "unsupported" // this end does not do that
	Failed      Code = "failed"      // anything else
)

// Error is what a stream ended with at the other end. It is safe to show.
type Error struct {
	Code    Code
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Errorf makes an Error of a code with a message in fmt syntax.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the Error in err's chain, Failed when there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Failed
}

// Build is a program's binary that goes up.
type Build struct {
	ID   string   `json:"id"`   // names the build, 1 to 64 letters, digits, '-', '_' and '.'
	Name string   `json:"name"` // of the program, for its process and its logs; as ID
	Size int64    `json:"size"` // bytes, unpacked
	Sum  string   `json:"sum"`  // SHA-256 of the binary, hex
	Args []string `json:"args,omitempty"`
	Env  []string `json:"env,omitempty"` // "NAME=value", over the session pod's own
	// Base is the Sum of the binary against which what flows is packed, "" for none. The
	// other end answers NotFound when it does not have it.
	Base string `json:"base,omitempty"`
}

// Status is how a session pod is.
type Status struct {
	Session string    `json:"session"`
	Ports   []int     `json:"ports"`
	Expires time.Time `json:"expires"`
	// Search is the pod's list of search domains, for names without a dot.
	Search []string `json:"search,omitempty"`
	// Program is the supervised program; nil without --sync.
	Program *Program `json:"program,omitempty"`
}

// Program is the state of a supervised program.
type Program struct {
	Build    string    `json:"build"` // id of the build that runs or ran last
	Sum      string    `json:"sum"`   // SHA-256 of its binary, hex
	State    string    `json:"state"` // starting, ready, exited
	PID      int       `json:"pid,omitempty"`
	Started  time.Time `json:"started"`
	Restarts int       `json:"restarts"`       // of this build, after it had exited by itself
	Exit     string    `json:"exit,omitempty"` // how it ended last, "exit status 1"
}

// The states of a Program.
const (
	Starting = "starting" // it runs, and not all of the session's ports answer yet
	Ready    = "ready"    // it answers on each port of the session
	Exited   = "exited"
)

// WriteFrame writes a value as a frame: its length as two bytes, most significant first,
// and JSON.
func WriteFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a frame of the tunnel: %w", err)
	}
	if len(body) > maxFrame {
		return fmt.Errorf("a frame of the tunnel has %d bytes, of which %d are allowed", len(body), maxFrame)
	}
	raw := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(body)), uint16(len(body)))
	_, err = w.Write(append(raw, body...))
	return err
}

// ReadFrame reads a frame into v. It reads no byte behind it.
func ReadFrame(r io.Reader, v any) error {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > maxFrame {
		return fmt.Errorf("a frame of the tunnel has %d bytes, of which %d are allowed", n, maxFrame)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("reading a frame of the tunnel: %w", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("parsing a frame of the tunnel: %w", err)
	}
	return nil
}

// ReadHeader reads the header of a stream and checks it.
func ReadHeader(r io.Reader) (Header, error) {
	var h Header
	if err := ReadFrame(r, &h); err != nil {
		return Header{}, err
	}
	return h, h.check()
}

func (h Header) check() error {
	if h.Version != Version {
		return Errorf(Unsupported, "the other end speaks version %d of the tunnel, this one %d: bring both to one version", h.Version, Version)
	}
	switch h.Kind {
	case HTTP:
		if h.Port < 1 || h.Port > 65535 {
			return Errorf(Invalid, "%d is no port", h.Port)
		}
	case Dial:
		if (h.Network != "tcp" && h.Network != "udp") || h.Address == "" || len(h.Address) > 300 {
			return Errorf(Invalid, "a connection needs tcp or udp and host:port, not %.10q %.300q", h.Network, h.Address)
		}
	case Lookup:
		if h.Name == "" || len(h.Name) > 253 {
			return Errorf(Invalid, "%.60q is no DNS name", h.Name)
		}
	case Sync:
		if h.Build == nil {
			return Errorf(Invalid, "a binary needs its build")
		}
		return h.Build.check()
	case Renew:
		if h.Expires.IsZero() {
			return Errorf(Invalid, "a renewal needs a time")
		}
	case DNS, Ping, State, Logs:
	default:
		return Errorf(Unsupported, "this end knows no stream of kind %.20q", string(h.Kind))
	}
	return nil
}

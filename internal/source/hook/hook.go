// Package hook is both ends of the conversation between git's hooks and the server.
//
// git runs the product's own executable under the name of a hook (pre-receive,
// post-receive). Main reads what git hands to a hook and asks the server over a Unix
// socket; the server answers through Serve. Nothing is decided here.
//
// Invariants: a request carries the secret of exactly one push; a hook that cannot
// reach the server, or gets no answer in time, refuses (pre-receive fails closed).
//
// It imports the standard library only, so that the hook starts quickly.
package hook

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The hooks that the server asks git to run.
const (
	PreReceive  = "pre-receive"
	PostReceive = "post-receive"
)

// Names of the environment variables that the server gives to receive-pack.
const (
	EnvSocket = "TOWPATH_HOOK_SOCKET" // path of the server's socket
	EnvSecret = "TOWPATH_HOOK_SECRET" // secret of this one push
)

// Names returns the hooks, in the order in which git runs them.
func Names() []string { return []string{PreReceive, PostReceive} }

// Move is one ref's move in a push.
type Move struct {
	Old string `json:"old"` // hash, zeros for a new ref
	New string `json:"new"` // hash, zeros for a deleted ref
	Ref string `json:"ref"` // full name
}

// Request is what a hook sends: one line of JSON.
type Request struct {
	Secret string `json:"secret"`
	Hook   string `json:"hook"`
	Moves  []Move `json:"moves"`
	// Where the objects of a push lie before it is accepted; empty after that.
	Quarantine string `json:"quarantine,omitempty"` // GIT_QUARANTINE_PATH
	Objects    string `json:"objects,omitempty"`    // GIT_OBJECT_DIRECTORY
	Alternates string `json:"alternates,omitempty"` // GIT_ALTERNATE_OBJECT_DIRECTORIES
	// Options are the push options ("git push -o"), in their order.
	Options []string `json:"options,omitempty"`
}

// Reply is the server's answer: one line of JSON.
type Reply struct {
	OK      bool   `json:"ok"`
	Message string `json:"message"` // lines for the person who pushes; may be empty
}

// Limits of a conversation.
const (
	MaxMoves   = 5000
	MaxOptions = 16  // push options
	MaxOption  = 256 // bytes of one
	maxMessage = 4 << 20
	patience   = 60 * time.Second
)

// Invoked returns the hook that a program started as argv0 stands for.
func Invoked(argv0 string) (name string, ok bool) {
	name = filepath.Base(argv0)
	return name, slices.Contains(Names(), name)
}

// Main is the hook's program: it reads the moves that git writes to stdin, asks the
// server, prints its words to stderr and returns the exit status, 0 to accept.
func Main(name string, stdin io.Reader, stderr io.Writer, getenv func(string) string) int {
	reply, err := ask(name, stdin, getenv)
	if err != nil {
		// Nothing can be done when even this cannot be printed.
		_, _ = fmt.Fprintf(stderr, "Towpath could not check this push: %v.\nNothing was changed; push again in a moment.\n", err)
		return 1
	}
	_, _ = io.WriteString(stderr, reply.Message)
	if !reply.OK {
		return 1
	}
	return 0
}

func ask(name string, stdin io.Reader, getenv func(string) string) (Reply, error) {
	moves, err := ReadMoves(stdin)
	if err != nil {
		return Reply{}, err
	}
	options, err := readOptions(getenv)
	if err != nil {
		return Reply{}, err
	}
	socket := getenv(EnvSocket)
	if socket == "" {
		return Reply{}, errors.New("this hook is run by the Towpath server only")
	}
	conn, err := net.DialTimeout("unix", socket, patience)
	if err != nil {
		return Reply{}, errors.New("the server does not answer")
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return Reply{}, fmt.Errorf("asking the server: %w", err)
	}
	err = json.NewEncoder(conn).Encode(Request{
		Secret: getenv(EnvSecret), Hook: name, Moves: moves, Quarantine: getenv("GIT_QUARANTINE_PATH"),
		Objects: getenv("GIT_OBJECT_DIRECTORY"), Alternates: getenv("GIT_ALTERNATE_OBJECT_DIRECTORIES"),
		Options: options,
	})
	if err != nil {
		return Reply{}, errors.New("the server broke off")
	}
	var reply Reply
	if err := json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(&reply); err != nil {
		return Reply{}, errors.New("the server broke off")
	}
	return reply, nil
}

// readOptions reads the push options as git hands them over (githooks, pre-receive).
func readOptions(getenv func(string) string) ([]string, error) {
	count := getenv("GIT_PUSH_OPTION_COUNT")
	if count == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, errors.New("git handed over a count of push options that is none")
	}
	if n > MaxOptions {
		return nil, fmt.Errorf("more than %d push options", MaxOptions)
	}
	var options []string
	for i := range n {
		o := getenv("GIT_PUSH_OPTION_" + strconv.Itoa(i))
		switch {
		case len(o) > MaxOption:
			return nil, fmt.Errorf("a push option is longer than %d bytes", MaxOption)
		case !utf8.ValidString(o):
			return nil, errors.New("a push option is not UTF-8")
		}
		options = append(options, o)
	}
	return options, nil
}

// ReadMoves reads the lines "<old> <new> <ref>" that git writes to a receive hook.
func ReadMoves(r io.Reader) ([]Move, error) {
	var moves []Move
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.SplitN(sc.Text(), " ", 3)
		if len(f) != 3 || f[2] == "" {
			return nil, errors.New("git handed over a line that is no move of a ref")
		}
		if !utf8.ValidString(f[2]) {
			// It would change on its way through JSON, and another ref be judged.
			return nil, errors.New("the name of a ref is not UTF-8")
		}
		if len(moves) == MaxMoves {
			return nil, fmt.Errorf("more than %d refs in one push", MaxMoves)
		}
		moves = append(moves, Move{Old: f[0], New: f[1], Ref: f[2]})
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("reading the refs of the push: %w", err)
	}
	return moves, nil
}

// Serve answers the hooks that connect to l, each in a goroutine, until l is closed;
// it then returns nil. answer must be safe for concurrent use.
func Serve(l net.Listener, answer func(Request) Reply) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting a hook: %w", err)
		}
		go func() {
			defer conn.Close()
			_ = converse(conn, answer) // The hook is gone; it refuses by itself.
		}()
	}
}

func converse(conn net.Conn, answer func(Request) Reply) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	var req Request
	if err := json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(&req); err != nil {
		return err
	}
	return json.NewEncoder(conn).Encode(answer(req))
}

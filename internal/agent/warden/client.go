package warden

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// Argument is the first argument of a program that is to be a warden; its main
// function then calls [Main] and nothing else.
const Argument = "warden"

// Command is a process to start.
type Command struct {
	Path string   `json:"path"` // absolute
	Args []string `json:"args"` // with the name of the program first
	Env  []string `json:"env"`
	Dir  string   `json:"dir"` // absolute
	// Terminal gives the process a terminal of its own; see StartTerminal.
	Terminal bool `json:"terminal,omitempty"`
	// UID and GID are who the process runs as; nil leaves it to be who the agent is.
	UID *uint32 `json:"uid,omitempty"`
	GID *uint32 `json:"gid,omitempty"`
}

// Exit is how a process ended.
type Exit struct {
	Code   int            // exit code; 128 + signal when a signal ended it, as shells count
	Signal syscall.Signal // 0 when it ended by itself
	// Starved says that since the last process the kernel has killed some of this container for
	// want of memory, of which it has Memory bytes; 0 means not known. On a host it is false.
	Starved bool
	Memory  int64
}

// ErrGone says that the warden itself ended before its process did.
var ErrGone = errors.New("the process that watches over the job is gone")

// request is what the agent sends: its length as 4 bytes with the file descriptors
// attached, then itself as JSON.
type request struct {
	Op      string  `json:"op"` // start, signal, kill, killall, environ
	ID      int     `json:"id"`
	Signal  int     `json:"signal,omitempty"`
	Command Command `json:"command,omitzero"`
}

// reply is what the warden sends, one JSON value each.
type reply struct {
	ID     int      `json:"id"`
	Error  string   `json:"error,omitempty"` // the process could not be started, or not all be killed
	Exited bool     `json:"exited,omitempty"`
	Code   int      `json:"code,omitempty"`
	Signal int      `json:"signal,omitempty"`
	Env    []string `json:"env,omitempty"` // answers environ
	// Of a container, as Exit has them.
	Starved bool  `json:"starved,omitempty"`
	Memory  int64 `json:"memory,omitempty"`
}

// Warden is the agent's end. It is safe for concurrent use.
type Warden struct {
	cmd  *exec.Cmd // nil when the warden is in another container
	conn *net.UnixConn
	done chan struct{} // closed when the connection has ended

	mu      sync.Mutex
	last    int
	waiting map[int]chan reply
}

// Start starts a warden: the program with its first arguments, such as
// {"/proc/self/exe", Argument}.
func Start(program []string) (*Warden, error) {
	// The lock keeps a process that starts meanwhile from inheriting the ends.
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("making a socket for the warden: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "warden"), os.NewFile(uintptr(fds[1]), "agent")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("making a socket for the warden: %w", err)
	}
	cmd := exec.Command(program[0], program[1:]...)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = []string{}
	cmd.Stderr = os.Stderr
	// A session of its own: a terminal's Ctrl-C ends the agent, which then ends
	// the job in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the warden: %w", err), conn.Close())
	}
	w := &Warden{cmd: cmd, conn: conn.(*net.UnixConn), done: make(chan struct{}), waiting: map[int]chan reply{}}
	go w.read()
	return w, nil
}

func (w *Warden) read() {
	dec := json.NewDecoder(w.conn)
	for {
		var r reply
		if err := dec.Decode(&r); err != nil {
			break
		}
		w.mu.Lock()
		c := w.waiting[r.ID]
		delete(w.waiting, r.ID)
		w.mu.Unlock()
		if c != nil {
			c <- r
		}
	}
	close(w.done)
}

// send sends a request; the channel delivers its one reply.
func (w *Warden) send(r request, files ...*os.File) (int, <-chan reply, error) {
	c := make(chan reply, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.ID == 0 {
		w.last++
		r.ID = w.last
		w.waiting[r.ID] = c
	}
	body, err := json.Marshal(r)
	if err != nil {
		return 0, nil, err
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = syscall.UnixRights(fds...)
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	if _, _, err := w.conn.WriteMsgUnix(head, rights, nil); err != nil {
		return 0, nil, errors.Join(ErrGone, err)
	}
	if _, err := w.conn.Write(body); err != nil {
		return 0, nil, errors.Join(ErrGone, err)
	}
	return r.ID, c, nil
}

// Process is a process that a warden started.
type Process struct {
	w  *Warden
	id int
	c  <-chan reply
}

// Start starts a process that writes to the two files; the caller closes them once
// Start has returned. That a program does not exist is said by Wait.
func (w *Warden) Start(c Command, stdout, stderr *os.File) (*Process, error) {
	id, ch, err := w.send(request{Op: "start", Command: c}, stdout, stderr)
	if err != nil {
		return nil, err
	}
	return &Process{w: w, id: id, c: ch}, nil
}

// Wait returns how the process ended, or why it could not be started. It is called
// once.
func (p *Process) Wait() (Exit, error) {
	select {
	case r := <-p.c:
		return r.exit()
	case <-p.w.done:
	}
	select {
	case r := <-p.c:
		return r.exit()
	default:
		return Exit{}, ErrGone
	}
}

func (r reply) exit() (Exit, error) {
	if r.Error != "" {
		return Exit{}, errors.New(r.Error)
	}
	return Exit{Code: r.Code, Signal: syscall.Signal(r.Signal), Starved: r.Starved, Memory: r.Memory}, nil
}

// Signal sends a signal to the process group of the process. It does nothing when
// the process has ended.
func (p *Process) Signal(s syscall.Signal) error {
	_, _, err := p.w.send(request{Op: "signal", ID: p.id, Signal: int(s)})
	return err
}

// Kill ends the process and everything below it.
func (p *Process) Kill() error {
	_, _, err := p.w.send(request{Op: "kill", ID: p.id})
	return err
}

// KillAll ends every process that the warden's processes have left, and returns
// when none is there any more.
func (w *Warden) KillAll() error {
	_, c, err := w.send(request{Op: "killall"})
	if err != nil {
		return err
	}
	select {
	case r := <-c:
		_, err := r.exit()
		return err
	case <-w.done:
		return ErrGone
	}
}

// Close ends the warden and with it every process that is left.
func (w *Warden) Close() error {
	err := w.conn.Close()
	<-w.done
	if w.cmd == nil {
		return nil
	}
	var exited *exec.ExitError
	if werr := w.cmd.Wait(); werr != nil && !errors.As(werr, &exited) {
		err = errors.Join(err, werr)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

package warden

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Numbers of prctl(2) that package syscall does not name.
const (
	prSetNoNewPrivs     = 38
	prSetChildSubreaper = 36
)

// maxRequest bounds a request: environment and arguments of a process are bounded by
// the system to a few megabytes as well.
const maxRequest = 16 << 20

// Main is a warden: it serves the agent at the other end of file descriptor 3 until
// that end closes, kills what is left, and returns the exit code of the program.
func Main() int {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "warden:", err)
		return 1
	}
	return 0
}

// server is the warden's end. Everything happens on one goroutine.
type server struct {
	out   *json.Encoder
	byPID map[int]int // request of a running process
	byID  map[int]int
	// memory tells of a container; nil on a host.
	memory *memory
}

// message is a request with its files, or the end of the connection.
type message struct {
	request
	files []*os.File
}

func run() error {
	conn, err := connect(os.Args[1:])
	if err != nil {
		return err
	}
	// Terminal signals are for the agent, which ends the job in order. They are
	// caught, not ignored: what is ignored stays so in every process of the job.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM)
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	// The attributes belong to a thread and are inherited by what it starts.
	runtime.LockOSThread()
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); e != 0 {
		return fmt.Errorf("becoming the reaper of orphans: %w", e)
	}
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		return fmt.Errorf("giving up new privileges: %w", e)
	}
	messages := make(chan message)
	go receive(conn.(*net.UnixConn), messages)
	s := &server{out: json.NewEncoder(conn), byPID: map[int]int{}, byID: map[int]int{}}
	if beyond(os.Args[1:]) {
		s.memory = newMemory("/sys/fs/cgroup")
	}
	for {
		select {
		case m, open := <-messages:
			if !open {
				return s.killAll()
			}
			s.handle(m)
		case <-children:
			s.reap()
		}
	}
}

// beyond reports whether this is the warden of a container.
func beyond(args []string) bool { return len(args) == 3 && args[1] == Beyond }

// connect returns the connection to the agent: file descriptor 3, or the one that comes to the
// socket of a container.
func connect(args []string) (net.Conn, error) {
	if beyond(args) {
		// The end of the pod comes to the agent, too, which ends the job in order.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM)
		return accept(args[2])
	}
	f := os.NewFile(3, "agent")
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("connecting to the agent: %w", err)
	}
	return conn, f.Close()
}

// receive reads requests until the agent closes the connection or breaks the form.
func receive(conn *net.UnixConn, out chan<- message) {
	defer close(out)
	for {
		head, oob := make([]byte, 4), make([]byte, syscall.CmsgSpace(4*4))
		n, oobn, _, _, err := conn.ReadMsgUnix(head, oob)
		if err != nil || n == 0 {
			return
		}
		if _, err := io.ReadFull(conn, head[n:]); err != nil {
			return
		}
		size := binary.LittleEndian.Uint32(head)
		if size > maxRequest {
			return
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		m := message{files: received(oob[:oobn])}
		if json.Unmarshal(body, &m.request) != nil {
			return
		}
		out <- m
	}
}

// received returns the files that came with a request.
func received(oob []byte) []*os.File {
	var files []*os.File
	parts, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, p := range parts {
		fds, err := syscall.ParseUnixRights(&p)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "step"))
		}
	}
	return files
}

func (s *server) handle(m message) {
	switch m.Op {
	case "start":
		if err := s.start(m); err != nil {
			s.send(reply{ID: m.ID, Error: err.Error()})
		}
	case "signal":
		if pid := s.byID[m.ID]; pid > 0 {
			// A group that is gone is what the signal wanted.
			_ = syscall.Kill(-pid, syscall.Signal(m.Signal))
		}
	case "kill":
		if pid := s.byID[m.ID]; pid > 0 {
			killTree(pid)
		}
	case "environ":
		s.send(reply{ID: m.ID, Env: os.Environ()})
	case "killall":
		r := reply{ID: m.ID}
		if err := s.killAll(); err != nil {
			r.Error = err.Error()
		}
		s.send(r)
	}
}

// send answers the agent. That it is gone is seen by receive.
func (s *server) send(r reply) { _ = s.out.Encode(r) }

func (s *server) start(m message) error {
	defer func() {
		for _, f := range m.files {
			_ = f.Close()
		}
	}()
	if m.Command.Terminal {
		return s.startTerminal(m)
	}
	if len(m.files) != 2 {
		return errors.New("starting a process needs two files")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	c := m.Command
	attr := &syscall.SysProcAttr{Setsid: true}
	if c.UID != nil && c.GID != nil {
		attr.Credential = &syscall.Credential{Uid: *c.UID, Gid: *c.GID}
	}
	pid, err := syscall.ForkExec(c.Path, c.Args, &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Sys: attr,
		Files: []uintptr{null.Fd(), m.files[0].Fd(), m.files[1].Fd()},
	})
	if err != nil {
		return fmt.Errorf("starting %s in %s: %w", c.Path, c.Dir, err)
	}
	s.byPID[pid], s.byID[m.ID] = m.ID, pid
	return nil
}

// reap collects every process that has ended, orphans included.
func (s *server) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		id, ours := s.byPID[pid]
		if !ours {
			continue
		}
		delete(s.byPID, pid)
		delete(s.byID, id)
		r := reply{ID: id, Exited: true, Code: status.ExitStatus()}
		if status.Signaled() {
			r.Signal, r.Code = int(status.Signal()), 128+int(status.Signal())
		}
		if s.memory != nil && r.Code != 0 {
			r.Starved, r.Memory = s.memory.starved()
		}
		s.send(r)
	}
}

// killTree ends a process and everything below it. All are stopped before the first one is
// killed: a shell whose child died before it would go on, and could end well.
func killTree(pid int) {
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	for _, p := range below(pid) {
		_ = syscall.Kill(p, syscall.SIGSTOP)
	}
	for _, p := range append([]int{pid}, below(pid)...) {
		_ = syscall.Kill(p, syscall.SIGKILL)
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
}

// killAll ends everything below this process. A process that forks while it is being
// looked for is found in the next round; all are stopped first, so that the rounds
// end.
func (s *server) killAll() error {
	self := os.Getpid()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		found := below(self)
		for _, pid := range found {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
		for _, pid := range found {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		s.reap()
		if len(below(self)) == 0 {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("processes of the job do not end: %v", below(self))
}

// below returns every process below pid; one that has ended counts until it is
// reaped.
func below(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	parents := map[int][]int{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		raw, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// The name in parentheses may hold anything: what counts follows the last.
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		parents[parent] = append(parents[parent], child)
	}
	var out []int
	queue := []int{pid}
	for len(queue) > 0 {
		next := parents[queue[0]]
		queue = append(queue[1:], next...)
		out = append(out, next...)
	}
	return out
}

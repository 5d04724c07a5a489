package scenario_test

import (
	"database/sql"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // The driver of the server's own database file.
)

// gate is a way to the server that lets so many bytes through to it and then nothing
// more, as a network that died without saying so.
type gate struct {
	listener net.Listener
	full     chan struct{} // closed when the bytes are used up

	mu    sync.Mutex
	left  int64
	conns []net.Conn
}

// stall is stall start N, which sets STALL to the address, and stall wait.
func stall(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	switch {
	case len(args) == 2 && args[0] == "start" && !neg:
		n, err := strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
		if s.gate != nil {
			s.gate.close()
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		s.gate = &gate{listener: l, full: make(chan struct{}), left: n}
		go s.gate.serve(s.listen)
		ts.Setenv("STALL", "http://"+l.Addr().String())
	case len(args) == 1 && args[0] == "wait" && !neg && s.gate != nil:
		<-s.gate.full // testscript's own deadline ends a wait that is in vain.
	default:
		ts.Fatalf("usage: stall start N, then stall wait")
	}
}

func (g *gate) serve(to string) {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", to)
		if err != nil {
			_ = client.Close()
			continue
		}
		g.mu.Lock()
		g.conns = append(g.conns, client, server)
		g.mu.Unlock()
		go func() {
			_, _ = io.Copy(client, server)
			if g.spent() {
				// The server is gone and nobody reads what the client still sends: it learns
				// so by a reset, as from a real server that died, and does not write for ever.
				// An answer goes ahead of the reset, which would overtake it in the client.
				_ = client.(*net.TCPConn).CloseWrite()
				time.Sleep(300 * time.Millisecond) // The kernel does not say when the client has read it.
				_ = client.Close()
				return
			}
			_ = client.(*net.TCPConn).CloseWrite()
		}()
		go func() {
			_, err := io.Copy(limited{server, g}, client)
			if err == nil {
				_ = server.(*net.TCPConn).CloseWrite()
			}
		}()
	}
}

// spent says that nothing passes any more.
func (g *gate) spent() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.left == 0
}

func (g *gate) close() {
	_ = g.listener.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		_ = c.Close()
	}
}

// limited is the way through the gate to the server.
type limited struct {
	to net.Conn
	g  *gate
}

// Write passes on what is left to pass, and says io.ErrShortWrite at the end: the
// connections stay open, nobody reads the client's any more.
func (l limited) Write(b []byte) (int, error) {
	l.g.mu.Lock()
	n := min(int64(len(b)), l.g.left)
	l.g.left -= n
	used := l.g.left == 0 && n > 0
	l.g.mu.Unlock()
	written, err := l.to.Write(b[:n])
	if used {
		close(l.g.full)
	}
	if err == nil && written < len(b) {
		err = io.ErrShortWrite
	}
	return written, err
}

// sqlite changes the database of a server that is stopped.
func sqlite(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg || of(ts).running != nil {
		ts.Fatalf("usage: sqlite STATEMENT, while no server runs")
	}
	db, err := sql.Open("sqlite", filepath.Join(ts.Getenv("DATA"), "towpath.db"))
	ts.Check(err)
	defer db.Close()
	result, err := db.Exec(args[0])
	ts.Check(err)
	n, err := result.RowsAffected()
	ts.Check(err)
	if n == 0 {
		ts.Fatalf("no row was changed")
	}
}

// random is random FILE BYTES: bytes that do not compress, the same at every call.
func random(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: random FILE BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := make([]byte, n)
	_, err = rand.NewChaCha8([32]byte([]byte("the seed of the scenarios' bytes"))).Read(b)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// tmpfs is tmpfs DIR BYTES: a disk that is soon full.
func tmpfs(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: tmpfs DIR BYTES")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	if err := mount(dir, args[1]); err != nil {
		ts.Fatalf("A full disk is played with a small tmpfs, and mounting one needs root (CAP_SYS_ADMIN) on Linux: %v", err)
	}
	of(ts).mounts = append(of(ts).mounts, dir)
}

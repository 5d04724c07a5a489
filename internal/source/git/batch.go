package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Object is what git says about one object.
type Object struct {
	Hash string
	Type string // commit, tree, blob, tag
	Size int64  // bytes
}

// batchIdle is how long an unused reader is kept, maxIdle how many in all.
const (
	batchIdle = 30 * time.Second
	maxIdle   = 16
)

// pool keeps idle readers by repository folder.
type pool struct {
	mu   sync.Mutex
	idle []*batch
	shut bool
}

// batch is one running `git cat-file --batch-command`.
type batch struct {
	dir   string
	cmd   *exec.Cmd
	stop  context.CancelFunc
	in    io.WriteCloser
	out   *bufio.Reader
	since time.Time
}

// Close ends the readers that are kept for reuse. Calls after it still work; they
// start a process each.
func (g *Git) Close() {
	g.pool.mu.Lock()
	defer g.pool.mu.Unlock()
	g.pool.shut = true
	for _, b := range g.pool.idle {
		b.end()
	}
	g.pool.idle = nil
}

// Info looks the names up in one round trip. A name is anything of gitrevisions(7)
// without a line break; the caller has checked it. A name that does not exist, or is
// ambiguous, gives the zero Object.
func (g *Git) Info(ctx context.Context, dir string, names ...string) ([]Object, error) {
	var ask strings.Builder
	for _, n := range names {
		if strings.ContainsAny(n, "\n\x00") {
			return nil, errors.New("looking up an object: its name holds a line break")
		}
		ask.WriteString("info " + n + "\n")
	}
	out := make([]Object, len(names))
	err := g.with(ctx, dir, func(b *batch) error {
		// Written beside the reading, so that many names cannot fill both pipes.
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(b.in, ask.String())
			sent <- err
		}()
		for i := range out {
			line, err := b.out.ReadString('\n')
			if err != nil {
				return errors.Join(err, <-sent)
			}
			out[i] = parseInfo(line)
		}
		return <-sent
	})
	if err != nil {
		return nil, fmt.Errorf("looking up objects: %w", err)
	}
	return out, nil
}

// Contents returns the bytes of the object with that hash. The caller has asked for
// its size before.
func (g *Git) Contents(ctx context.Context, dir, hash string, limit int64) ([]byte, error) {
	if !IsHash(hash) {
		return nil, fmt.Errorf("reading object %q: not a hash", hash)
	}
	var data []byte
	err := g.with(ctx, dir, func(b *batch) error {
		if _, err := io.WriteString(b.in, "contents "+hash+"\n"); err != nil {
			return err
		}
		line, err := b.out.ReadString('\n')
		if err != nil {
			return err
		}
		o := parseInfo(line)
		switch {
		case o.Hash == "":
			return fmt.Errorf("git said %q", strings.TrimSpace(line))
		case o.Size > limit:
			return ErrLimit
		}
		data = make([]byte, o.Size+1)
		if _, err := io.ReadFull(b.out, data); err != nil {
			return err
		}
		data = data[:o.Size]
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading object %s: %w", hash, err)
	}
	return data, nil
}

// parseInfo reads "<hash> <type> <size>"; anything else, such as "<name> missing",
// gives the zero Object.
func parseInfo(line string) Object {
	f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
	if len(f) != 3 || !IsHash(f[0]) {
		return Object{}
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil || size < 0 {
		return Object{}
	}
	return Object{Hash: f[0], Type: f[1], Size: size}
}

// with lends a reader of the repository to use. A reader with which anything went
// wrong is ended, because its position in the conversation is unknown.
func (g *Git) with(ctx context.Context, dir string, use func(*batch) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if b := g.pool.take(dir); b != nil {
		err := g.talk(ctx, b, use)
		if err == nil || errors.Is(err, ErrLimit) || ctx.Err() != nil {
			return err
		}
		// It may have died while nobody used it: once more with a new one.
	}
	b, err := g.start(dir)
	if err != nil {
		return err
	}
	return g.talk(ctx, b, use)
}

func (g *Git) talk(ctx context.Context, b *batch, use func(*batch) error) error {
	release := context.AfterFunc(ctx, b.stop)
	err := use(b)
	if !release() || err != nil {
		b.end()
		return errors.Join(err, ctx.Err())
	}
	g.pool.give(b)
	return nil
}

func (g *Git) start(dir string) (*batch, error) {
	ctx, stop := context.WithCancel(context.Background())
	cmd := g.Command(ctx, dir, "cat-file", "--batch-command")
	in, err := cmd.StdinPipe()
	if err != nil {
		stop()
		return nil, fmt.Errorf("starting git cat-file: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("starting git cat-file: %w", err)
	}
	return &batch{dir: dir, cmd: cmd, stop: stop, in: in, out: bufio.NewReaderSize(out, 32<<10)}, nil
}

// end stops the process and waits for it. How it ends says nothing of interest.
func (b *batch) end() {
	_ = b.in.Close()
	b.stop()
	_ = b.cmd.Wait()
}

func (p *pool) take(dir string) *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if b := p.idle[i]; b.dir == dir {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return b
		}
	}
	return nil
}

func (p *pool) give(b *batch) {
	b.since = time.Now()
	var drop []*batch
	p.mu.Lock()
	if p.shut {
		drop = append(drop, b)
	} else {
		p.idle = append(p.idle, b)
		if len(p.idle) == 1 {
			time.AfterFunc(batchIdle, p.sweep)
		}
		for len(p.idle) > maxIdle {
			drop, p.idle = append(drop, p.idle[0]), p.idle[1:]
		}
	}
	p.mu.Unlock()
	for _, b := range drop {
		b.end()
	}
}

// sweep ends the readers that nobody used for batchIdle, the oldest first, and comes
// again while any is left.
func (p *pool) sweep() {
	var drop []*batch
	p.mu.Lock()
	for len(p.idle) > 0 && time.Since(p.idle[0].since) >= batchIdle {
		drop, p.idle = append(drop, p.idle[0]), p.idle[1:]
	}
	if len(p.idle) > 0 {
		time.AfterFunc(batchIdle, p.sweep)
	}
	p.mu.Unlock()
	for _, b := range drop {
		b.end()
	}
}

package devbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Inside is the hidden command that runs inside of an isolated box.
const Inside = "inside"

// setupWithin bounds how long the namespaces may take to come up.
const setupWithin = 10 * time.Second

// Isolated is a box with a user, a network and a mount namespace of its own. Its network
// ends in a userspace stack in this process, whose every flow goes through the tunnel.
type Isolated struct {
	place   Place
	command *exec.Cmd
	orders  *channel
	network *network
	done    chan struct{} // closed when the inside has ended

	mu      sync.Mutex
	next    int
	waiting map[int]chan answer // what was asked and not answered yet
	running map[int]*remote
}

// answer is a report with the descriptor that came with it.
type answer struct {
	report
	file *os.File
}

var _ Box = (*Isolated)(nil)

// NewIsolated makes an isolated box. The error says why this machine has none, in words
// that end a sentence which began with "because".
func NewIsolated(place Place, cluster Cluster, out Output) (Box, error) {
	near, far, err := channelPair()
	if err != nil {
		return nil, err
	}
	b := &Isolated{place: place, orders: near, done: make(chan struct{}), waiting: map[int]chan answer{}, running: map[int]*remote{}}
	b.command = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{"towpath", "dev", Inside}, Env: os.Environ(), Stdout: out.Out, Stderr: out.Err, ExtraFiles: []*os.File{far},
		WaitDelay: time.Second,
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			Setpgid:     true,
		},
	}
	err = b.command.Start()
	_ = far.Close() // The inside has its own.
	if err != nil {
		_ = near.Close()
		return nil, errors.New(whyNoNamespace(err))
	}
	go func() {
		_ = b.command.Wait() // It ends when the channel does.
		close(b.done)
	}()
	if err := b.setUp(cluster); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	go b.listen()
	return b, nil
}

// setUp has the inside make its network and takes over the end of it that is here.
func (b *Isolated) setUp(cluster Cluster) error {
	search := b.place.Namespace + ".svc." + b.place.Domain + " svc." + b.place.Domain + " " + b.place.Domain
	_ = b.orders.conn.SetDeadline(time.Now().Add(setupWithin))
	defer b.orders.conn.SetDeadline(time.Time{})
	err := b.orders.send(order{Kind: "setup", UID: os.Getuid(), GID: os.Getgid(), Resolver: "nameserver " + gateway + "\nsearch " + search + "\noptions ndots:5\n"}, nil)
	if err != nil {
		return fmt.Errorf("the namespace cannot be told what to be: %w", err)
	}
	var r report
	file, err := b.orders.receive(&r)
	switch {
	case err != nil:
		return fmt.Errorf("the namespace did not come up: %w", err)
	case r.Text != "":
		if file != nil {
			_ = file.Close()
		}
		return errors.New(r.Text)
	case file == nil:
		return errors.New("the namespace came up without a network")
	}
	b.network, err = newNetwork(file, cluster)
	return err
}

// whyNoNamespace says which setting of this machine forbids namespaces.
func whyNoNamespace(err error) string {
	for _, s := range []struct{ file, bad, what string }{
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor keeps ordinary users from making user namespaces (kernel.apparmor_restrict_unprivileged_userns=1)"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "this kernel gives user namespaces to root only (kernel.unprivileged_userns_clone=0)"},
		{"/proc/sys/user/max_user_namespaces", "0", "this machine allows no user namespaces (user.max_user_namespaces=0)"},
	} {
		if b, readErr := os.ReadFile(s.file); readErr == nil && strings.TrimSpace(string(b)) == s.bad {
			return s.what
		}
	}
	return fmt.Sprintf("this machine makes no user namespace: %v", err)
}

// listen hands out what the inside reports until it ends.
func (b *Isolated) listen() {
	for {
		var r report
		file, err := b.orders.receive(&r)
		if err != nil {
			b.lost()
			return
		}
		b.mu.Lock()
		if r.Kind == "ended" {
			if p := b.running[r.ID]; p != nil {
				delete(b.running, r.ID)
				p.end(r.Text)
			}
			b.mu.Unlock()
			continue
		}
		ch := b.waiting[r.ID]
		delete(b.waiting, r.ID)
		b.mu.Unlock()
		switch {
		case ch != nil:
			ch <- answer{r, file}
		case file != nil:
			_ = file.Close() // Whoever asked has gone.
		}
	}
}

// lost ends everything that waits for an inside that is gone.
func (b *Isolated) lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, ch := range b.waiting {
		delete(b.waiting, id)
		ch <- answer{report: report{Text: "the namespace has ended"}}
	}
	for id, p := range b.running {
		delete(b.running, id)
		p.end("the namespace has ended")
	}
	b.waiting = nil
}

// ask sends an order and waits for its answer.
func (b *Isolated) ask(ctx context.Context, o order, p *remote) (answer, error) {
	ch := make(chan answer, 1)
	b.mu.Lock()
	if b.waiting == nil {
		b.mu.Unlock()
		return answer{}, errors.New("the namespace has ended")
	}
	b.next++
	o.ID = b.next
	b.waiting[o.ID] = ch
	if p != nil {
		p.id = o.ID
		b.running[o.ID] = p
	}
	b.mu.Unlock()
	if err := b.orders.send(o, nil); err != nil {
		b.forget(o.ID)
		return answer{}, err
	}
	select {
	case a := <-ch:
		if a.Text != "" {
			b.forget(o.ID)
			return a, errors.New(a.Text)
		}
		return a, nil
	case <-ctx.Done():
		b.mu.Lock()
		delete(b.waiting, o.ID)
		b.mu.Unlock()
		select {
		case a := <-ch: // It came at the same moment.
			if a.file != nil {
				_ = a.file.Close()
			}
		default:
		}
		return answer{}, ctx.Err()
	}
}

func (b *Isolated) forget(id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, id)
	delete(b.running, id)
}

// remote is a program inside.
type remote struct {
	box  *Isolated
	id   int
	done chan struct{}
	err  error
}

func (p *remote) end(why string) {
	if why != "" {
		p.err = errors.New(why)
	}
	close(p.done)
}

// Done is closed when the program has ended.
func (p *remote) Done() <-chan struct{} { return p.done }

// Err says how it ended.
func (p *remote) Err() error { return p.err }

// Stop ends the program.
func (p *remote) Stop(grace time.Duration) {
	_ = p.box.orders.send(order{Kind: "stop", ID: p.id, Grace: grace}, nil) // Without the inside it is gone.
	select {
	case <-p.done:
	case <-p.box.done:
	}
}

// Start starts a program inside.
func (b *Isolated) Start(c Command) (Process, error) {
	p := &remote{box: b, done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), setupWithin)
	defer cancel()
	if _, err := b.ask(ctx, order{Kind: "start", Command: &c}, p); err != nil {
		return nil, err
	}
	return p, nil
}

// Dial connects to a port that a program inside listens on, on whatever address.
func (b *Isolated) Dial(ctx context.Context, port int) (net.Conn, error) {
	a, err := b.ask(ctx, order{Kind: "dial", Port: port}, nil)
	if err != nil {
		return nil, err
	}
	defer a.file.Close()
	return net.FileConn(a.file)
}

// Env returns the workload's values as they are, and the addresses of services as a
// container would have them.
func (b *Isolated) Env(workload []string) []string {
	return append(append([]string{}, workload...), ServiceEnv(b.place.Services, func(s Service, port int) (string, int, bool) {
		return s.Address, port, s.Address != ""
	})...)
}

// Close ends the inside with all programs in it, and the network.
func (b *Isolated) Close() error {
	err := b.orders.Close()
	select {
	case <-b.done:
	case <-time.After(stopWithin + time.Second):
		_ = unix.Kill(b.command.Process.Pid, unix.SIGKILL)
		<-b.done
	}
	if b.network != nil {
		b.network.close()
	}
	return err
}

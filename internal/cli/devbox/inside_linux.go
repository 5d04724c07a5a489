package devbox

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Addresses of the box's network: a range that is for benchmarks (RFC 2544), so that no
// cluster has it.
const (
	inner   = "198.18.0.2"
	gateway = "198.18.0.1"
	mtu     = 1500
)

// RunInside is the inside of an isolated box: it sets its namespaces up and starts programs
// as the outside orders, until the outside is gone. Then all programs are, too.
func RunInside() error {
	c, err := newChannel(os.NewFile(3, "outside"))
	if err != nil {
		return fmt.Errorf("this command is for towpath itself: %w", err)
	}
	i := &inside{channel: c, running: map[int]*process{}}
	defer i.stopAll()
	for {
		var o order
		if _, err := c.receive(&o); err != nil {
			return nil // The outside is gone, which is how this ends.
		}
		i.obey(o)
	}
}

type inside struct {
	channel  *channel
	uid, gid int

	mu      sync.Mutex
	running map[int]*process
}

func (i *inside) obey(o order) {
	switch o.Kind {
	case "setup":
		i.uid, i.gid = o.UID, o.GID
		tun, err := setUp(o.Resolver)
		i.answer(o.ID, tun, err)
		if tun != nil {
			_ = tun.Close() // The outside has it.
		}
	case "start":
		i.start(o)
	case "stop":
		i.mu.Lock()
		p := i.running[o.ID]
		i.mu.Unlock()
		if p != nil {
			go p.Stop(o.Grace)
		}
	case "dial":
		go i.dial(o)
	}
}

func (i *inside) answer(id int, file *os.File, err error) {
	r := report{ID: id, Kind: "done"}
	if err != nil {
		r.Text = err.Error()
	}
	_ = i.channel.send(r, file) // An outside that is gone ends the loop.
}

// start starts a program. It is its own user again, in a user namespace below this one, so
// that files are whose they were and it has no power over the network.
func (i *inside) start(o order) {
	out := Output{Out: os.Stdout, Err: os.Stderr}
	attr := ownGroup()
	if i.uid != 0 {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: i.uid, HostID: 0, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: i.gid, HostID: 0, Size: 1}}
	}
	p, err := start(*o.Command, out, attr)
	if err != nil && i.uid != 0 {
		p, err = start(*o.Command, out, ownGroup()) // Namespaces may be limited in depth.
	}
	if err == nil {
		i.mu.Lock()
		i.running[o.ID] = p
		i.mu.Unlock()
	}
	i.answer(o.ID, nil, err)
	if err != nil {
		return
	}
	go func() {
		<-p.Done()
		i.mu.Lock()
		delete(i.running, o.ID)
		i.mu.Unlock()
		r := report{ID: o.ID, Kind: "ended"}
		if err := p.Err(); err != nil {
			r.Text = err.Error()
		}
		_ = i.channel.send(r, nil)
	}()
}

func (i *inside) stopAll() {
	i.mu.Lock()
	var all []*process
	for _, p := range i.running {
		all = append(all, p)
	}
	i.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() { p.Stop(stopWithin) })
	}
	wg.Wait()
}

// dial connects to a program and hands the connection out: a descriptor works wherever it
// is, so that requests need not pass the userspace stack.
func (i *inside) dial(o order) {
	ctx, cancel := context.WithTimeout(context.Background(), holdFor)
	defer cancel()
	conn, err := DialLoopback(ctx, o.Port)
	if err != nil {
		var d net.Dialer
		if other, again := d.DialContext(ctx, "tcp", net.JoinHostPort(inner, strconv.Itoa(o.Port))); again == nil {
			conn, err = other, nil
		}
	}
	if err != nil {
		i.answer(o.ID, nil, err)
		return
	}
	defer conn.Close()
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		i.answer(o.ID, nil, err)
		return
	}
	i.answer(o.ID, file, nil)
	_ = file.Close()
}

// setUp gives the namespaces their resolver and their network, and returns the network's
// other end.
func setUp(resolver string) (*os.File, error) {
	if err := names(resolver); err != nil {
		return nil, err
	}
	tun, err := openTUN()
	if err != nil {
		return nil, fmt.Errorf("this machine gives no network device to a namespace: %w", err)
	}
	if err := configure(); err != nil {
		_ = tun.Close()
		return nil, fmt.Errorf("the namespace's network cannot be configured: %w", err)
	}
	return tun, nil
}

// hostsLine is the line of nsswitch.conf that says who resolves names.
var hostsLine = regexp.MustCompile(`(?m)^\s*hosts:.*$`)

// names has all names resolved by the box's network: no daemon of the host, which would
// ask the host's resolver, is asked.
func names(resolver string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("the namespace's mounts cannot be made its own: %w", err)
	}
	dir, err := os.MkdirTemp("", "towpath-dev-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // A bind mount holds its file.
	if err := over(filepath.Join(dir, "resolv.conf"), "/etc/resolv.conf", resolver); err != nil {
		return err
	}
	if b, err := os.ReadFile("/etc/nsswitch.conf"); err == nil {
		text := hostsLine.ReplaceAllString(string(b), "hosts: files dns")
		if err := over(filepath.Join(dir, "nsswitch.conf"), "/etc/nsswitch.conf", text); err != nil {
			return err
		}
	}
	if _, err := os.Stat("/run/nscd"); err == nil {
		if err := unix.Mount("none", "/run/nscd", "tmpfs", 0, "size=4k"); err != nil {
			return fmt.Errorf("the host's name cache cannot be hidden: %w", err)
		}
	}
	return nil
}

// over mounts a file with the text over another.
func over(file, target, text string) error {
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(file, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("%s cannot be replaced in the namespace: %w", target, err)
	}
	return nil
}

const deviceName = "towpath0"

// openTUN makes the network device.
func openTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	r, err := unix.NewIfreq(deviceName)
	if err == nil {
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("making the device: %w", err)
	}
	return os.NewFile(uintptr(fd), "tun"), nil
}

// configure brings loopback and the device up, and routes everything to the device.
func configure() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, step := range []struct {
		device string
		what   uint
		set    func(*unix.Ifreq) error
	}{
		{"lo", unix.SIOCSIFFLAGS, up},
		{deviceName, unix.SIOCSIFADDR, ip(inner)},
		{deviceName, unix.SIOCSIFNETMASK, ip("255.255.255.252")},
		{deviceName, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }},
		{deviceName, unix.SIOCSIFFLAGS, up},
	} {
		r, err := unix.NewIfreq(step.device)
		if err != nil {
			return err
		}
		if err := step.set(r); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, step.what, r); err != nil {
			return fmt.Errorf("%s: %w", step.device, err)
		}
	}
	return defaultRoute(s)
}

func up(r *unix.Ifreq) error {
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return nil
}

func ip(text string) func(*unix.Ifreq) error {
	return func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(text).To4()) }
}

// rtentry is struct rtentry of <linux/route.h> on 64-bit systems.
type rtentry struct {
	_       uint64
	dst     unix.RawSockaddrInet4
	gateway unix.RawSockaddrInet4
	mask    unix.RawSockaddrInet4
	flags   uint16
	_       int16
	_       [4]byte
	_       uint64
	_       uintptr
	metric  int16
	_       [6]byte
	device  uintptr
	_       uint64
	_       uint64
	_       uint16
	_       [6]byte
}

func defaultRoute(s int) error {
	r := rtentry{flags: unix.RTF_UP | unix.RTF_GATEWAY}
	for _, a := range []*unix.RawSockaddrInet4{&r.dst, &r.gateway, &r.mask} {
		a.Family = unix.AF_INET
	}
	r.gateway.Addr = [4]byte(net.ParseIP(gateway).To4())
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCADDRT, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return fmt.Errorf("adding the default route: %w", errno)
	}
	return nil
}

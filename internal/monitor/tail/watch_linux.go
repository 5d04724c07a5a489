package tail

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// notify is the watcher that uses inotify. It does not watch for writes: those are so many
// that asking for the sizes a few times a second is cheaper.
type notify struct {
	root string
	file *os.File
	out  chan string
	quit chan struct{}

	mu      sync.Mutex
	folders map[int32]string
}

func newWatcher(root string) (watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("starting inotify: %w", err)
	}
	n := &notify{root: root, file: os.NewFile(uintptr(fd), "inotify"), out: make(chan string, 64), quit: make(chan struct{}), folders: map[int32]string{}}
	go n.run()
	return n, nil
}

func (n *notify) add(folder string) error {
	const mask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
	n.mu.Lock()
	defer n.mu.Unlock()
	conn, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	var wd int
	var werr error
	if err := conn.Control(func(fd uintptr) {
		wd, werr = unix.InotifyAddWatch(int(fd), filepath.Join(n.root, folder), mask)
	}); err != nil {
		return err
	}
	if werr != nil {
		return fmt.Errorf("watching the folder %s: %w", filepath.Join(n.root, folder), werr)
	}
	n.folders[int32(wd)] = folder
	return nil
}

func (n *notify) changed() <-chan string { return n.out }

func (n *notify) close() error {
	close(n.quit)
	return n.file.Close()
}

func (n *notify) run() {
	buf := make([]byte, 64<<10)
	for {
		got, err := n.file.Read(buf)
		if err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		for _, folder := range n.parse(buf[:got]) {
			select {
			case n.out <- folder:
			case <-n.quit:
				return
			}
		}
	}
}

// parse reads events (inotify(7)) and returns the folders that they name, each once.
func (n *notify) parse(b []byte) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	named := map[string]bool{}
	for len(b) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		b = b[min(len(b), unix.SizeofInotifyEvent+size):]
		folder, ok := n.folders[wd]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			folder, ok = overflow, true
		}
		if mask&unix.IN_IGNORED != 0 {
			delete(n.folders, wd)
		}
		if ok && !named[folder] {
			named[folder] = true
			out = append(out, folder)
		}
	}
	return out
}

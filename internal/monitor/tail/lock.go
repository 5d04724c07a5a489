package tail

import (
	"fmt"
	"os"
	"syscall"
)

// lock makes sure that one Tailer works in a folder. It is held until unlock is called or
// the process ends.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the state: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another tailer works in the folder of %s; stop it or use another folder: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

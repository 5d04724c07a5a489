package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"towpath.dev/towpath/kube/internal/config"
)

// marker is the file that shows that a folder was made by this program, so that Reset never removes another one.
const marker = "towpath-kube"

// acquire claims the data folder for this process; the kernel gives it back when the process ends, however it ends. A folder
// that holds foreign files is refused.
func acquire(layout config.Layout, configFile string) (*os.File, error) {
	if err := claim(layout.Data, configFile); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(layout.Lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the cluster's lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(file, 32))
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("the cluster in %s is already up, process %s runs it: end that process first (SIGTERM)", layout.Data, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("locking %s: %w", layout.Lock(), err)
	}
	if err := errors.Join(file.Truncate(0), write(file, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		file.Close()
		return nil, fmt.Errorf("writing %s: %w", layout.Lock(), err)
	}
	return file, nil
}

func write(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// claim makes the data folder, or checks that it is one of ours. The configuration file may stand in it.
func claim(dir, configFile string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the cluster's data folder: %w", err)
	}
	path := filepath.Join(dir, marker)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading the cluster's data folder: %w", err)
	}
	foreign := slices.ContainsFunc(entries, func(entry os.DirEntry) bool { return filepath.Join(dir, entry.Name()) != configFile })
	if foreign {
		return fmt.Errorf("%s is not empty and was not made by towpath-kube: name another folder by \"data\" in the configuration", dir)
	}
	return os.WriteFile(path, []byte("This folder holds the state of an embedded Kubernetes cluster. `towpath-kube reset` removes it.\n"), 0o600)
}

package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/supervise"
)

const (
	networkResults = "/var/lib/cni/results"
	devicePlugins  = "/var/lib/kubelet/device-plugins"
)

// Reset ends whatever still runs of a cluster that is down, and removes every trace of it from the host, its data included. It
// uses Config, ConfigFile, Layout and Emit of the options. It refuses while the cluster is up, and refuses a data folder that
// this program did not make.
func Reset(ctx context.Context, o Options) error {
	c, layout, emit := o.Config, o.Layout, o.Emit
	lock, err := acquire(layout, o.ConfigFile)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := endSurvivors(ctx, c, layout, emit); err != nil {
		return err
	}
	if err := releaseHost(ctx, c, layout); err != nil {
		return err
	}
	if err := errors.Join(removeNetworkResults(c), removeDeviceSocket()); err != nil {
		return err
	}
	if err := os.RemoveAll(layout.Data); err != nil {
		return fmt.Errorf("removing the cluster's data: %w", err)
	}
	return nil
}

// endSurvivors ends pods that a killed supervisor left running. It asks containerd first, which also takes down the pods'
// networks, and then kills what is left by what only this cluster has: its control group and its containerd's address.
func endSurvivors(ctx context.Context, c config.Config, layout config.Layout, emit func(supervise.Event)) error {
	if _, err := os.Stat(layout.File("containerd.toml")); err == nil && len(shims(layout)) > 0 {
		p := plan{config: c, layout: layout, probes: &probes{config: c, layout: layout}}
		containerd, err := supervise.Start(p.containerd(), emit)
		if err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, downLimit)
		select {
		case <-containerd.Ready():
			err = stopSandboxes(limited, p.probes)
		case <-limited.Done():
			err = limited.Err()
		}
		cancel()
		containerd.Stop()
		if err != nil && ctx.Err() != nil {
			return err
		}
	}
	return retry(ctx, 10*time.Second, func() error {
		left := append(shims(layout), groupMembers(c)...)
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended meanwhile
		}
		if len(left) > 0 {
			return fmt.Errorf("%d processes of the cluster's pods do not end", len(left))
		}
		return nil
	})
}

// shims lists the processes that hold containers for this cluster's containerd.
func shims(layout config.Layout) []int {
	var pids []int
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range commands {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended
		}
		words := strings.Split(string(content), "\x00")
		if filepath.Base(words[0]) != "containerd-shim-runc-v2" {
			continue
		}
		for i, word := range words[:len(words)-1] {
			if word == "-address" && words[i+1] == layout.ContainerdSocket() {
				if pid, err := strconv.Atoi(strings.Split(path, "/")[2]); err == nil {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

// groupMembers lists the processes in the cluster's control groups.
func groupMembers(c config.Config) []int {
	roots, err := allHierarchies()
	if err != nil {
		return nil // then there is no group either
	}
	var pids []int
	for _, root := range roots {
		_ = filepath.WalkDir(filepath.Join(root, cgroupName(c)), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil
			}
			file, err := os.Open(path)
			if err != nil {
				return nil // the group is gone
			}
			defer file.Close()
			for lines := bufio.NewScanner(file); lines.Scan(); {
				if pid, err := strconv.Atoi(lines.Text()); err == nil {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// removeNetworkResults removes what the network library remembers of this cluster's pods, in a folder all clusters share.
func removeNetworkResults(c config.Config) error {
	files, err := filepath.Glob(filepath.Join(networkResults, "towpath-"+c.Bridge+"-*"))
	if err != nil {
		return fmt.Errorf("looking for network results: %w", err)
	}
	var problems []error
	for _, file := range files {
		problems = append(problems, os.Remove(file))
	}
	return errors.Join(problems...)
}

// removeDeviceSocket removes the kubelet's device plugin socket, whose place is fixed upstream, unless a kubelet answers there.
func removeDeviceSocket() error {
	socket := filepath.Join(devicePlugins, "kubelet.sock")
	if answers(socket) {
		return nil
	}
	for _, path := range []string{socket, filepath.Join(devicePlugins, "kubelet_internal_checkpoint"), filepath.Join(devicePlugins, "DEPRECATION")} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the kubelet's device state: %w", err)
		}
	}
	// Folders are removed only when nothing of somebody else is in them.
	_ = os.Remove(devicePlugins)
	_ = os.Remove(filepath.Dir(devicePlugins))
	return nil
}

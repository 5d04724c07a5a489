package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"towpath.dev/towpath/internal/fault"
)

// check is one finding of doctor, in the same form as those of `towpath-kube check`.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warn, fail
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// minFree is the room on the data folder's disk below which things will soon break.
const minFree = 5 << 30

// diagnose checks the programs, the disk, the host and the server.
func (e *env) diagnose(ctx context.Context, data string) []check {
	out := []check{gitCheck(ctx), diskCheck(data)}
	dir, err := programs()
	if err != nil {
		return append(out, check{"programs", "fail", err.Error(), "install Towpath again"})
	}
	for _, p := range []string{"towpath-hook", "towpath-agent", "towpath-kube", "kube/buildkitd", "kube/runc"} {
		k := check{Name: p, Status: "ok", Detail: filepath.Join(dir, p)}
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			k = check{p, "fail", "not beside towpath in " + dir, "build it: make build kube"}
		}
		out = append(out, k)
	}
	out = append(out, hostChecks(ctx, dir)...)
	return append(out, e.serverCheck(ctx))
}

func gitCheck(ctx context.Context) check {
	v, err := exec.CommandContext(ctx, "git", "version").Output()
	if err != nil {
		return check{"git", "fail", "git cannot be run", "apt-get install git"}
	}
	return check{Name: "git", Status: "ok", Detail: strings.TrimSpace(string(v))}
}

func diskCheck(data string) check {
	dir := data
	for {
		var st syscall.Statfs_t
		err := syscall.Statfs(dir, &st)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return check{"disk", "fail", err.Error(), "choose another folder with --data DIR"}
		}
		free := st.Bavail * uint64(st.Bsize)
		k := check{Name: "disk", Status: "ok", Detail: fmt.Sprintf("%d GiB free for %s", free>>30, data)}
		if free < minFree {
			k.Status, k.Fix = "warn", "free some room: images and build caches need a few GiB"
		}
		return k
	}
}

func hostChecks(ctx context.Context, dir string) []check {
	b, _ := exec.CommandContext(ctx, filepath.Join(dir, "towpath-kube"), "check", "-o", "json").Output()
	var got []check
	if json.Unmarshal(b, &got) != nil {
		return nil // The missing program was reported already.
	}
	return got
}

func (e *env) serverCheck(ctx context.Context) check {
	client, err := e.client()
	if err == nil {
		s, serr := status(ctx, client)
		if serr == nil {
			return check{Name: "server", Status: "ok", Detail: s.URL + ", cluster " + s.Cluster.State}
		}
		err = serr
	}
	message, next := fault.Public(err)
	return check{"server", "warn", message, next}
}

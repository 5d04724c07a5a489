package build

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/client"

	"towpath.dev/towpath/internal/fault"
)

// Config says where the builder's programs and state are.
type Config struct {
	Programs string // folder with buildkitd and runc; see FindPrograms
	Root     string // folder for BuildKit's cache and state
	Socket   string // path of the daemon's socket, at most 100 bytes
	LogFile  string // what the daemon prints is appended here

	Host     string // host of our registry in image names, "localhost:7080"
	Insecure bool   // the registry is served without TLS

	CacheBytes int64 // how much the build cache may take; 0 means 10 GB
}

// FindPrograms returns the folder that holds buildkitd: the one named by the environment
// variable TOWPATH_KUBE_BIN, else "kube" beside the running program, else "". env looks a
// variable up; executable is the program's path.
func FindPrograms(env func(string) string, executable string) string {
	for _, dir := range []string{env("TOWPATH_KUBE_BIN"), filepath.Join(filepath.Dir(executable), "kube")} {
		if dir == "" {
			continue
		}
		if st, err := os.Stat(filepath.Join(dir, "buildkitd")); err == nil && st.Mode().IsRegular() {
			return dir
		}
	}
	return ""
}

// check says what keeps the daemon from running, before it is tried.
func (c Config) check() error {
	for _, p := range []string{"buildkitd", "runc"} {
		if st, err := os.Stat(filepath.Join(c.Programs, p)); c.Programs == "" || err != nil || !st.Mode().IsRegular() {
			return fault.New(fault.Unavailable, "Images cannot be built here: the program %s is missing.", p).
				WithNext("install Towpath with its folder kube/ beside the program, or set TOWPATH_KUBE_BIN to it")
		}
	}
	if os.Geteuid() != 0 {
		return fault.New(fault.Unavailable, "Images cannot be built here: the builder needs root to make containers.").
			WithNext("run the Towpath server as root, or build elsewhere and push")
	}
	if len(c.Socket) > 100 {
		return fault.New(fault.Invalid, "The path of the builder's socket is longer than the 100 bytes that Linux takes.").
			WithNext("choose a shorter data folder")
	}
	return nil
}

// Restarts wait between these.
const (
	firstPause  = 200 * time.Millisecond
	longestWait = 30 * time.Second
	stopGrace   = 10 * time.Second
)

// Run keeps the daemon running until ctx ends, then stops it and returns nil. When the
// daemon cannot run here at all, the reason is logged and Build returns it: a server
// without a builder still does everything else.
func (b *Builder) Run(ctx context.Context) error {
	if err := b.cfg.check(); err != nil {
		b.setDown(err)
		message, _ := fault.Public(err)
		b.log.Warn("no image builder", "why", message)
		<-ctx.Done()
		return nil
	}
	pause := firstPause
	for {
		began := b.clock.Now()
		err := b.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if b.clock.Now().Sub(began) > time.Minute {
			pause = firstPause
		}
		b.setDown(fault.Wrap(fault.Unavailable, err, "The image builder stopped and is being started again.").WithNext("try again in a moment"))
		b.log.Error("buildkitd ended", "error", err, "restart_in", pause, "log", b.cfg.LogFile)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, longestWait)
	}
}

// once runs the daemon until it ends.
func (b *Builder) once(ctx context.Context) error {
	file, err := b.prepare()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(b.cfg.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the builder's log: %w", err)
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(b.cfg.Programs, "buildkitd"),
		"--config", file, "--root", b.cfg.Root, "--addr", "unix://"+b.cfg.Socket,
		"--oci-worker=true", "--containerd-worker=false", "--oci-worker-binary="+filepath.Join(b.cfg.Programs, "runc"), "--oci-worker-net=host")
	cmd.Env = []string{
		"PATH=" + b.cfg.Programs + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + b.cfg.Root, "TMPDIR=" + filepath.Join(b.cfg.Root, "tmp"), "LANG=C.UTF-8",
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.cfg.Root, out, out
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return terminate(cmd.Process) }
	cmd.WaitDelay = stopGrace
	// The kernel tells the child of our death when the thread that started it ends, so
	// that thread must live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting buildkitd: %w", err)
	}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	go b.awaitReady(watch)
	err = cmd.Wait()
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("buildkitd: %w; it said last: %s", err, lastLine(b.cfg.LogFile))
}

// prepare makes the folders and writes the daemon's configuration.
func (b *Builder) prepare() (file string, err error) {
	for _, dir := range []string{filepath.Join(b.cfg.Root, "tmp"), filepath.Dir(b.cfg.Socket), filepath.Dir(b.cfg.LogFile)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("making the builder's folders: %w", err)
		}
	}
	space := b.cfg.CacheBytes
	if space <= 0 {
		space = 10_000_000_000
	}
	conf := fmt.Sprintf(`[worker.oci]
gc = true
maxUsedSpace = %d
[frontend."gateway.v0"]
enabled = false
[cdi]
disabled = true
[registry.%s]
http = %t
`, space, strconv.Quote(b.cfg.Host), b.cfg.Insecure)
	file = filepath.Join(b.cfg.Root, "buildkitd.toml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return "", fmt.Errorf("writing the builder's configuration: %w", err)
	}
	return file, nil
}

// awaitReady connects to the daemon as soon as it answers.
func (b *Builder) awaitReady(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := client.New(ctx, "unix://"+b.cfg.Socket)
		if err == nil {
			if _, err = c.Info(ctx); err == nil {
				b.setUp(c)
				b.log.Info("buildkitd is ready", slog.String("socket", b.cfg.Socket))
				return
			}
			err = errors.Join(err, c.Close())
		}
		b.log.Debug("buildkitd does not answer yet", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// lastLine returns the end of the daemon's log, for an error message.
func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	buf := make([]byte, min(st.Size(), 2048))
	if _, err := f.ReadAt(buf, st.Size()-int64(len(buf))); err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(buf)), "\n")
	return lines[len(lines)-1]
}

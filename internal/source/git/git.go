package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options say how git is run.
type Options struct {
	// Program is the name or path of git; "" means "git" in the server's PATH.
	Program string
	// HooksDir holds the hooks that receive-pack runs. It must be absolute. Hooks
	// inside repositories are never run.
	HooksDir string
	// MaxInput is the largest pack in bytes that a push may bring.
	MaxInput int64
}

// Git is the program with its fixed environment. It is safe for concurrent use.
type Git struct {
	program string
	config  []string
	pool    pool
}

// ErrLimit says that git printed more than the caller allows. What was read up to
// the limit is returned beside it.
var ErrLimit = errors.New("git printed more than the limit")

// ExitError says that git ended with a status other than 0.
type ExitError struct {
	Command string // the subcommand
	Code    int
	Stderr  string // at most 4 KiB
}

// Error returns the subcommand, the status and what git said.
func (e *ExitError) Error() string {
	return fmt.Sprintf("git %s ended with status %d: %s", e.Command, e.Code, strings.TrimSpace(e.Stderr))
}

// Is lets errors.Is(err, syscall.ENOSPC) find a disk that git found full.
func (e *ExitError) Is(target error) bool {
	return target == syscall.ENOSPC && strings.Contains(e.Stderr, "No space left on device")
}

// callTimeout bounds a call whose context has no deadline of its own.
const callTimeout = 60 * time.Second

var versionForm = regexp.MustCompile(`^git version (\d+)\.(\d+)`)

// Open finds git and checks that it is 2.38 or newer, the first version with
// merge-tree --write-tree.
func Open(ctx context.Context, o Options) (*Git, error) {
	if o.Program == "" {
		o.Program = "git"
	}
	path, err := exec.LookPath(o.Program)
	if err != nil {
		return nil, fmt.Errorf("finding git: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("finding git: %w", err)
	}
	g := &Git{program: path, config: settings(o)}
	out, err := g.Run(ctx, "/", nil, 1<<10, "version")
	if err != nil {
		return nil, err
	}
	m := versionForm.FindSubmatch(out)
	if m == nil {
		return nil, fmt.Errorf("reading the version of git from %q", out)
	}
	major, _ := strconv.Atoi(string(m[1])) // The pattern allows digits only.
	minor, _ := strconv.Atoi(string(m[2]))
	if major < 2 || major == 2 && minor < 38 {
		return nil, fmt.Errorf("git %d.%d is too old: 2.38 or newer is needed", major, minor)
	}
	return g, nil
}

// settings returns the -c options of every call. They win over any configuration
// file, also over one inside the repository.
func settings(o Options) []string {
	var out []string
	for _, kv := range []string{
		"safe.directory=*", // the repositories lie in the server's own folder
		"core.hooksPath=" + o.HooksDir,
		"core.quotePath=true", // what the diff parser relies on
		"core.fsmonitor=false",
		// An acknowledged push survives a power cut.
		"core.fsync=objects,derived-metadata,reference",
		"protocol.allow=never", // the server's git fetches from nowhere
		"gc.auto=0",
		"maintenance.auto=false",
		"receive.autogc=false",
		"receive.fsckObjects=true",
		// Old but harmless: commits made by ancient tools in real histories.
		"receive.fsck.zeroPaddedFilemode=ignore",
		"receive.fsck.badTimezone=ignore",
		// Keep the pack: one file to sync instead of one for each object.
		"receive.unpackLimit=1",
		"receive.maxInputSize=" + strconv.FormatInt(o.MaxInput, 10),
		"receive.denyDeleteCurrent=refuse",
		"receive.advertisePushOptions=true",
		"transfer.hideRefs=refs/internal",
		"receive.hideRefs=refs/pull", // kept by the server; fetched, never pushed
		"uploadpack.allowFilter=true",
		"pack.writeReverseIndex=true",
		"diff.renameLimit=1000",
		"i18n.logOutputEncoding=UTF-8",
		"log.showSignature=false",
		"color.ui=false",
	} {
		out = append(out, "-c", kv)
	}
	return out
}

// environment is everything a git process sees of its surroundings.
func environment() []string {
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_LITERAL_PATHSPECS=1",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_ALLOW_PROTOCOL=none",
	}
}

// Command prepares git with the repository at dir, an absolute path, as its working
// folder and its repository. The caller starts it. It is ended when ctx ends: first
// with SIGTERM, on which git removes its lock files, then with SIGKILL.
func (g *Git) Command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	all := make([]string, 0, len(g.config)+len(args)+1)
	all = append(all, g.config...)
	all = append(all, "--git-dir=.")
	cmd := exec.CommandContext(ctx, g.program, append(all, args...)...)
	cmd.Dir = dir
	cmd.Env = environment()
	// A group of its own, so that git's children are ended with it; and the end of
	// this process is the end of git.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Run runs git to its end and returns what it printed, at most limit bytes; when
// there was more it returns ErrLimit too. A status other than 0 is an *ExitError.
// env adds nothing; use RunEnv for that.
func (g *Git) Run(ctx context.Context, dir string, in io.Reader, limit int64, args ...string) ([]byte, error) {
	return g.RunEnv(ctx, dir, nil, in, limit, args...)
}

// RunEnv is Run with more environment variables, "NAME=value" each.
func (g *Git) RunEnv(ctx context.Context, dir string, env []string, in io.Reader, limit int64, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cmd := g.Command(ctx, dir, args...)
	cmd.Env = append(cmd.Env, env...)
	out := &capped{limit: limit, full: cancel}
	said := &capped{limit: 4 << 10}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, said
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case out.over:
		return out.buf.Bytes(), ErrLimit
	case err == nil:
		return out.buf.Bytes(), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("running git %s: %w", args[0], ctx.Err())
	case errors.As(err, &exit):
		return out.buf.Bytes(), &ExitError{Command: args[0], Code: exit.ExitCode(), Stderr: said.buf.String()}
	}
	return nil, fmt.Errorf("running git %s: %w", args[0], err)
}

// capped keeps the first limit bytes written to it, then calls full once and
// swallows the rest.
type capped struct {
	buf   bytes.Buffer
	limit int64
	over  bool
	full  func()
}

// Write never fails, so that the child ends by signal and not by a broken pipe.
func (c *capped) Write(p []byte) (int, error) {
	room := c.limit - int64(c.buf.Len())
	if int64(len(p)) <= room {
		return c.buf.Write(p)
	}
	c.buf.Write(p[:room])
	if !c.over && c.full != nil {
		c.full()
	}
	c.over = true
	return len(p), nil
}

// IsHash reports whether s is a full object name: 40 lower-case hex digits.
func IsHash(s string) bool { return len(s) == 40 && isHex(s) }

func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// Zero is the hash that stands for "no object" in a ref's move.
const Zero = "0000000000000000000000000000000000000000"

// EmptyTree is the hash of the tree without entries, which every repository knows.
const EmptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

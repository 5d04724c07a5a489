package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// snapshot is the state of a folder as a commit in a bare repository of the run.
type snapshot struct {
	commit, ref, title string
	// changed says that the folder differs from its last commit.
	changed bool
}

// take makes a snapshot of a folder in the bare repository, which is made when it is not
// there. Objects that the folder's own repository has are not copied, and nothing in the
// folder or its .git is written. A folder that is no repository is one commit.
func take(ctx context.Context, dir, bare string) (snapshot, error) {
	g := gitter{dir: dir, bare: bare}
	if _, err := os.Stat(bare); errors.Is(err, fs.ErrNotExist) {
		if err := g.initialise(ctx); err != nil {
			return snapshot{}, err
		}
	}
	own := false
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		own = true
		if err := g.borrow(ctx); err != nil {
			return snapshot{}, err
		}
	}
	return g.commit(ctx, own)
}

// gitter runs git for one snapshot.
type gitter struct{ dir, bare string }

// initialise makes the bare repository; agents fetch any commit of it, and filters work.
func (g gitter) initialise(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(g.bare), 0o700); err != nil {
		return fmt.Errorf("making the folder of a snapshot: %w", err)
	}
	if _, err := run(ctx, nil, "init", "--quiet", "--bare", "--template=", g.bare); err != nil {
		return err
	}
	for _, kv := range [][2]string{{"uploadpack.allowAnySHA1InWant", "true"}, {"uploadpack.allowFilter", "true"}, {"gc.auto", "0"}} {
		if _, err := run(ctx, nil, "--git-dir", g.bare, "config", kv[0], kv[1]); err != nil {
			return err
		}
	}
	return nil
}

// borrow makes the objects, branches and tags of the folder's repository known to the bare
// one.
func (g gitter) borrow(ctx context.Context) error {
	objects, err := g.own(ctx, "rev-parse", "--path-format=absolute", "--git-path", "objects")
	if err != nil {
		return err
	}
	info := filepath.Join(g.bare, "objects", "info")
	if err := os.MkdirAll(info, 0o700); err != nil {
		return fmt.Errorf("making a snapshot of %s: %w", g.dir, err)
	}
	f, err := os.OpenFile(filepath.Join(info, "alternates"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("making a snapshot of %s: %w", g.dir, err)
	}
	_, err = f.WriteString(objects + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("making a snapshot of %s: %w", g.dir, err)
	}
	// Where history was cut off, and which files the user ignores by himself.
	for _, name := range []string{"shallow", "info/exclude"} {
		from, err := g.own(ctx, "rev-parse", "--path-format=absolute", "--git-path", name)
		if err != nil {
			return err
		}
		if err := copyFile(from, filepath.Join(g.bare, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("making a snapshot of %s: %w", g.dir, err)
		}
	}
	refs, err := g.own(ctx, "for-each-ref", "--format=create %(refname) %(objectname)", "refs/heads", "refs/tags")
	if err != nil || refs == "" {
		return err
	}
	// A second snapshot into the same repository meets refs that are there.
	_, err = run(ctx, strings.NewReader(strings.ReplaceAll("\n"+refs+"\n", "\ncreate ", "\nupdate ")[1:]), "--git-dir", g.bare, "update-ref", "--stdin")
	return err
}

// commit writes the files of the folder as a tree, and a commit of it unless the last one of
// the folder is just that.
func (g gitter) commit(ctx context.Context, own bool) (snapshot, error) {
	s := snapshot{ref: "refs/heads/main", title: "The files of " + filepath.Base(g.dir), changed: true}
	index := filepath.Join(g.bare, "snapshot-index")
	defer os.Remove(index)
	var head string
	if own {
		if ref, err := g.own(ctx, "symbolic-ref", "--quiet", "HEAD"); err == nil {
			s.ref = ref
		}
		head, _ = g.own(ctx, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")
		// The user's index knows which files have not changed; a snapshot is quick with it.
		if from, err := g.own(ctx, "rev-parse", "--path-format=absolute", "--git-path", "index"); err == nil {
			if err := copyFile(from, index); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return s, fmt.Errorf("making a snapshot of %s: %w", g.dir, err)
			}
		}
	}
	tree, err := g.tree(ctx, index)
	if err != nil {
		// An index of another form, such as a split one, is of no use here.
		if rerr := os.Remove(index); rerr != nil {
			return s, err
		}
		if tree, err = g.tree(ctx, index); err != nil {
			return s, err
		}
	}
	args := []string{"--git-dir", g.bare, "commit-tree", tree}
	if head != "" {
		if s.title, err = g.own(ctx, "log", "-1", "--format=%s", head); err != nil {
			return s, err
		}
		before, err := g.own(ctx, "rev-parse", head+"^{tree}")
		if err != nil {
			return s, err
		}
		if s.commit, s.changed = head, before != tree; s.changed {
			args = append(args, "-p", head)
		}
	}
	if s.changed {
		if s.commit, err = run(ctx, strings.NewReader(s.title+" (with uncommitted changes)\n"), args...); err != nil {
			return s, err
		}
	}
	_, err = run(ctx, nil, "--git-dir", g.bare, "update-ref", s.ref, s.commit)
	return s, err
}

// tree writes the files of the folder into the bare repository.
func (g gitter) tree(ctx context.Context, index string) (string, error) {
	at := []string{"GIT_DIR=" + g.bare, "GIT_WORK_TREE=" + g.dir, "GIT_INDEX_FILE=" + index}
	if _, err := command(ctx, g.dir, at, nil, "add", "--all", "."); err != nil {
		return "", err
	}
	return command(ctx, g.dir, at, nil, "write-tree")
}

// own runs git in the folder's own repository.
func (g gitter) own(ctx context.Context, args ...string) (string, error) {
	return command(ctx, g.dir, nil, nil, args...)
}

func run(ctx context.Context, in *strings.Reader, args ...string) (string, error) {
	return command(ctx, "", nil, in, args...)
}

// command runs git and returns what it prints. It never asks anything, and trusts the
// folder that the caller named whoever owns it.
func command(ctx context.Context, dir string, env []string, in *strings.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GIT_") || strings.HasPrefix(kv, "GIT_CONFIG_GLOBAL=") || strings.HasPrefix(kv, "GIT_CONFIG_NOSYSTEM=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_TERMINAL_PROMPT=0", "GIT_ADVICE=0", "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C",
		"GIT_CONFIG_COUNT=3", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_CONFIG_KEY_1=core.hooksPath", "GIT_CONFIG_VALUE_1=/dev/null", "GIT_CONFIG_KEY_2=core.safecrlf", "GIT_CONFIG_VALUE_2=false",
		"GIT_AUTHOR_NAME=towpath", "GIT_AUTHOR_EMAIL=towpath@localhost", "GIT_COMMITTER_NAME=towpath", "GIT_COMMITTER_EMAIL=towpath@localhost")
	cmd.Env = append(cmd.Env, env...)
	if in != nil {
		cmd.Stdin = in
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

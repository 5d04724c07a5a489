package agent

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"time"

	"towpath.dev/towpath/internal/pipeline/protocol"
)

// taskDigest is the digest of the files of an added task.
var taskDigest = regexp.MustCompile(`^sha256:([0-9a-f]{64})$`)

// Limits of the files of added tasks.
const (
	maxTaskUnpacked = 512 << 20
	// keepTasks is how long the files of a task stay that no job has used.
	keepTasks = 30 * 24 * time.Hour
)

// tasksDir is where the agent keeps the files of added tasks: HEX.zip and, when steps run as
// a user who cannot write there, HEX with what is in it.
func (a *Agent) tasksDir() string { return filepath.Join(a.cfg.Dir, "tasks") }

// taskFolder returns the folder of an added task, which the user of the steps can read. The
// zip is compared with its digest each time that it is unpacked; unpacked files are shared by
// jobs only where no job can change them.
func (s *stepRun) taskFolder(ctx context.Context, t *protocol.Added) (string, error) {
	m := taskDigest.FindStringSubmatch(t.Digest)
	if m == nil {
		return "", fmt.Errorf("the server names the files of %s %q, which is no digest", t.Task, t.Digest)
	}
	s.agent.taskLock.Lock()
	defer s.agent.taskLock.Unlock()
	archive := filepath.Join(s.agent.tasksDir(), m[1]+".zip")
	dir, shared := filepath.Join(s.agent.tasksDir(), m[1]), s.space.uid != nil
	if !shared {
		dir = s.space.path(dirTemp, "task-"+m[1])
	}
	if _, err := os.Stat(dir); err == nil {
		now := time.Now()
		_ = os.Chtimes(archive, now, now) // It is a note for prune alone.
		return dir, nil
	}
	err := verify(archive, m[1])
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errOtherFiles) {
		if err = s.downloadTask(ctx, t, archive); err == nil {
			err = verify(archive, m[1])
		}
	}
	if err == nil {
		err = s.unpackTask(archive, dir, shared)
	}
	if err != nil {
		return "", fmt.Errorf("getting the files of %s %s: %w", t.Task, t.Version, err)
	}
	return dir, nil
}

var errOtherFiles = errors.New("the files are not those that were added")

// verify compares a file with its digest.
func verify(name, want string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != want {
		return errOtherFiles
	}
	return nil
}

func (s *stepRun) downloadTask(ctx context.Context, t *protocol.Added, archive string) error {
	res, err := s.agent.client.send(ctx, http.MethodGet, "jobs/"+s.job.ID+"/added/"+t.Digest, s.job.Lease, nil, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	f, err := os.CreateTemp(filepath.Dir(archive), "new-")
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(res.Body, protocol.MaxTask+1))
	if n > protocol.MaxTask {
		err = errors.Join(err, fmt.Errorf("they have more than %d bytes", protocol.MaxTask))
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), archive)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// unpackTask unpacks a zip beside its place and moves it there: a folder that is there is
// whole.
func (s *stepRun) unpackTask(archive, dir string, shared bool) error {
	parent := s.agent.tasksDir()
	if !shared {
		parent = s.space.path(dirTemp)
	}
	tmp, err := os.MkdirTemp(parent, "new-")
	if err != nil {
		return err
	}
	if err = os.Chmod(tmp, 0o755); err == nil {
		err = unzip(archive, tmp)
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return nil
}

func unzip(archive, dir string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := int64(maxTaskUnpacked)
	for _, f := range z.File {
		if !filepath.IsLocal(f.Name) || !f.Mode().IsRegular() {
			return fmt.Errorf("%q is no file of a task", f.Name)
		}
		n, err := unzipFile(root, f, left)
		if err != nil {
			return fmt.Errorf("unpacking %s: %w", f.Name, err)
		}
		if left -= n; left < 0 {
			return fmt.Errorf("unpacked they have more than %d bytes", maxTaskUnpacked)
		}
	}
	return nil
}

func unzipFile(root *os.Root, f *zip.File, left int64) (int64, error) {
	if err := root.MkdirAll(path.Dir(f.Name), 0o755); err != nil {
		return 0, err
	}
	from, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer from.Close()
	to, err := root.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644|f.Mode().Perm()&0o111)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(to, io.LimitReader(from, left+1))
	return n, errors.Join(err, to.Close())
}

// pruneTasks removes the files of tasks that no job has used for long, when no job runs.
func (a *Agent) pruneTasks(now time.Time) error {
	entries, err := os.ReadDir(a.tasksDir())
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		info, err := e.Info()
		name := e.Name()
		if err != nil || filepath.Ext(name) != ".zip" || now.Sub(info.ModTime()) < keepTasks {
			continue
		}
		folder := filepath.Join(a.tasksDir(), name[:len(name)-len(".zip")])
		errs = append(errs, os.Remove(filepath.Join(a.tasksDir(), name)), os.RemoveAll(folder))
	}
	return errors.Join(errs...)
}

package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// workspace is the folder of one job (P007). It belongs to the user of the steps, its
// parent to the agent; the agent reaches into it through root only.
type workspace struct {
	dir      string
	root     *os.Root
	uid, gid *uint32
}

// The folders of a workspace.
const (
	dirSources  = "s"
	dirStaging  = "a"
	dirBinaries = "b"
	dirTests    = "TestResults"
	dirTemp     = "_temp"
	dirHome     = "_home"
)

// openWorkspace makes the clean workspace of a slot. Its path is the same for every
// job of the slot, because compilers' caches depend on it.
func (a *Agent) openWorkspace(slot int) (*workspace, error) {
	dir := filepath.Join(a.cfg.Dir, strconv.Itoa(slot))
	if err := a.discard(dir); err != nil {
		return nil, err
	}
	w := &workspace{dir: dir, uid: a.cfg.UID, gid: a.cfg.GID}
	for _, sub := range []string{"", dirSources, dirStaging, dirBinaries, dirTests, dirTemp, dirHome} {
		path := filepath.Join(dir, sub)
		if err := os.Mkdir(path, 0o755); err != nil {
			return nil, fmt.Errorf("making the workspace: %w", err)
		}
		if w.uid != nil {
			if err := os.Lchown(path, int(*w.uid), int(*w.gid)); err != nil {
				return nil, fmt.Errorf("giving the workspace to its user: %w", err)
			}
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the workspace: %w", err)
	}
	w.root = root
	return w, nil
}

func (w *workspace) path(sub ...string) string {
	return filepath.Join(append([]string{w.dir}, sub...)...)
}

// write makes a file that belongs to the user of the steps.
func (w *workspace) write(name string, content []byte, mode os.FileMode) error {
	f, err := w.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if w.uid != nil {
		err = errors.Join(err, f.Chown(int(*w.uid), int(*w.gid)))
	}
	return errors.Join(err, f.Close())
}

// mkdirAll makes a folder and its parents, all of the user of the steps.
func (w *workspace) mkdirAll(name string) error {
	if name == "." || name == "" {
		return nil
	}
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '/' || i == 0 {
			continue
		}
		err := w.root.Mkdir(name[:i], 0o755)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err == nil && w.uid != nil {
			err = w.root.Lchown(name[:i], int(*w.uid), int(*w.gid))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inside turns a path that a pipeline names, absolute or relative to base, into one
// relative to the workspace, and refuses what lies outside.
func (w *workspace) inside(base, path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	rel, err := filepath.Rel(w.dir, filepath.Clean(path))
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", fmt.Errorf("%s lies outside the workspace of the job; use a path below $(Pipeline.Workspace)", path)
	}
	return rel, nil
}

// open opens a regular file of the workspace for reading. A file that belongs to
// someone else than the user of the steps, which only a hard link can bring here, is
// refused.
func (w *workspace) open(name string) (*os.File, os.FileInfo, error) {
	// O_NONBLOCK: opening a pipe must not wait for its other end.
	f, err := w.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err == nil && w.uid != nil {
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != *w.uid {
			err = fmt.Errorf("%s does not belong to the user of the job", name)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

func (w *workspace) close() error { return w.root.Close() }

// passOn names the variables of the agent's own environment that steps see: how to
// reach the network and package proxies. Nothing else is passed on.
var passOn = []string{
	"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GONOPROXY", "GOPRIVATE", "GOFLAGS", "GOTOOLCHAIN", "GOINSECURE",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ",
}

// toolPath is where steps find programs: the system's folders and Go's usual one. When
// the agent itself finds go elsewhere, that folder comes last.
const toolPath = "/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// baseEnv is the environment of every step before variables.
func (a *Agent) baseEnv(w *workspace) map[string]string {
	env := map[string]string{
		"HOME": w.path(dirHome), "PATH": toolPath, "SHELL": "/bin/bash", "LANG": "C.UTF-8", "TMPDIR": w.path(dirTemp),
		"USER": "towpath-agent", "LOGNAME": "towpath-agent", "TF_BUILD": "True",
		"GOCACHE": filepath.Join(a.cfg.Shared, "cache", "go-build"), "GOMODCACHE": filepath.Join(a.cfg.Shared, "cache", "go-mod"),
		"XDG_CACHE_HOME": filepath.Join(a.cfg.Shared, "cache"), "GIT_TERMINAL_PROMPT": "0",
	}
	if a.cfg.Path != "" {
		env["PATH"] = a.cfg.Path
	}
	for _, kv := range a.cfg.Env {
		name, value, _ := strings.Cut(kv, "=")
		if name == "PATH" && a.cfg.Path == "" {
			env["PATH"] += goFolder(value)
		}
		for _, p := range passOn {
			if p == name {
				env[name] = value
			}
		}
	}
	return env
}

// goFolder returns ":" and the folder of a search path that holds go, or "".
func goFolder(path string) string {
	for _, dir := range filepath.SplitList(path) {
		info, err := os.Stat(filepath.Join(dir, "go"))
		if err == nil && filepath.IsAbs(dir) && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			if strings.Contains(":"+toolPath+":", ":"+dir+":") {
				return ""
			}
			return ":" + dir
		}
	}
	return ""
}

// localVariables are the predefined variables that only the agent knows (P001, P002,
// P004, P006).
func (a *Agent) localVariables(w *workspace, slot int) []plan.Value {
	host, err := os.Hostname()
	if err != nil {
		host = a.cfg.Name
	}
	var out []plan.Value
	for _, kv := range [][2]string{
		{"Agent.BuildDirectory", w.dir}, {"Pipeline.Workspace", w.dir}, {"Agent.HomeDirectory", a.cfg.Dir}, {"Agent.WorkFolder", a.cfg.Dir},
		{"System.WorkFolder", a.cfg.Dir}, {"Agent.TempDirectory", w.path(dirTemp)}, {"Agent.ToolsDirectory", filepath.Join(a.cfg.Shared, "tools")},
		{"Agent.Id", strconv.Itoa(slot)}, {"Agent.Name", a.cfg.Name}, {"Agent.MachineName", host}, {"Agent.Version", a.cfg.Version},
		{"Agent.OS", "Linux"}, {"Agent.OSArchitecture", architecture()}, {"Agent.IsSelfHosted", "1"},
		{"Agent.RootDirectory", a.cfg.Dir}, {"Agent.Diagnostic", "false"}, {"Agent.ContainerMapping", "{}"},
		{"Build.SourcesDirectory", w.path(dirSources)}, {"Build.Repository.LocalPath", w.path(dirSources)},
		{"System.DefaultWorkingDirectory", w.path(dirSources)}, {"Build.ArtifactStagingDirectory", w.path(dirStaging)},
		{"Build.StagingDirectory", w.path(dirStaging)}, {"Build.BinariesDirectory", w.path(dirBinaries)},
		{"System.ArtifactsDirectory", w.path(dirStaging)}, {"Common.TestResultsDirectory", w.path(dirTests)},
	} {
		out = append(out, plan.Value{Name: kv[0], Text: kv[1], ReadOnly: true})
	}
	return out
}

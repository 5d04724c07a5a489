package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// NeedsServer reports whether a task ("Docker@2") does its work on a server: it has images,
// clusters, caches and secure files that no agent has by itself.
func NeedsServer(task string) bool {
	switch strings.ToLower(task) {
	case "docker@2", "helmdeploy@1", "kubernetesmanifest@1", "cache@2", "downloadsecurefile@1":
		return true
	}
	return false
}

// remote has the server run the task of the step: inputs are what the step says with
// the given ones over it, files what goes with it as a tar. Output variables become
// those of the step.
func (s *stepRun) remote(ctx context.Context, inputs map[string]string, files []entry) error {
	all := map[string]string{}
	for k, v := range s.step.Inputs {
		all[k] = s.expand(v)
	}
	maps.Copy(all, inputs)
	head, err := json.Marshal(protocol.TaskRequest{Inputs: all, Step: s.step.Number})
	if err != nil {
		return err
	}
	body, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		_, err := writer.Write(append(head, '\n'))
		if err == nil {
			err = s.space.pack(writer, files)
		}
		packed <- err
		_ = writer.CloseWithError(err)
	}()
	res, err := s.agent.client.send(ctx, http.MethodPost, "jobs/"+s.job.ID+"/tasks/"+url.PathEscape(s.step.Task), s.job.Lease, body, nil)
	if err == nil {
		// The server may answer while it still reads.
		err = s.follow(res.Body)
		drain(res.Body)
	}
	_ = body.CloseWithError(io.ErrClosedPipe)
	if perr := <-packed; perr != nil && !errors.Is(perr, io.ErrClosedPipe) {
		return perr
	}
	return err
}

// follow prints what a task prints until it ends.
func (s *stepRun) follow(body io.Reader) error {
	dec := json.NewDecoder(bufio.NewReaderSize(body, 64<<10))
	for {
		var r protocol.TaskReply
		if err := dec.Decode(&r); err != nil {
			return fmt.Errorf("the server stopped answering in the middle of the task: %w", err)
		}
		if !r.Done {
			s.print(r.Line)
			if r.Line == "" {
				s.lines([][]byte{nil})
			}
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
			s.setOutput(s.outputName(), name, plan.Value{Text: r.Outputs[name]})
		}
		if r.Error != "" {
			return errors.New(r.Error)
		}
		return nil
	}
}

// runDocker is Docker@2. The server builds and keeps images; the build context goes
// there as a tar whose root is the context. Dockerfile is then its path in the tar.
func runDocker(ctx context.Context, s *stepRun) error {
	command := s.input("command")
	if command == "" {
		command = "buildAndPush"
	}
	switch strings.ToLower(command) {
	case "login", "logout":
		s.print("Nothing to do: the job is signed in to Towpath's own registry by its identity.")
		return nil
	case "push":
		return s.remote(ctx, map[string]string{"command": "push"}, nil)
	case "build", "buildandpush":
	default:
		return fmt.Errorf("the command %q of Docker@2 is not supported; use build, push or buildAndPush", command)
	}
	dockerfile, err := s.findDockerfile()
	if err != nil {
		return err
	}
	contextDir := path.Dir(dockerfile)
	if c := s.input("buildContext"); c != "" && c != "**" {
		if contextDir, err = s.space.inside(s.space.path(dirSources), c); err != nil {
			return err
		}
	}
	files, name, err := s.buildContext(contextDir, dockerfile)
	if err != nil {
		return err
	}
	s.print(fmt.Sprintf("Sending the build context %s: %d files", contextDir, len(files)))
	return s.remote(ctx, map[string]string{"command": command, "Dockerfile": name}, files)
}

// findDockerfile returns the one file that the input Dockerfile means, relative to the
// workspace.
func (s *stepRun) findDockerfile() (string, error) {
	pattern := s.input("Dockerfile")
	if pattern == "" {
		pattern = "**/Dockerfile"
	}
	if !strings.ContainsAny(pattern, "*?[") {
		return s.space.inside(s.space.path(dirSources), pattern)
	}
	if filepath.IsAbs(pattern) {
		rel, err := filepath.Rel(s.space.path(dirSources), pattern)
		if err != nil {
			return "", err
		}
		pattern = rel
	}
	found, err := s.space.glob(dirSources, []string{pattern})
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no Dockerfile matches %s in the sources", pattern)
	}
	// The one nearest to the root, as the task does.
	return slices.MinFunc(found, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") }), nil
}

// outsideDockerfile is where a Dockerfile that lies outside of its context stands in
// the tar.
const outsideDockerfile = ".towpath/Dockerfile"

// buildContext lists the files of a build context without those that its .dockerignore
// names, and returns the name of the Dockerfile among them.
func (s *stepRun) buildContext(dir, dockerfile string) ([]entry, string, error) {
	rules, err := s.ignoreRules(dir)
	if err != nil {
		return nil, "", err
	}
	name, err := filepath.Rel(dir, dockerfile)
	outside := err != nil || name == ".." || strings.HasPrefix(name, "../")
	name = filepath.ToSlash(name)
	files, err := s.space.tree(dir, func(rel string, isDir bool) bool {
		// The files that steer the build are always sent.
		if rel == name || rel == ".dockerignore" || rel == name+".dockerignore" {
			return false
		}
		if isDir && rules.negated {
			return false
		}
		return rules.ignores(rel)
	})
	if err != nil {
		return nil, "", fmt.Errorf("reading the build context: %w", err)
	}
	if outside {
		name = outsideDockerfile
		files = append(files, entry{name: name, path: dockerfile})
	}
	return files, name, nil
}

// ignore are the rules of a .dockerignore file.
type ignore struct {
	patterns []string
	negated  bool // at least one pattern brings something back
}

func (s *stepRun) ignoreRules(dir string) (ignore, error) {
	f, info, err := s.space.open(path.Join(dir, ".dockerignore"))
	if err != nil {
		// Without the file everything is sent.
		return ignore{}, nil
	}
	defer f.Close()
	if info.Size() > 1<<20 {
		return ignore{}, errors.New(".dockerignore is larger than 1 MiB")
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return ignore{}, fmt.Errorf("reading .dockerignore: %w", err)
	}
	return parseIgnore(string(raw)), nil
}

// parseIgnore reads the lines of a .dockerignore file.
func parseIgnore(text string) ignore {
	var r ignore
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, not := strings.CutPrefix(line, "!")
		pattern = strings.Trim(path.Clean("/"+strings.TrimSpace(pattern)), "/")
		if not {
			r.negated = true
			pattern = "!" + pattern
		}
		r.patterns = append(r.patterns, pattern)
	}
	return r
}

// ignores reports whether a path, or a folder that it lies in, is left out; the last
// rule that matches counts.
func (r ignore) ignores(name string) bool {
	ignored := false
	for _, p := range r.patterns {
		p, not := strings.CutPrefix(p, "!")
		for at := 0; at <= len(name); at++ {
			if (at == len(name) || name[at] == '/') && matchPath(p, name[:at]) {
				ignored = !not
				break
			}
		}
	}
	return ignored
}

// runHelm is HelmDeploy@1. The chart goes to the server as chart/… or chart.tgz, value
// files as values/N.yaml in their order.
func runHelm(ctx context.Context, s *stepRun) error {
	base := s.space.path(dirSources)
	inputs := map[string]string{}
	var files []entry
	if chart := s.input("chartPath"); chart != "" {
		rel, err := s.space.inside(base, chart)
		if err != nil {
			return err
		}
		entries, err := s.space.tree(rel, nil)
		if err != nil {
			return fmt.Errorf("reading the chart %s: %w", chart, err)
		}
		inputs["chartPath"] = "chart"
		if len(entries) == 1 && entries[0].path == rel {
			inputs["chartPath"], entries[0].name = "chart.tgz", "chart.tgz"
		} else {
			for i := range entries {
				entries[i].name = "chart/" + entries[i].name
			}
		}
		files = append(files, entries...)
	}
	var names []string
	for i, v := range list(s.input("valueFile")) {
		rel, err := s.space.inside(base, v)
		if err != nil {
			return err
		}
		names = append(names, fmt.Sprintf("values/%d.yaml", i))
		files = append(files, entry{name: names[i], path: rel})
	}
	if len(names) > 0 {
		inputs["valueFile"] = strings.Join(names, ",")
	}
	return s.remote(ctx, inputs, files)
}

// runManifests is KubernetesManifest@1. The manifests go to the server as
// manifests/NNN-name in the order in which the step names them, with every input of the
// step: what a strategy does is decided there.
func runManifests(ctx context.Context, s *stepRun) error {
	switch action := s.input("action"); strings.ToLower(action) {
	case "", "deploy", "promote", "reject":
	case "scale", "delete", "createsecret":
		return s.remote(ctx, nil, nil)
	case "patch":
		return s.patchManifest(ctx)
	default:
		return fmt.Errorf("the action %q of KubernetesManifest@1 is not supported; use deploy, promote, reject, scale, patch, delete or createSecret", action)
	}
	switch strategy := s.input("strategy"); strings.ToLower(strategy) {
	case "", "none", "canary":
	default:
		return fmt.Errorf("the strategy %q of KubernetesManifest@1 is not supported; use canary or none", strategy)
	}
	base := s.space.path(dirSources)
	var files []entry
	for _, m := range list(s.input("manifests")) {
		found, err := s.manifests(base, m)
		if err != nil {
			return err
		}
		for _, f := range found {
			files = append(files, entry{name: fmt.Sprintf("manifests/%03d-%s", len(files), path.Base(f)), path: f})
		}
	}
	if len(files) == 0 {
		return errors.New("the input manifests names no file")
	}
	return s.remote(ctx, map[string]string{"manifests": "manifests"}, files)
}

// patchManifest is the action patch: the manifest whose object is patched, when a file names
// it, goes to the server as patched/NAME.
func (s *stepRun) patchManifest(ctx context.Context) error {
	if strings.EqualFold(s.input("resourceToPatch"), "name") {
		return s.remote(ctx, nil, nil)
	}
	found, err := s.manifests(s.space.path(dirSources), s.input("resourceFileToPatch"))
	if err != nil {
		return err
	}
	var files []entry
	for _, f := range found {
		files = append(files, entry{name: "patched/" + path.Base(f), path: f})
	}
	return s.remote(ctx, map[string]string{"resourceFileToPatch": "patched"}, files)
}

// manifests returns the files that one line of the input means.
func (s *stepRun) manifests(base, pattern string) ([]string, error) {
	if !strings.ContainsAny(pattern, "*?[") {
		rel, err := s.space.inside(base, pattern)
		if err != nil {
			return nil, err
		}
		if _, err := s.space.root.Stat(rel); err != nil {
			return nil, fmt.Errorf("the manifest %s: %w", pattern, err)
		}
		pattern, base = "**", filepath.Join(s.space.dir, rel)
	}
	root, err := s.space.inside(base, ".")
	if err != nil {
		return nil, err
	}
	if filepath.IsAbs(pattern) {
		if pattern, err = filepath.Rel(base, pattern); err != nil {
			return nil, err
		}
	}
	found, err := s.space.glob(root, []string{pattern})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("no manifest matches %s", pattern)
	}
	return found, err
}

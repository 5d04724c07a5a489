package agent

import (
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

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

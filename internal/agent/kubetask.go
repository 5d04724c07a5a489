package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// runKubectl is Kubernetes@1. The words of the command line go to the server, which carries
// them out with the identity of the job, and with them the files that they name.
func runKubectl(ctx context.Context, s *stepRun) error {
	base := s.space.path(dirSources)
	if dir := s.input("workingDirectory", "cwd"); dir != "" {
		rel, err := s.space.inside(base, dir)
		if err != nil {
			return err
		}
		base = s.space.path(rel)
	}
	inputs := map[string]string{}
	var files []entry
	for _, part := range []struct{ input, out string }{{"arguments", "words"}, {"secretArguments", "secretWords"}, {"configMapArguments", "configMapWords"}} {
		line := s.input(part.input)
		switch {
		case part.input == "arguments" && s.flag("useConfigurationFile", false) && !strings.EqualFold(s.input("configurationType"), "inline"):
			line = "-f " + quoted(s.input("configuration")) + " " + line
		case part.input == "configMapArguments" && s.flag("useConfigMapFile", false):
			line = "--from-file=" + quoted(s.input("configMapFile")) + " " + line
		}
		w, err := s.words(line, base, kubectlFiles)
		if err != nil {
			return err
		}
		files, inputs[part.out] = append(files, w.files...), w.json()
	}
	return s.remote(ctx, inputs, unique(files))
}

// quoted keeps a path one word.
func quoted(text string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `"`, `\"`) + `"`
}

func unique(files []entry) []entry {
	seen := map[string]bool{}
	return slices.DeleteFunc(files, func(e entry) bool {
		again := seen[e.name]
		seen[e.name] = true
		return again
	})
}

// fileOptions are the options of a command whose values are files: true for those that may
// also be folders, or KEY=FILE.
type fileOptions map[string]bool

var (
	kubectlFiles = fileOptions{"-f": true, "--filename": true, "-k": true, "--kustomize": true, "--from-file": true, "--from-env-file": false, "--patch-file": false, "--cert": false, "--key": false}
	helmFiles    = fileOptions{"-f": false, "--values": false, "--set-file": true}
)

// commandLine is a command line whose files go with it: their names in the words are those in
// the tar.
type commandLine struct {
	words []string
	files []entry
}

func (c *commandLine) json() string {
	b, err := json.Marshal(c.words)
	if err != nil || c.words == nil {
		return "[]"
	}
	return string(b)
}

// words splits a command line and collects the files that its options name. What is no file
// of the workspace stays as it is: the server says that it is not there.
func (s *stepRun) words(line, base string, options fileOptions) (*commandLine, error) {
	words, err := splitArguments(line)
	if err != nil {
		return nil, err
	}
	c := &commandLine{}
	for i := 0; i < len(words); i++ {
		if words[i] == "--" {
			c.words = append(c.words, words[i:]...)
			break
		}
		name, value, glued := strings.Cut(words[i], "=")
		_, is := options[name]
		if !is || !glued && i+1 >= len(words) {
			c.words = append(c.words, words[i])
			continue
		}
		if !glued {
			i++
			value = words[i]
		}
		var parts []string
		for part := range strings.SplitSeq(value, ",") {
			given, err := c.take(s, base, name, part)
			if err != nil {
				return nil, err
			}
			parts = append(parts, given)
		}
		c.words = append(c.words, name, strings.Join(parts, ","))
	}
	return c, nil
}

// take adds the files of one value of an option and returns what stands for it.
func (c *commandLine) take(s *stepRun, base, option, value string) (string, error) {
	key := ""
	if option == "--from-file" || option == "--set-file" {
		if k, file, ok := strings.Cut(value, "="); ok {
			key, value = k+"=", file
		} else if option == "--from-file" {
			key = path.Base(value) + "="
		}
	}
	if strings.Contains(value, "://") || value == "-" {
		return "", fmt.Errorf("%s %s: only files of the workspace can be named; addresses are not fetched", option, value)
	}
	if option == "-k" || option == "--kustomize" {
		files, dir, err := s.kustomization(base, value)
		c.files = append(c.files, files...)
		return dir, err
	}
	rel, err := s.space.inside(base, value)
	if err != nil {
		return "", err
	}
	entries, err := s.space.tree(rel, nil)
	if err != nil {
		return "", fmt.Errorf("the file %s: %w", value, err)
	}
	name := "files/" + rel
	for _, e := range entries {
		if e.path == rel {
			e.name = ""
		}
		c.files = append(c.files, entry{name: path.Join(name, e.name), path: e.path})
	}
	if key != "" && len(entries) > 1 {
		return "", fmt.Errorf("%s %s is a folder; name its files", option, value)
	}
	return key + name, nil
}

// takePath takes the last word that is a folder or a file of the sources out of a command
// line: the chart of template, lint and package.
func (c *commandLine) takePath(s *stepRun, base string) string {
	for i, w := range slices.Backward(c.words) {
		if !strings.HasPrefix(w, "-") && (i == 0 || !strings.HasPrefix(c.words[i-1], "-")) && s.there(base, w) {
			c.words = slices.Delete(c.words, i, i+1)
			return w
		}
	}
	return ""
}

// maxKustomizeFile leaves out of a kustomization what is no part of any, in bytes.
const maxKustomizeFile = 1 << 20

// kustomization lists the files among which a kustomization and its bases are: those of the
// top folder of the repository that it is in. dir is its name in the tar.
func (s *stepRun) kustomization(base, given string) (files []entry, dir string, err error) {
	if given == "" {
		given = "."
	}
	rel, err := s.space.inside(base, given)
	if err != nil {
		return nil, "", err
	}
	top := dirSources
	if below, ok := strings.CutPrefix(rel, dirSources+"/"); ok {
		first, _, _ := strings.Cut(below, "/")
		top = path.Join(dirSources, first)
	} else if rel != dirSources {
		top = rel
	}
	entries, err := s.space.tree(top, func(rel string, isDir bool) bool {
		return isDir && (rel == ".git" || strings.HasSuffix(rel, "/node_modules"))
	})
	if err != nil {
		return nil, "", fmt.Errorf("reading the kustomization %s: %w", given, err)
	}
	for _, e := range entries {
		if info, err := s.space.root.Stat(e.path); err == nil && info.Mode().IsRegular() && info.Size() <= maxKustomizeFile {
			files = append(files, entry{name: "files/" + e.path, path: e.path})
		}
	}
	return files, "files/" + rel, nil
}

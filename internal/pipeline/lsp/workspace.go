package lsp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// maxFiles bounds how many files a walk looks at, and maxPipelines how many pipelines of
// the workspace are compiled to find out which templates are whose.
const (
	maxFiles     = 20_000
	maxPipelines = 50
)

// workspace is the folder of the repository with what is open in it.
type workspace struct {
	root string            // "" as long as nobody has named one
	open map[string]string // text by path below root
	// repositories are the folders of other repositories by lower-case alias or name.
	repositories map[string]string
}

// relative is the path of a document below the root; ok is false for what lies elsewhere. The
// first document makes its folder, or the repository that this is in, the root when the
// editor has opened no folder.
func (w *workspace) relative(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" {
		return "", false
	}
	file := filepath.Clean(filepath.FromSlash(u.Path))
	if w.root == "" {
		w.root = repositoryOf(filepath.Dir(file))
	}
	rel, err := filepath.Rel(w.root, file)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

// repositoryOf is the nearest folder above dir, or dir, with .git, else dir.
func repositoryOf(dir string) string {
	for at := dir; ; {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		up := filepath.Dir(at)
		if up == at {
			return dir
		}
		at = up
	}
}

func (w *workspace) uri(file string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(w.root, filepath.FromSlash(file)))}).String()
}

// Load delivers a file as the editor has it, else from the disk. See expand.Loader.
func (w *workspace) Load(_ context.Context, ref expand.Ref) ([]byte, error) {
	name := strings.TrimPrefix(path.Clean("/"+ref.Path), "/")
	root := w.root
	if ref.Repository != nil {
		var ok bool
		if root, ok = w.repository(ref.Repository.Alias, ref.Repository.Name); !ok {
			return nil, fmt.Errorf("the repository '%s' (%s) is not on this machine; start the language server with --resource %s=DIR",
				ref.Repository.Alias, ref.Repository.Name, ref.Repository.Alias)
		}
	} else if text, ok := w.open[name]; ok {
		return []byte(text), nil
	}
	return readBelow(root, name)
}

func (w *workspace) repository(names ...string) (string, bool) {
	for _, n := range names {
		if dir, ok := w.repositories[strings.ToLower(n)]; ok && n != "" {
			return dir, true
		}
	}
	return "", false
}

// readBelow reads a file below a folder; no link leads out of it.
func readBelow(root, name string) ([]byte, error) {
	if root == "" {
		return nil, fs.ErrNotExist
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	info, err := dir.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fs.ErrNotExist
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > parse.MaxBytes:
		return nil, errors.New("it is no regular file, or too large")
	}
	return dir.ReadFile(name)
}

// template finds the file that a template reference of a document means: its path, and the
// folder that this is below.
func (w *workspace) template(document, reference string) (root, file string, ok bool) {
	name, alias, foreign := strings.Cut(reference, "@")
	name = strings.ReplaceAll(name, `\`, "/")
	if name == "" || strings.Contains(name, "${{") {
		return "", "", false
	}
	root = w.root
	switch {
	case foreign && !strings.EqualFold(alias, "self"):
		if root, ok = w.repository(alias, w.repositoryName(document, alias)); !ok {
			return "", "", false
		}
		name = path.Clean("/" + name)
	case strings.HasPrefix(name, "/") || foreign:
		name = path.Clean("/" + name)
	default:
		name = path.Join("/", path.Dir(document), name)
	}
	return root, strings.TrimPrefix(name, "/"), true
}

// repositoryName is the name of the repository that a document gives an alias.
func (w *workspace) repositoryName(document, alias string) string {
	name := ""
	outline(lines(w.open[document])).walk(func(i *item) {
		if i.dash {
			if a, n := i.child("repository"), i.child("name"); a != nil && n != nil && strings.EqualFold(a.value, alias) {
				name = n.value
			}
		}
	})
	return name
}

// content is the text of a file of a folder, as the editor has it when it is the workspace's.
func (w *workspace) content(root, file string) (string, bool) {
	if text, ok := w.open[file]; ok && root == w.root {
		return text, true
	}
	data, err := readBelow(root, file)
	return string(data), err == nil
}

// yamlFiles lists the YAML files of the workspace by path.
func (w *workspace) yamlFiles() []string {
	var out []string
	seen := 0
	_ = filepath.WalkDir(w.root, func(name string, d fs.DirEntry, err error) error {
		if seen++; err != nil || seen > maxFiles {
			return fs.SkipAll
		}
		if d.IsDir() {
			if base := d.Name(); name != w.root && (base == ".git" || base == "node_modules" || base == "vendor") {
				return fs.SkipDir
			}
			return nil
		}
		if ext := strings.ToLower(filepath.Ext(name)); ext == ".yml" || ext == ".yaml" {
			if rel, err := filepath.Rel(w.root, name); err == nil {
				out = append(out, filepath.ToSlash(rel))
			}
		}
		return nil
	})
	return out
}

// pipelines are the files of the workspace that are likely to be pipelines: what is open, and
// what is called so.
func (w *workspace) pipelines() []string {
	var out []string
	for _, f := range w.yamlFiles() {
		base := strings.ToLower(path.Base(f))
		if strings.HasPrefix(base, "azure-pipelines") || strings.HasPrefix(strings.ToLower(f), ".azure-pipelines/") && !strings.Contains(f[len(".azure-pipelines/"):], "/") {
			out = append(out, f)
		}
	}
	for f := range w.open {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxPipelines)]
}

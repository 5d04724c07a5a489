package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/gallery"
	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/validate"
)

// pipelineFlags are the flags of the commands that compile a file of this machine.
type pipelineFlags struct {
	parameters, variables, resources, tasks []string
	repo                                    string
}

func (f *pipelineFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVarP(&f.parameters, "param", "p", nil, "value of a parameter, NAME=VALUE; YAML for lists and mappings")
	c.Flags().StringArrayVar(&f.variables, "var", nil, "predefined variable that ${{ }} may read, NAME=VALUE, such as Build.SourceBranch=refs/heads/main")
	c.Flags().StringVar(&f.repo, "repo", "", "root of the repository that the file is in (default: the nearest folder above it with .git, else its own)")
	c.Flags().StringArrayVar(&f.resources, "resource", nil, "folder of another repository, NAME=DIR; NAME is its alias or name, with or without @ref")
	c.Flags().StringArrayVar(&f.tasks, "task", nil, "folder of a task, or a .vsix, that the pipeline may use beside the built-in tasks; may be repeated")
}

// localPipeline is a pipeline file of this machine with what it is compiled from.
type localPipeline struct {
	// root is the folder of the repository, file the path of the file in it.
	root, file string
	// shown is the file as the command line named it; prefix turns a path in the
	// repository into one that can be opened from here.
	shown, prefix string
	options       compile.Options
	resources     []localRepository
	tasks         [][]byte // zips
}

// localRepository is a folder that stands for another repository.
type localRepository struct{ name, dir string }

// open finds the file that the arguments name.
func (f *pipelineFlags) open(args []string) (*localPipeline, error) {
	p := &localPipeline{shown: pipeline.File, options: compile.Options{Features: validate.AllFeatures()}}
	if len(args) > 0 {
		p.shown = args[0]
	}
	if err := p.locate(f.repo); err != nil {
		return nil, err
	}
	var err error
	if p.options.Parameters, err = assignments("-p", f.parameters); err != nil {
		return nil, err
	}
	given, err := assignments("--var", f.variables)
	if err != nil {
		return nil, err
	}
	p.options.Variables = localVariables(given)
	for _, r := range f.resources {
		name, dir, ok := strings.Cut(r, "=")
		if !ok || name == "" || dir == "" {
			return nil, fault.New(fault.Invalid, "--resource %s has not the form NAME=DIR.", r)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fault.New(fault.NotFound, "There is no folder %s for the repository %s.", dir, name)
		}
		p.resources = append(p.resources, localRepository{name: name, dir: dir})
	}
	return p, p.addTasks(f.tasks)
}

// addTasks reads the tasks of --task, and has the compiler know them.
func (p *localPipeline) addTasks(given []string) error {
	var err error
	p.tasks, p.options.Tasks, err = localTasks(given)
	return err
}

// localTasks reads the tasks that are given to a command on this machine: their zips, and the
// catalog that has them; it is nil when none are given.
func localTasks(given []string) (zips [][]byte, catalog validate.Catalog, err error) {
	var packages []gallery.Package
	for _, name := range given {
		data, err := taskZip(name)
		if err != nil {
			return nil, nil, err
		}
		read, err := gallery.Read(data)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the task %s: %w", name, err)
		}
		zips, packages = append(zips, data), append(packages, read...)
	}
	if len(packages) > 0 {
		catalog = gallery.Compiled(validate.Builtin(), packages)
	}
	return zips, catalog, nil
}

// locate finds the repository of the file: the folder that --repo names, else the
// nearest one with .git above the file, else the file's own.
func (p *localPipeline) locate(repo string) error {
	found := p.shown
	if !exists(found) && repo != "" && !filepath.IsAbs(found) && exists(filepath.Join(repo, found)) {
		found = filepath.Join(repo, found)
	}
	if !exists(found) {
		return fault.New(fault.NotFound, "There is no file %s here.", p.shown).WithNext("name the file: towpath pipeline validate FILE")
	}
	absolute, err := filepath.Abs(found)
	if err != nil {
		return fmt.Errorf("finding %s: %w", found, err)
	}
	p.root = filepath.Dir(absolute)
	if repo != "" {
		if p.root, err = filepath.Abs(repo); err != nil {
			return fmt.Errorf("finding %s: %w", repo, err)
		}
	} else if above := repositoryAbove(p.root); above != "" {
		p.root = above
	}
	file, err := filepath.Rel(p.root, absolute)
	if err != nil || !filepath.IsLocal(file) {
		return fault.New(fault.Invalid, "The file %s is not inside of the repository %s.", p.shown, repo)
	}
	p.file = filepath.ToSlash(file)
	p.prefix, _ = strings.CutSuffix(filepath.ToSlash(filepath.Clean(found)), p.file)
	return nil
}

func exists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// repositoryAbove returns the nearest folder above dir, or dir, that has .git.
func repositoryAbove(dir string) string {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// assignments reads NAME=VALUE arguments.
func assignments(flag string, given []string) (map[string]string, error) {
	values := make(map[string]string, len(given))
	for _, g := range given {
		name, value, ok := strings.Cut(g, "=")
		if !ok || name == "" {
			return nil, fault.New(fault.Invalid, "%s %s has not the form NAME=VALUE.", flag, g)
		}
		values[name] = value
	}
	return values, nil
}

// localVariables are the predefined variables that ${{ }} may read (P002, P006), for a
// run that somebody starts by hand on the branch main; the given ones go before.
func localVariables(given map[string]string) map[string]string {
	values := map[string]string{
		"Build.Reason": "Manual", "Build.SourceBranch": "refs/heads/main", "Build.SourceBranchName": "main", "System.HostType": "build",
	}
	for name, value := range given {
		for known := range values {
			if strings.EqualFold(known, name) {
				delete(values, known)
			}
		}
		values[name] = value
	}
	return values
}

// Load delivers the file, its templates, and those of the repositories that --resource
// gave a folder, from this machine and from nowhere else.
func (p *localPipeline) Load(_ context.Context, ref expand.Ref) ([]byte, error) {
	root := p.root
	if ref.Repository != nil {
		var ok bool
		if root, ok = p.resource(ref.Repository); !ok {
			return nil, fmt.Errorf("the repository '%s' (%s) is not on this machine; say where with --resource %s=DIR", ref.Repository.Alias, ref.Repository.Name, ref.Repository.Alias)
		}
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	name := strings.TrimPrefix(path.Clean("/"+ref.Path), "/")
	info, err := dir.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fs.ErrNotExist
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case info.Size() > parse.MaxBytes:
		return nil, fmt.Errorf("it has %d bytes; at most %d are allowed", info.Size(), parse.MaxBytes)
	}
	return dir.ReadFile(name)
}

// resource finds the folder of a repository: one given for this ref goes before one
// given for any.
func (p *localPipeline) resource(r *expand.Repository) (string, bool) {
	loose, found := "", false
	for _, given := range p.resources {
		name, ref, pinned := strings.Cut(given.name, "@")
		if !strings.EqualFold(name, r.Alias) && !strings.EqualFold(name, r.Name) {
			continue
		}
		switch {
		case !pinned:
			loose, found = given.dir, true
		case sameRef(ref, r.Ref):
			return given.dir, true
		}
	}
	return loose, found
}

// sameRef compares refs, which may be written in full or as the name of a branch or tag.
func sameRef(a, b string) bool {
	short := func(ref string) string {
		for _, prefix := range []string{"refs/heads/", "refs/tags/"} {
			if rest, ok := strings.CutPrefix(ref, prefix); ok {
				return rest
			}
		}
		return ref
	}
	return a == b || (short(a) == a || short(b) == b) && short(a) == short(b)
}

// place rewrites the file of a finding so that it can be opened from here; files of
// other repositories keep the form path@alias.
func (p *localPipeline) place(pos parse.Pos) parse.Pos {
	switch {
	case pos.File == p.file:
		pos.File = p.shown
	case pos.File == "" || strings.Contains(pos.File, "@") || strings.HasPrefix(pos.File, "parameter "):
	default:
		pos.File = p.prefix + pos.File
	}
	return pos
}

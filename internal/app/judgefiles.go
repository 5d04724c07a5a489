package app

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/policy/render"
	"towpath.dev/towpath/internal/policy/rule"
)

func (j *judge) manifests(ctx context.Context, repo, commit string, t pipeline.Target, place rule.Place) (render.Result, error) {
	var files []render.File
	for _, pattern := range t.Manifests {
		dir := path.Dir(pattern)
		if !strings.ContainsAny(pattern, "*?[") {
			dir = pattern
		}
		all, err := j.folder(ctx, repo, commit, dir)
		if fault.Is(err, fault.NotFound) || len(all) == 0 {
			b, ferr := j.source.File(ctx, judgeActor(), repo, commit, pattern)
			if ferr != nil {
				return render.Result{}, fault.Wrap(fault.KindOf(ferr), ferr, "No manifest matches %s.", pattern)
			}
			files = append(files, render.File{Name: pattern, Data: b})
			continue
		}
		if err != nil {
			return render.Result{}, err
		}
		for _, f := range all {
			name := path.Join(dir, f.Name)
			matches, err := path.Match(pattern, name)
			if err != nil {
				return render.Result{}, fault.Wrap(fault.Invalid, err, "The pattern %s of the input manifests cannot be read.", pattern)
			}
			if (matches || dir == pattern) && slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)) {
				files = append(files, render.File{Name: name, Data: f.Data})
			}
		}
	}
	return render.Manifests(ctx, files, place.Namespace, render.Limits{})
}

// folder reads the files below a folder of a commit, named from there.
func (j *judge) folder(ctx context.Context, repo, commit, dir string) ([]render.File, error) {
	dir = strings.Trim(path.Clean("/"+dir), "/")
	var out []render.File
	left := []string{dir}
	for len(left) > 0 {
		at := left[0]
		left = left[1:]
		entries, err := j.source.Tree(ctx, judgeActor(), repo, commit, at)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			switch {
			case e.Type == "tree":
				left = append(left, e.Path)
			case e.Type == "blob" && e.Mode != "120000":
				if len(out) == maxTree {
					return nil, fault.New(fault.TooLarge, "The folder %s holds more than %d files.", dir, maxTree)
				}
				b, err := j.source.File(ctx, judgeActor(), repo, commit, e.Path)
				if err != nil {
					return nil, err
				}
				out = append(out, render.File{Name: strings.TrimPrefix(strings.TrimPrefix(e.Path, dir), "/"), Data: b})
			}
		}
	}
	return out, nil
}

// Manifests returns what a pull request would apply, as a stream of YAML documents. The
// actor needs the role read.
func (j *judge) Manifests(ctx context.Context, a identity.Actor, repo string, n int64, environment string) (string, error) {
	p, err := j.pulls.Get(ctx, a, repo, n) // Asks for the right.
	if err != nil {
		return "", err
	}
	all, err := j.render(ctx, p.Repo, p.Head, environment)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", fault.New(fault.NotFound, "The pipeline of this pull request deploys to no such environment.").WithNext("see the deployment jobs of %s", pipeline.File)
	}
	var b bytes.Buffer
	for _, r := range all {
		for i := range r.result.Objects {
			o := &r.result.Objects[i]
			text, err := yaml.Marshal(o.Data)
			if err != nil {
				return "", fmt.Errorf("writing %s %s: %w", o.Kind.Kind, o.Name, err)
			}
			fmt.Fprintf(&b, "---\n# %s:%d, for environment %s\n%s", o.Source.File, o.Source.Line, r.place.Environment, text)
		}
	}
	return b.String(), nil
}

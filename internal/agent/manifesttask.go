package agent

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// runManifests is KubernetesManifest@1. The manifests go to the server as
// manifests/NNN-name in the order in which the step names them, with every input of the
// step: what a strategy does is decided there.
func runManifests(ctx context.Context, s *stepRun) error {
	switch action := s.input("action"); strings.ToLower(action) {
	case "", "deploy", "promote", "reject":
	case "scale":
		return s.remote(ctx, nil, nil)
	case "delete":
		return s.withWords(ctx, "arguments", nil)
	case "createsecret":
		return s.withWords(ctx, "secretArguments", nil)
	case "patch":
		return s.patchManifest(ctx)
	case "bake":
		return s.bake(ctx)
	default:
		return fmt.Errorf("the action %q of KubernetesManifest@1 is not supported; use bake, createSecret, delete, deploy, patch, promote, reject or scale", action)
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

// withWords has the server run a task whose input is a command line. The files that it names
// go along.
func (s *stepRun) withWords(ctx context.Context, input string, more map[string]string) error {
	w, err := s.words(s.input(input), s.space.path(dirSources), kubectlFiles)
	if err != nil {
		return err
	}
	inputs := map[string]string{"words": w.json()}
	for k, v := range more {
		inputs[k] = v
	}
	return s.remote(ctx, inputs, w.files)
}

// bake is the action bake: a chart or a kustomization is rendered by the server, and the
// manifests become the file that the output manifestsBundle names.
func (s *stepRun) bake(ctx context.Context) error {
	base := s.space.path(dirSources)
	var files []entry
	inputs := map[string]string{}
	switch engine := strings.ToLower(s.input("renderType")); engine {
	case "", "helm", "helm2":
		entries, name, err := s.chart(base, s.input("helmChart"))
		if err != nil {
			return err
		}
		files, inputs["helmChart"] = entries, name
		more, names, err := s.valueFiles(base, lines(s.input("overrideFiles")))
		if err != nil {
			return err
		}
		files, inputs["overrideFiles"] = append(files, more...), strings.Join(names, "\n")
	case "kustomize":
		entries, dir, err := s.kustomization(base, s.input("kustomizationPath"))
		if err != nil {
			return err
		}
		files, inputs["kustomizationPath"] = entries, dir
	default:
		return fmt.Errorf("the renderType %q of KubernetesManifest@1 is not supported here; use helm or kustomize, or turn the compose file into manifests with kompose in a script and commit them", engine)
	}
	if err := s.remote(ctx, inputs, files); err != nil {
		return err
	}
	at := s.space.path(s.made)
	s.setOutput(s.outputName(), "manifestsBundle", plan.Value{Text: at})
	s.vars.Set(plan.Value{Name: "manifestsBundle", Text: at})
	s.print("The manifests are in " + at)
	return nil
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

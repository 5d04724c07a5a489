package deploy

import (
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
)

// Kustomize renders the kustomization of a folder among files, in memory. Nothing is fetched:
// a kustomization that names an address, or a file that is not there, is refused, and so are
// charts and plugins, which would run programs.
func Kustomize(files []File, dir string) ([]byte, error) {
	fs := filesys.MakeFsInMemory()
	known := map[string]bool{"/": true}
	for _, f := range files {
		name := path.Join("/", f.Name)
		for at := name; at != "/"; at = path.Dir(at) {
			known[at] = true
		}
		if err := fs.WriteFile(name, f.Data); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The file %s cannot be read.", f.Name)
		}
	}
	found := false
	for _, f := range files {
		name := path.Join("/", f.Name)
		if !isKustomization(path.Base(name)) {
			continue
		}
		found = found || path.Dir(name) == path.Join("/", dir)
		if err := local(f.Data, path.Dir(name), known); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, fault.New(fault.NotFound, "The folder %s has no kustomization.yaml.", dir)
	}
	got, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, path.Join("/", dir))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The kustomization %s does not render: %v.", dir, err)
	}
	text, err := got.AsYaml()
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The kustomization %s does not render: %v.", dir, err)
	}
	return text, nil
}

func isKustomization(name string) bool {
	return name == "kustomization.yaml" || name == "kustomization.yml" || name == "Kustomization"
}

// local refuses a kustomization that names anything but files that are there.
func local(text []byte, dir string, known map[string]bool) error {
	var k map[string]any
	if err := yaml.Unmarshal(text, &k); err != nil {
		return fault.Wrap(fault.Invalid, err, "The kustomization of %s is no valid YAML: %v.", dir, err)
	}
	for _, field := range []string{"helmCharts", "helmChartInflationGenerator", "helmGlobals", "generators", "transformers", "validators"} {
		if k[field] != nil {
			return fault.New(fault.Invalid, "The kustomization of %s has %s, which runs programs.", dir, field).WithNext("render the chart with HelmDeploy@1 or with renderType: helm, or write it with patches")
		}
	}
	for _, name := range named(k) {
		if strings.Contains(name, "\n") {
			continue // the patch itself
		}
		at := path.Join(dir, name)
		if path.IsAbs(name) || !known[at] {
			return fault.New(fault.Invalid, "The kustomization of %s names %s, which is not among the files of the workspace.", dir, name).
				WithNext("addresses are not fetched: put a copy into the repository, or check it out as a repository resource")
		}
	}
	return nil
}

// named are the paths that a kustomization names.
func named(k map[string]any) []string {
	var out []string
	add := func(v any) {
		if s, ok := v.(string); ok && s != "" {
			out = append(out, s)
		}
	}
	each := func(v any, do func(any)) {
		list, _ := v.([]any)
		for _, e := range list {
			do(e)
		}
	}
	for _, field := range []string{"resources", "bases", "components", "crds", "configurations", "patchesStrategicMerge"} {
		each(k[field], add)
	}
	for _, field := range []string{"patches", "patchesJson6902", "replacements"} {
		each(k[field], func(v any) { m, _ := v.(map[string]any); add(m["path"]) })
	}
	for _, field := range []string{"configMapGenerator", "secretGenerator"} {
		each(k[field], func(v any) {
			m, _ := v.(map[string]any)
			add(m["env"])
			each(m["envs"], add)
			each(m["files"], func(v any) {
				s, _ := v.(string)
				if _, name, ok := strings.Cut(s, "="); ok {
					s = name
				}
				add(s)
			})
		})
	}
	api, _ := k["openapi"].(map[string]any)
	add(api["path"])
	return out
}

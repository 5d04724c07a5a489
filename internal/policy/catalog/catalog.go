package catalog

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// The texts are read by Open only.
//
//go:embed templates definitions initiatives
var files embed.FS

// Origin begins the URL of every template: Origin + key + "/template.yaml".
const Origin = "https://catalog.towpath.dev/"

// File is one definition or initiative.
type File struct {
	Name string // of the policy: "container-no-privilege"
	Raw  []byte // Azure Policy's JSON
}

// Catalogue is what comes with the platform. It never changes.
type Catalogue struct {
	definitions []File
	initiatives []File
	templates   map[string]rule.Template
}

// Open reads the catalogue. An error means that the program was built wrongly.
func Open() (*Catalogue, error) {
	c := &Catalogue{templates: map[string]rule.Template{}}
	var err error
	if c.definitions, err = list("definitions"); err != nil {
		return nil, err
	}
	if c.initiatives, err = list("initiatives"); err != nil {
		return nil, err
	}
	err = fs.WalkDir(files, "templates", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		key := strings.TrimPrefix(path.Dir(name), "templates/")
		if c.templates[key], err = engine.ParseTemplate(raw); err != nil {
			return fmt.Errorf("reading template %s of the catalogue: %w", key, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func list(dir string) ([]File, error) {
	entries, err := files.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []File
	for _, e := range entries {
		raw, err := files.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, File{Name: strings.TrimSuffix(e.Name(), ".json"), Raw: raw})
	}
	return out, nil
}

// Definitions returns every definition, by name.
func (c *Catalogue) Definitions() []File { return c.definitions }

// Initiatives returns every initiative, by name.
func (c *Catalogue) Initiatives() []File { return c.initiatives }

// Template returns the template with the key at the end of a definition's URL,
// "container-no-privilege/v1"; ok is false when there is none.
func (c *Catalogue) Template(key string) (t rule.Template, ok bool) {
	t, ok = c.templates[key]
	return t, ok
}

// Keys returns the keys of all templates, sorted.
func (c *Catalogue) Keys() []string {
	out := make([]string, 0, len(c.templates))
	for k := range c.templates {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

package gallery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/pipeline/validate"
	"towpath.dev/towpath/internal/store"
)

// Catalog is what the pipelines of a project may use: the built-in tasks, and of each added
// one the newest version of each major; a project's own goes before the installation's.
type Catalog struct {
	validate.Catalog
	added map[string]row // by lower-case "name@major"
}

// Added returns what an agent needs of an added task; false when there is none of that name
// and major version.
func (c *Catalog) Added(reference string) (protocol.Added, bool) {
	r, ok := c.added[strings.ToLower(reference)]
	if !ok {
		return protocol.Added{}, false
	}
	m := r.manifest
	out := protocol.Added{
		Task: m.Reference(), ID: m.ID, Version: m.Version(), Digest: r.digest, Bytes: r.bytes, Stages: m.Stages, MinimumAgent: m.MinimumAgent,
		Restricted: m.Restricted, SettableRestricted: m.SettableRestricted, Settable: m.Settable,
	}
	for _, in := range m.Inputs {
		out.Inputs = append(out.Inputs, protocol.AddedInput{Name: in.Name, Type: in.Type})
	}
	return out, true
}

// Compiled are the built-in tasks with those of packages, for a compiler that no server
// helps. Of a task that comes twice the last one counts.
func Compiled(builtin validate.Catalog, packages []Package) validate.Catalog {
	added := map[string]validate.Task{}
	var names []string
	for _, p := range packages {
		key := strings.ToLower(p.Manifest.Reference())
		if _, again := added[key]; !again {
			names = append(names, key)
		}
		added[key] = p.Manifest.compiled()
	}
	all := slices.Clone(builtin.Tasks())
	for _, key := range names {
		all = append(all, added[key])
	}
	return validate.NewCatalog(all)
}

// Catalog returns the tasks of a project.
func (s *Service) Catalog(ctx context.Context, h store.Handle, project string) (*Catalog, error) {
	s.mu.Lock()
	have, at := s.catalogs[project], s.changes
	s.mu.Unlock()
	if have != nil {
		return have, nil
	}
	rows, err := load(ctx, h, `project = ? OR project = ''`, project)
	if err != nil {
		return nil, fmt.Errorf("making the catalog of %s: %w", project, err)
	}
	c := &Catalog{added: map[string]row{}, Catalog: s.Builtin}
	all := slices.Clone(s.Builtin.Tasks())
	for _, own := range []bool{true, false} {
		for _, r := range rows {
			key := strings.ToLower(r.manifest.Reference())
			if _, taken := c.added[key]; taken || (r.project != "") != own {
				continue
			}
			c.added[key] = r
			all = append(all, r.manifest.compiled())
		}
	}
	if len(rows) > 0 {
		c.Catalog = validate.NewCatalog(all)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == at {
		s.catalogs[project] = c
	}
	return c, nil
}

// forget has catalogs made anew.
func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	clear(s.catalogs)
}

// compiled is the task as the compiler sees it.
func (m *Manifest) compiled() validate.Task {
	t := validate.Task{Name: m.Name, Major: m.Major, ID: m.ID, Title: m.Title, About: m.About}
	if m.Deprecated {
		t.Deprecated = m.Name + " is deprecated"
	}
	for _, in := range m.Inputs {
		out := validate.Input{Name: in.Name, Title: in.Title, Type: in.Type, Aliases: in.Aliases, Required: in.Required, Default: in.Default, Options: in.Options}
		var known bool
		if out.When, known = rule(in.Visible); !known {
			// Who cannot tell when an input counts cannot miss it; the task itself does.
			out.Required = false
		}
		t.Inputs = append(t.Inputs, out)
	}
	return t
}

// rule turns a visibleRule into the form of validate.Input.When; false when it says more
// than that form can.
func rule(visible string) (when string, known bool) {
	if visible == "" {
		return "", true
	}
	if strings.ContainsAny(visible, "!<>()") || strings.Contains(visible, "NotContains") || strings.Contains(visible, "NotStartsWith") {
		return "", false
	}
	var out []string
	for clause := range strings.SplitSeq(visible, "&&") {
		name, values := "", []string(nil)
		for either := range strings.SplitSeq(clause, "||") {
			left, right, ok := strings.Cut(strings.ReplaceAll(either, "==", "="), "=")
			left, right = strings.TrimSpace(left), strings.TrimSpace(right)
			if !ok || left == "" || strings.ContainsAny(right, "=|&") || name != "" && !strings.EqualFold(name, left) {
				return "", false
			}
			name, values = left, append(values, right)
		}
		out = append(out, name+"="+strings.Join(values, "|"))
	}
	return strings.Join(out, " & "), true
}

// task is what people see of a row.
func (r row) task() Task {
	m := r.manifest
	t := Task{
		Name: m.Name, Version: m.Version(), Reference: m.Reference(), ID: m.ID, Title: m.Title, About: m.About, Project: r.project, Extension: r.extension,
		Digest: r.digest, Bytes: r.bytes, Files: r.files, By: r.by, Added: r.added, Inputs: m.Inputs, Handlers: []string{}, Stages: []string{},
	}
	if t.Inputs == nil {
		t.Inputs = []Input{}
	}
	for _, stage := range []string{protocol.StagePre, protocol.StageMain, protocol.StagePost} {
		if len(m.Stages[stage]) > 0 {
			t.Stages = append(t.Stages, stage)
		}
		for _, h := range m.Stages[stage] {
			if !slices.Contains(t.Handlers, h.Name) {
				t.Handlers = append(t.Handlers, h.Name)
			}
		}
	}
	return t
}

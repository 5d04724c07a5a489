package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Definition is a pipeline of a project.
type Definition struct {
	ID     int64  `json:"id"`   // System.DefinitionId
	Name   string `json:"name"` // unique in the project, whatever the case
	Folder string `json:"folder"`
	Repo   string `json:"repo"` // "project/repo"
	File   string `json:"file"` // path of the YAML file in the repository
	// Branch is the one that runs without a branch are of, and whose file says what else starts
	// the pipeline; empty means the default branch of the repository.
	Branch   string `json:"branch,omitempty"`
	Disabled bool   `json:"disabled,omitempty"` // nothing starts a run of it
	// Last is the newest run that is of no pull request; nil when there is none.
	Last *Run `json:"last,omitempty"`
}

// Key names the pipeline in permissions.
func (d Definition) Key() string { return Key(d.Repo, d.File) }

// Root is the folder of pipelines that are in none.
const Root = `\`

const definitionColumns = `pipeline, id, name, folder, branch, disabled`

func scanDefinition(row scanner) (Definition, error) {
	var d Definition
	var key string
	var disabled int64
	if err := row.Scan(&key, &d.ID, &d.Name, &d.Folder, &d.Branch, &disabled); err != nil {
		return d, err
	}
	d.Repo, d.File = SplitKey(key)
	d.Disabled = disabled != 0
	if d.Name == "" {
		_, d.Name, _ = strings.Cut(d.Repo, "/")
	}
	if d.Folder == "" {
		d.Folder = Root
	}
	return d, nil
}

// definitions reads the pipelines whose keys begin with a text, by name.
func definitions(ctx context.Context, h store.Handle, prefix string) ([]Definition, error) {
	rows, err := h.Query(ctx, `SELECT `+definitionColumns+` FROM pipeline_definition WHERE pipeline LIKE ? ORDER BY pipeline`, prefix+"%")
	if err != nil {
		return nil, fmt.Errorf("reading pipelines: %w", err)
	}
	defer rows.Close()
	out := []Definition{}
	for rows.Next() {
		d, err := scanDefinition(rows)
		if err != nil {
			return nil, fmt.Errorf("reading pipelines: %w", err)
		}
		if strings.HasPrefix(d.Key(), prefix) { // "_" in a name is a wildcard to SQL.
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b Definition) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return out, rows.Err()
}

// ofRepo are the pipelines of a repository, that of File first, which need not have been seen
// before.
func (s *Service) ofRepo(ctx context.Context, repo string) ([]Definition, error) {
	all, err := definitions(ctx, s.db, repo)
	if err != nil {
		return nil, err
	}
	out := []Definition{{Repo: repo, File: File}}
	for _, d := range all {
		switch {
		case d.Key() == repo:
			out[0] = d
		case d.Repo == repo:
			out = append(out, d)
		}
	}
	return out, nil
}

// Definitions lists the pipelines of a project by name, each with its newest run: those that
// were made, and those whose File was compiled once. It needs the read role.
func (s *Service) Definitions(ctx context.Context, a identity.Actor, project string) ([]Definition, error) {
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	out, err := definitions(ctx, s.db, project+"/")
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT `+runColumns+` FROM pipeline_run WHERE number IN
		(SELECT MAX(number) FROM pipeline_run WHERE project = ? AND pull = 0 GROUP BY repo, file)`, project)
	if err != nil {
		return nil, fmt.Errorf("reading the newest runs of %s: %w", project, err)
	}
	defer rows.Close()
	last := map[string]*Run{}
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, fmt.Errorf("reading the newest runs of %s: %w", project, err)
		}
		last[r.Key()] = &r.Run
	}
	for i := range out {
		out[i].Last = last[out[i].Key()]
	}
	return out, rows.Err()
}

// Definition finds a pipeline of a project by its number, its name or its key. It needs the
// read role.
func (s *Service) Definition(ctx context.Context, a identity.Actor, project, name string) (Definition, error) {
	all, err := s.Definitions(ctx, a, project)
	if err != nil {
		return Definition{}, err
	}
	if d, ok := pick(all, name); ok {
		return d, nil
	}
	return Definition{}, fault.New(fault.NotFound, "The project %s has no pipeline %q.", project, clip(name)).
		WithNext("list them with: towpath pipeline list; a pipeline is made by the first push of an %s, or by: towpath pipeline create", File)
}

// pick finds a pipeline by its number, its name, which may stand below its folder, or its key.
func pick(all []Definition, name string) (Definition, bool) {
	short := name[strings.LastIndexByte(name, '\\')+1:]
	for _, same := range []func(Definition) bool{
		func(d Definition) bool { return strconv.FormatInt(d.ID, 10) == name },
		func(d Definition) bool { return strings.EqualFold(d.Name, short) },
		func(d Definition) bool { return strings.EqualFold(d.Key(), name) },
	} {
		if i := slices.IndexFunc(all, same); i >= 0 {
			return all[i], true
		}
	}
	return Definition{}, false
}

// DefinitionOf is the pipeline of a run. One that was deleted has the number 0. It needs the
// read role.
func (s *Service) DefinitionOf(ctx context.Context, a identity.Actor, r Run) (Definition, error) {
	if err := s.auth.Require(ctx, a, r.Project, identity.Read); err != nil {
		return Definition{}, err
	}
	return s.definition(ctx, r.Key())
}

// define writes into an order which pipeline it is of.
func (s *Service) define(ctx context.Context, o *Order) (Definition, error) {
	d, err := s.definition(ctx, o.key())
	o.definition, o.name = d.ID, d.Name
	return d, err
}

// definition is a pipeline by its key. That of File is made when it is first asked for; another
// that is not there has the number 0, and is called after its file.
func (s *Service) definition(ctx context.Context, key string) (Definition, error) {
	d, err := findDefinition(ctx, s.db, key)
	if _, file := SplitKey(key); err != nil || d.ID > 0 || file != File {
		return d, err
	}
	err = s.again(ctx, func(tx *store.Tx) error {
		_, err := makeDefinition(ctx, tx, Definition{Repo: key, File: File})
		return err
	})
	if err != nil {
		return Definition{}, fmt.Errorf("numbering the pipeline of %s: %w", key, err)
	}
	return findDefinition(ctx, s.db, key)
}

// makeDefinition adds a pipeline, which is called after its repository when it has no name and
// the project no other pipeline of that.
func makeDefinition(ctx context.Context, tx *store.Tx, d Definition) (Definition, error) {
	// The counter is first, so that two of one name are never made at once.
	n, err := next(ctx, tx, "definition", 1)
	if err != nil {
		return d, err
	}
	if d.Name == "" {
		all, err := definitions(ctx, tx, projectOf(d.Repo)+"/")
		if err != nil {
			return d, err
		}
		_, short, _ := strings.Cut(d.Repo, "/")
		for i := 2; named(all, firstOf(d.Name, short)); i++ {
			d.Name = fmt.Sprintf("%s (%d)", short, i)
		}
	}
	d.ID = n
	_, err = tx.Exec(ctx, `INSERT INTO pipeline_definition (`+definitionColumns+`) VALUES (?,?,?,?,?,?) ON CONFLICT (pipeline) DO NOTHING`,
		d.Key(), n, d.Name, d.Folder, d.Branch, bit(d.Disabled))
	return d, err
}

// named reports whether a pipeline has a name.
func named(all []Definition, name string) bool {
	return slices.ContainsFunc(all, func(d Definition) bool { return strings.EqualFold(d.Name, name) })
}

func findDefinition(ctx context.Context, h store.Handle, key string) (Definition, error) {
	d, err := scanDefinition(h.QueryRow(ctx, `SELECT `+definitionColumns+` FROM pipeline_definition WHERE pipeline = ?`, key))
	if err == errNoRows {
		d := Definition{Folder: Root}
		d.Repo, d.File = SplitKey(key)
		d.Name = d.File
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("finding the pipeline %s: %w", key, err)
	}
	return d, nil
}

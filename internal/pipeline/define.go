package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// maxDefinitions bounds the pipelines of a repository.
const maxDefinitions = 100

// checkName refuses what is no name of a pipeline: those characters that the service refuses
// as well, and numbers, which are ids.
func checkName(name string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(`/:\~&%;@'"?<>|#$*}{,+=[]`, r) }
	if name == "" || len(name) > 128 || name != strings.TrimSpace(name) || strings.ContainsFunc(name, bad) || strings.Trim(name, "0123456789") == "" {
		return fault.New(fault.Invalid, "A pipeline cannot be called %q.", clip(name)).
			WithNext("use at most 128 letters, digits, spaces and ._-(), and not digits alone")
	}
	return nil
}

// cleanFolder is a folder of pipelines as it is kept: `\team\nightly`.
func cleanFolder(folder string) (string, error) {
	parts := strings.FieldsFunc(folder, func(r rune) bool { return r == '/' || r == '\\' })
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
		if err := checkName("_" + parts[i]); err != nil || parts[i] == "" {
			return "", fault.New(fault.Invalid, "%q is no folder of pipelines.", clip(folder)).WithNext("write it as team/nightly")
		}
	}
	if out := Root + strings.Join(parts, Root); len(out) <= 256 && len(parts) > 0 {
		return out, nil
	}
	if len(parts) == 0 {
		return "", nil
	}
	return "", fault.New(fault.TooLarge, "The name of a folder has at most 256 bytes.")
}

// cleanFile is the path of a pipeline file as it is kept.
func cleanFile(file string) (string, error) {
	file = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(file), "./"), "/")
	ext := strings.ToLower(path.Ext(file))
	if file == "" || len(file) > 400 || path.Clean(file) != file || strings.HasPrefix(file, "..") || ext != ".yml" && ext != ".yaml" ||
		strings.ContainsFunc(file, func(r rune) bool { return !unicode.IsPrint(r) || r == '\\' }) {
		return "", fault.New(fault.Invalid, "%q is no path of a pipeline file.", clip(file)).WithNext("write the path from the root of the repository, such as ci/nightly.yml")
	}
	return file, nil
}

// CreateDefinition makes a pipeline of a file of d.Repo, which must be there and compile on the
// branch of the pipeline. d.Name, d.Folder and d.Branch may be empty. It needs the maintain
// role. Pushes start it from now on; its schedules and resources begin to count at once.
func (s *Service) CreateDefinition(ctx context.Context, a identity.Actor, project string, d Definition) (Definition, error) {
	if err := s.auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return d, err
	}
	d.Repo, d.ID, d.Last, d.Disabled = fullName(project, d.Repo), 0, nil, false
	if projectOf(d.Repo) != project {
		return d, fault.New(fault.Invalid, "A pipeline of project %s is made of a file of one of its repositories.", project)
	}
	var err error
	if d.File, err = cleanFile(d.File); err != nil {
		return d, err
	}
	if d.Folder, err = cleanFolder(d.Folder); err != nil {
		return d, err
	}
	if d.Name != "" || d.File != File {
		if err := checkName(d.Name); err != nil {
			return d, err
		}
	}
	ref, commit, title, err := s.source.Resolve(ctx, a, d.Repo, d.Branch)
	if err != nil {
		return d, err
	}
	if d.Branch != "" {
		d.Branch = ref
	}
	o := Order{Repo: d.Repo, File: d.File, Project: project, Ref: ref, Commit: commit, Title: title, Reason: "Manual", Requester: a.Name, actor: a.String()}
	p, err := s.compiled(ctx, o)
	if err != nil {
		return d, err
	}
	err = s.again(ctx, func(tx *store.Tx) error { return s.addDefinition(ctx, tx, a, project, &d) })
	if err != nil {
		return d, err
	}
	if err := s.keepTimed(ctx, o, p); err != nil {
		return d, err
	}
	return s.Definition(ctx, a, project, d.Key())
}

// addDefinition keeps a pipeline that is made by hand.
func (s *Service) addDefinition(ctx context.Context, tx *store.Tx, a identity.Actor, project string, d *Definition) error {
	there, err := findDefinition(ctx, tx, d.Key())
	if err != nil {
		return err
	}
	if there.ID > 0 {
		return fault.New(fault.Conflict, "The file %s of %s makes the pipeline %s already.", d.File, d.Repo, there.Name).
			WithNext("give it another name: towpath pipeline rename %d NAME", there.ID)
	}
	all, err := definitions(ctx, tx, project+"/")
	if err != nil {
		return err
	}
	if named(all, d.Name) {
		return nameTaken(project, d.Name)
	}
	of := 0
	for _, other := range all {
		if other.Repo == d.Repo {
			of++
		}
	}
	if of >= maxDefinitions {
		return fault.New(fault.TooLarge, "The repository %s has %d pipelines, which is the most.", d.Repo, of)
	}
	if *d, err = makeDefinition(ctx, tx, *d); err != nil {
		return fmt.Errorf("adding the pipeline %s: %w", d.Name, err)
	}
	return s.sayDefinition(ctx, tx, a, *d, "created")
}

func nameTaken(project, name string) error {
	return fault.New(fault.Conflict, "The project %s has a pipeline %s already.", project, clip(name)).WithNext("choose another name")
}

// DefinitionChange is what is to be changed of a pipeline; nil stays as it is.
type DefinitionChange struct {
	Name     *string `json:"name,omitempty" maxLength:"128"`
	Folder   *string `json:"folder,omitempty" maxLength:"256" doc:"empty: none"`
	Branch   *string `json:"branch,omitempty" maxLength:"256" doc:"empty: the default branch of the repository"`
	Disabled *bool   `json:"disabled,omitempty" doc:"nothing starts a run of it"`
}

// ChangeDefinition changes a pipeline. Its number, runs and permissions stay. It needs the
// maintain role.
func (s *Service) ChangeDefinition(ctx context.Context, a identity.Actor, project, name string, c DefinitionChange) (Definition, error) {
	if err := s.auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return Definition{}, err
	}
	d, err := s.Definition(ctx, a, project, name)
	if err != nil {
		return d, err
	}
	if c.Branch != nil && *c.Branch != "" {
		ref, _, _, err := s.source.Resolve(ctx, a, d.Repo, *c.Branch)
		if err != nil {
			return d, err
		}
		c.Branch = &ref
	}
	err = s.again(ctx, func(tx *store.Tx) error { return s.changeDefinition(ctx, tx, a, &d, c) })
	return d, err
}

func (s *Service) changeDefinition(ctx context.Context, tx *store.Tx, a identity.Actor, d *Definition, c DefinitionChange) error {
	action := "changed"
	if c.Name != nil && *c.Name != d.Name {
		if err := checkName(*c.Name); err != nil {
			return err
		}
		all, err := definitions(ctx, tx, projectOf(d.Repo)+"/")
		if err != nil {
			return err
		}
		if !strings.EqualFold(*c.Name, d.Name) && named(all, *c.Name) {
			return nameTaken(projectOf(d.Repo), *c.Name)
		}
		d.Name, action = *c.Name, "renamed"
	}
	if c.Folder != nil {
		folder, err := cleanFolder(*c.Folder)
		if err != nil {
			return err
		}
		d.Folder = firstOf(folder, Root)
	}
	if c.Branch != nil {
		d.Branch = *c.Branch
	}
	if c.Disabled != nil && *c.Disabled != d.Disabled {
		d.Disabled, action = *c.Disabled, "enabled"
		if d.Disabled {
			action = "disabled"
		}
	}
	res, err := tx.Exec(ctx, `UPDATE pipeline_definition SET name = ?, folder = ?, branch = ?, disabled = ? WHERE pipeline = ?`,
		d.Name, d.Folder, d.Branch, bit(d.Disabled), d.Key())
	if err != nil {
		return fmt.Errorf("changing the pipeline %s: %w", d.Name, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fault.New(fault.NotFound, "The pipeline %s was deleted meanwhile.", d.Name))
	}
	return s.sayDefinition(ctx, tx, a, *d, action)
}

// RemoveDefinition deletes a pipeline with its variables and its permissions; its runs stay for
// as long as the rules of retention keep them. It needs the maintain role. One of File goes only
// when the file is gone, because the file makes it.
func (s *Service) RemoveDefinition(ctx context.Context, a identity.Actor, project, name string) error {
	if err := s.auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return err
	}
	d, err := s.Definition(ctx, a, project, name)
	if err != nil {
		return err
	}
	if d.File == File {
		there, err := s.hasFile(ctx, d)
		if err != nil {
			return err
		}
		if there {
			return fault.New(fault.Conflict, "The pipeline %s is made by the file %s of %s, which is there.", d.Name, d.File, d.Repo).
				WithNext("remove the file first, or: towpath pipeline disable %q", d.Name)
		}
	}
	return s.again(ctx, func(tx *store.Tx) error {
		var n int64
		err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(number), 0) FROM pipeline_run WHERE repo = ? AND file = ? AND status <> 'Completed'`, d.Repo, d.File).Scan(&n)
		if err != nil {
			return fmt.Errorf("looking for runs of %s: %w", d.Name, err)
		}
		if n > 0 {
			return fault.New(fault.Conflict, "Run %d of the pipeline %s goes on.", n, d.Name).WithNext("wait for it, or: towpath run cancel %d", n)
		}
		for _, table := range []string{"pipeline_schedule", "pipeline_batch", "pipeline_watch", "pipeline_variable", "pipeline_permission", "pipeline_definition"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE pipeline = ?`, d.Key()); err != nil {
				return fmt.Errorf("deleting the pipeline %s: %w", d.Name, err)
			}
		}
		return s.sayDefinition(ctx, tx, a, d, "deleted")
	})
}

// hasFile reports whether the file of a pipeline is on its branch.
func (s *Service) hasFile(ctx context.Context, d Definition) (bool, error) {
	_, commit, _, err := s.source.Resolve(ctx, system(), d.Repo, d.Branch)
	if err == nil {
		_, err = s.source.File(ctx, system(), d.Repo, commit, d.File)
	}
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s *Service) sayDefinition(ctx context.Context, tx *store.Tx, a identity.Actor, d Definition, action string) error {
	return s.log.Append(ctx, tx, event.Fact{
		Type: event.TypePipelineChanged, Subject: event.Of(event.KindRepo, d.Repo), Project: projectOf(d.Repo), Actor: a.String(),
		Payload: event.PipelineChanged{V: 1, ID: d.ID, Name: d.Name, Repo: d.Repo, File: d.File, Branch: d.Branch, Action: action},
	})
}

// refuseDisabled is the fault for a run of a pipeline that is not to run.
func refuseDisabled(d Definition) error {
	switch {
	case d.ID == 0:
		return fault.New(fault.NotFound, "There is no pipeline of the file %s of %s any more.", d.File, d.Repo).WithNext("make it again: towpath pipeline create NAME --file %s", d.File)
	case d.Disabled:
		return fault.New(fault.Conflict, "The pipeline %s is disabled.", d.Name).WithNext("a maintainer enables it with: towpath pipeline enable %q", d.Name)
	}
	return nil
}

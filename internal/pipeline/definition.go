package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Definition is a pipeline by the number that the service's own clients name it by.
type Definition struct {
	ID   int64  `json:"id"`   // System.DefinitionId
	Repo string `json:"repo"` // "project/repo"
}

// Definitions lists the pipelines of a project that have a number: those whose file was
// compiled once. It needs the read role.
func (s *Service) Definitions(ctx context.Context, a identity.Actor, project string) ([]Definition, error) {
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT id, repo FROM pipeline_definition ORDER BY repo`)
	if err != nil {
		return nil, fmt.Errorf("listing pipelines: %w", err)
	}
	defer rows.Close()
	out := []Definition{}
	for rows.Next() {
		var d Definition
		if err := rows.Scan(&d.ID, &d.Repo); err != nil {
			return nil, fmt.Errorf("listing pipelines: %w", err)
		}
		if strings.HasPrefix(d.Repo, project+"/") {
			out = append(out, d)
		}
	}
	return out, rows.Err()
}

// Definition finds a pipeline of a project by its number or its name. It needs the read role.
func (s *Service) Definition(ctx context.Context, a identity.Actor, project, name string) (Definition, error) {
	all, err := s.Definitions(ctx, a, project)
	if err != nil {
		return Definition{}, err
	}
	for _, d := range all {
		if _, short, _ := strings.Cut(d.Repo, "/"); strconv.FormatInt(d.ID, 10) == name || strings.EqualFold(short, name) || d.Repo == name {
			return d, nil
		}
	}
	return Definition{}, fault.New(fault.NotFound, "The project %s has no pipeline %q.", project, clip(name)).WithNext("a pipeline gets its number with its first push")
}

// DefinitionID is the number of the pipeline of a repository. It needs the read role.
func (s *Service) DefinitionID(ctx context.Context, a identity.Actor, repo string) (int64, error) {
	project, _, _ := strings.Cut(repo, "/")
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return 0, err
	}
	return s.definition(ctx, repo)
}

package pipeline

import (
	"context"
	"encoding/json"
	"fmt"

	"towpath.dev/towpath/internal/identity"
)

// Given is what a run was started with, beside its commit.
type Given struct {
	Parameters map[string]string `json:"parameters"` // by name; what is no scalar is YAML text
	Variables  map[string]string `json:"variables"`  // settable ones that whoever started it gave a value
	Skip       []string          `json:"skip"`       // stages that were left out at the start
}

// Given returns what a run was started with. It needs the read role.
func (s *Service) Given(ctx context.Context, a identity.Actor, n int64) (Given, error) {
	if _, err := s.authorized(ctx, a, n, identity.Read); err != nil {
		return Given{}, err
	}
	var parameters, more string
	if err := s.db.QueryRow(ctx, `SELECT parameters, given FROM pipeline_run WHERE number = ?`, n).Scan(&parameters, &more); err != nil {
		return Given{}, fmt.Errorf("reading what run %d was started with: %w", n, err)
	}
	out, rest := Given{}, given{}
	if err := decodeRow(parameters, &out.Parameters); err != nil {
		return Given{}, fmt.Errorf("reading the parameters of run %d: %w", n, err)
	}
	if err := decodeRow(more, &rest); err != nil {
		return Given{}, fmt.Errorf("reading what run %d was started with: %w", n, err)
	}
	out.Variables, out.Skip = rest.Variables, rest.Skip
	return out, nil
}

// decodeRow decodes a column of JSON; an empty one decodes to nothing.
func decodeRow(raw string, into any) error {
	if raw == "" {
		return nil
	}
	return json.Unmarshal([]byte(raw), into)
}

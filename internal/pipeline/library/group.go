package library

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/store"
)

// Group is a variable group.
type Group struct {
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
	Variables   []Value `json:"variables"` // in the order in which they were first set
	// Changed and By are of the last change.
	Changed time.Time `json:"changed"`
	By      string    `json:"by"`
}

// groupBody is what a row of a group holds; secret values have no text in it.
type groupBody struct {
	Description string  `json:"description,omitempty"`
	Variables   []Value `json:"variables"`
}

// Change is what is to change in a group or a connection.
type Change struct {
	Description *string  `json:"description,omitempty"`
	Set         []Value  `json:"set,omitempty"`
	Remove      []string `json:"remove,omitempty"` // names
}

func groupOf(project, name string) check.Resource {
	return check.Resource{Kind: check.Group, Project: project, Name: name}
}

// Groups returns the variable groups of a project by name. The actor needs the role read.
func (s *Service) Groups(ctx context.Context, a identity.Actor, project string) ([]Group, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	items, err := list(ctx, s.DB, project, check.Group)
	if err != nil {
		return nil, err
	}
	out := make([]Group, len(items))
	for i, it := range items {
		if out[i], err = group(it); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Group returns a variable group; its secret variables have no value. The actor needs the
// role read.
func (s *Service) Group(ctx context.Context, a identity.Actor, project, name string) (Group, error) {
	r := groupOf(project, name)
	if err := s.may(ctx, a, r, identity.Read); err != nil {
		return Group{}, err
	}
	it, err := find(ctx, s.DB, r, "")
	if errors.Is(err, errNone) {
		return Group{}, missing(r)
	}
	if err != nil {
		return Group{}, err
	}
	return group(it)
}

func group(it item) (Group, error) {
	var b groupBody
	if err := decode(it, &b); err != nil {
		return Group{}, err
	}
	return Group{Name: it.r.Name, Description: b.Description, Variables: b.Variables, Changed: it.changed, By: it.by}, nil
}

// CreateGroup makes a variable group; open lets every pipeline of the project use it,
// else it is permitted to each one by package check. The actor needs the role maintain.
func (s *Service) CreateGroup(ctx context.Context, a identity.Actor, project, name, description string, variables []Value, open bool) (Group, error) {
	r := groupOf(project, name)
	if err := s.may(ctx, a, r, identity.Maintain); err != nil {
		return Group{}, err
	}
	if err := checkDescription(description); err != nil {
		return Group{}, err
	}
	values, e, err := merge(nil, variables, nil)
	if err != nil {
		return Group{}, err
	}
	e.body = groupBody{Description: description, Variables: values}
	if err := s.create(ctx, a, r, e, open); err != nil {
		return Group{}, err
	}
	return s.Group(ctx, a, project, name)
}

// ChangeGroup sets and removes variables. Runs that have been created keep the plain values
// that they have; a secret is that of the moment at which a job begins. The actor needs
// the role maintain.
func (s *Service) ChangeGroup(ctx context.Context, a identity.Actor, project, name string, c Change) (Group, error) {
	r := groupOf(project, name)
	if err := s.may(ctx, a, r, identity.Maintain); err != nil {
		return Group{}, err
	}
	err := s.change(ctx, a, r, func(it item) (edit, error) {
		var b groupBody
		if err := decode(it, &b); err != nil {
			return edit{}, err
		}
		if c.Description != nil {
			if err := checkDescription(*c.Description); err != nil {
				return edit{}, err
			}
			b.Description = *c.Description
		}
		values, e, err := merge(b.Variables, c.Set, c.Remove)
		b.Variables = values
		e.body = b
		return e, err
	})
	if err != nil {
		return Group{}, err
	}
	return s.Group(ctx, a, project, name)
}

// RemoveGroup removes a variable group with the permissions on it. The actor needs the
// role maintain.
func (s *Service) RemoveGroup(ctx context.Context, a identity.Actor, project, name string) error {
	return s.remove(ctx, a, groupOf(project, name))
}

// Variables returns the variables of a group to the platform itself, which has asked
// whether the pipeline may use it; secret ones have no value. fault.NotFound says that
// there is no such group.
func (s *Service) Variables(ctx context.Context, h store.Handle, project, name string) ([]Value, error) {
	it, err := find(ctx, h, groupOf(project, name), "")
	if errors.Is(err, errNone) {
		return nil, missing(groupOf(project, name))
	}
	if err != nil {
		return nil, err
	}
	g, err := group(it)
	return g.Variables, err
}

// LendGroup returns the secrets of a group by lower-case name, for a job that may use it.
func (s *Service) LendGroup(ctx context.Context, h store.Handle, project, name string) (map[string]string, error) {
	it, err := find(ctx, h, groupOf(project, name), "")
	if errors.Is(err, errNone) {
		return nil, missing(groupOf(project, name))
	}
	if err != nil {
		return nil, err
	}
	var b groupBody
	if err := decode(it, &b); err != nil {
		return nil, err
	}
	secrets, err := s.unseal(ctx, h, it)
	if err != nil {
		return nil, err
	}
	for _, v := range b.Variables {
		if _, ok := secrets[strings.ToLower(v.Name)]; v.Secret && !ok {
			return nil, fmt.Errorf("the secret %s of the %s is not in the vault", v.Name, it.r)
		}
	}
	for key := range secrets {
		if !slices.ContainsFunc(b.Variables, func(v Value) bool { return v.Secret && strings.EqualFold(v.Name, key) }) {
			delete(secrets, key)
		}
	}
	return secrets, nil
}

func checkDescription(s string) error {
	if len(s) > maxDescription || strings.ContainsRune(s, 0) {
		return fault.New(fault.Invalid, "A description has at most %d bytes.", maxDescription)
	}
	return nil
}

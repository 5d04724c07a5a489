package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/pipeline/library"
)

// InVariableGroup names a variable group.
type InVariableGroup struct {
	In
	Group string `path:"group" maxLength:"256"`
}

// NewGroup is a variable group to make.
type NewGroup struct {
	Name        string          `json:"name" maxLength:"256"`
	Description string          `json:"description,omitempty" maxLength:"2000"`
	Variables   []library.Value `json:"variables,omitempty" maxItems:"500"`
	Open        bool            `json:"open,omitempty" doc:"every pipeline of the project may use it"`
}

func (a *server) libraryRoutes() {
	op(a, http.MethodGet, "/projects/{project}/variable-groups", "variable-group-list", "Variable groups", func(ctx context.Context, in *In) (*Body[[]library.Group], error) {
		return body(list(a.Pipeline.Library().Groups(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodPost, "/projects/{project}/variable-groups", "variable-group-create", "Make a variable group", func(ctx context.Context, in *struct {
		In
		Body NewGroup
	}) (*Body[library.Group], error) {
		b := in.Body
		return body(a.Pipeline.Library().CreateGroup(ctx, actor(ctx), in.Project, b.Name, b.Description, b.Variables, b.Open))
	})
	op(a, http.MethodGet, "/projects/{project}/variable-groups/{group}", "variable-group-show", "A variable group; secret variables have no value", func(ctx context.Context, in *InVariableGroup) (*Body[library.Group], error) {
		return body(a.Pipeline.Library().Group(ctx, actor(ctx), in.Project, in.Group))
	})
	op(a, http.MethodPatch, "/projects/{project}/variable-groups/{group}", "variable-group-change", "Set or remove variables of a group", func(ctx context.Context, in *struct {
		InVariableGroup
		Body library.Change
	}) (*Body[library.Group], error) {
		return body(a.Pipeline.Library().ChangeGroup(ctx, actor(ctx), in.Project, in.Group, in.Body))
	})
	op(a, http.MethodDelete, "/projects/{project}/variable-groups/{group}", "variable-group-remove", "Remove a variable group", func(ctx context.Context, in *InVariableGroup) (*struct{}, error) {
		return nil, a.Pipeline.Library().RemoveGroup(ctx, actor(ctx), in.Project, in.Group)
	})
}

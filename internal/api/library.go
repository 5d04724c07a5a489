package api

import (
	"bytes"
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
	a.connectionRoutes()
	a.secureFileRoutes()
}

// InConnection names a service connection.
type InConnection struct {
	In
	Connection string `path:"connection" maxLength:"256"`
}

// NewConnection is a service connection to make.
type NewConnection struct {
	Name        string          `json:"name" maxLength:"256"`
	Type        string          `json:"type" doc:"kubernetes, dockerregistry, generic or incomingwebhook" maxLength:"100"`
	URL         string          `json:"url,omitempty" maxLength:"2000" doc:"not for an incoming webhook"`
	Description string          `json:"description,omitempty" maxLength:"2000"`
	Parameters  []library.Value `json:"parameters,omitempty" maxItems:"100"`
	Open        bool            `json:"open,omitempty" doc:"every pipeline of the project may use it"`
}

func (a *server) connectionRoutes() {
	op(a, http.MethodGet, "/projects/{project}/connections", "connection-list", "Service connections", func(ctx context.Context, in *In) (*Body[[]library.Connection], error) {
		return body(list(a.Pipeline.Library().Connections(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodPost, "/projects/{project}/connections", "connection-create", "Make a service connection", func(ctx context.Context, in *struct {
		In
		Body NewConnection
	}) (*Body[library.Connection], error) {
		b := in.Body
		return body(a.Pipeline.Library().CreateConnection(ctx, actor(ctx), in.Project,
			library.Connection{Name: b.Name, Type: b.Type, URL: b.URL, Description: b.Description, Parameters: b.Parameters}, b.Open))
	})
	op(a, http.MethodGet, "/projects/{project}/connections/{connection}", "connection-show", "A service connection; secret parameters have no value", func(ctx context.Context, in *InConnection) (*Body[library.Connection], error) {
		return body(a.Pipeline.Library().Connection(ctx, actor(ctx), in.Project, in.Connection))
	})
	op(a, http.MethodPatch, "/projects/{project}/connections/{connection}", "connection-change", "Set or remove parameters of a connection", func(ctx context.Context, in *struct {
		InConnection
		Body library.Change
	}) (*Body[library.Connection], error) {
		return body(a.Pipeline.Library().ChangeConnection(ctx, actor(ctx), in.Project, in.Connection, in.Body))
	})
	op(a, http.MethodDelete, "/projects/{project}/connections/{connection}", "connection-remove", "Remove a service connection", func(ctx context.Context, in *InConnection) (*struct{}, error) {
		return nil, a.Pipeline.Library().RemoveConnection(ctx, actor(ctx), in.Project, in.Connection)
	})
}

func (a *server) secureFileRoutes() {
	op(a, http.MethodGet, "/projects/{project}/secure-files", "secure-file-list", "Secure files; their content is for jobs alone", func(ctx context.Context, in *In) (*Body[[]library.File], error) {
		return body(list(a.Pipeline.Library().Files(ctx, actor(ctx), in.Project)))
	})
	sized(a, library.MaxFile+1, http.MethodPut, "/projects/{project}/secure-files/{file}", "secure-file-upload", "Keep a secure file", func(ctx context.Context, in *struct {
		In
		File    string `path:"file" maxLength:"128"`
		Open    bool   `query:"open" doc:"every pipeline of the project may use it"`
		RawBody []byte `contentType:"application/octet-stream"`
	}) (*Body[library.File], error) {
		return body(a.Pipeline.Library().UploadFile(ctx, actor(ctx), in.Project, in.File, bytes.NewReader(in.RawBody), in.Open))
	})
	op(a, http.MethodDelete, "/projects/{project}/secure-files/{file}", "secure-file-remove", "Remove a secure file", func(ctx context.Context, in *struct {
		In
		File string `path:"file" maxLength:"128"`
	}) (*struct{}, error) {
		return nil, a.Pipeline.Library().RemoveFile(ctx, actor(ctx), in.Project, in.File)
	})
}

package api

import (
	"context"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Me says who is signed in.
type Me struct {
	Actor string `json:"actor" example:"user:ada"`
	Name  string `json:"name"`
	Admin bool   `json:"admin" doc:"administrator of the installation"`
	Scope string `json:"scope" doc:"the most that this token may do"`
}

// NewToken is a personal token with its secret, which is shown once.
type NewToken struct {
	identity.Token
	Secret string `json:"secret"`
}

func (a *server) identityRoutes() {
	op(a, http.MethodGet, "/me", "me-show", "Who am I", func(ctx context.Context, _ *Empty) (*Body[Me], error) {
		who := actor(ctx)
		if !who.Known() {
			return nil, notSignedIn()
		}
		return body(Me{Actor: who.String(), Name: who.Name, Admin: who.Admin, Scope: who.Cap.String()}, nil)
	})
	op(a, http.MethodGet, "/projects", "project-list", "Projects that I may see", func(ctx context.Context, _ *Empty) (*Body[[]identity.Project], error) {
		// An empty list would tell nobody that there is nothing, which is not so.
		if !actor(ctx).Known() {
			return nil, notSignedIn()
		}
		return body(list(a.Identity.Visible(ctx, actor(ctx))))
	})
	op(a, http.MethodPost, "/projects", "project-create", "Make a project", func(ctx context.Context, in *struct {
		Body struct {
			Name string `json:"name" example:"shop"`
		}
	}) (*Body[identity.Project], error) {
		return body(a.Identity.CreateProject(ctx, actor(ctx), in.Body.Name))
	})
	op(a, http.MethodGet, "/projects/{project}/members", "project-members", "Members and their roles", func(ctx context.Context, in *In) (*Body[[]identity.Member], error) {
		return body(list(a.Identity.Members(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodPut, "/projects/{project}/members/{user}", "project-grant", "Give a user a role", func(ctx context.Context, in *struct {
		In
		User string `path:"user"`
		Body struct {
			Role string `json:"role" enum:"none,read,write,maintain,admin"`
		}
	}) (*Empty, error) {
		role, ok := identity.ParseRole(in.Body.Role)
		if !ok {
			return nil, fault.New(fault.Invalid, "%q is no role.", in.Body.Role).WithNext("use none, read, write, maintain or admin")
		}
		return &Empty{}, a.Identity.Grant(ctx, actor(ctx), in.Project, in.User, role)
	})
	op(a, http.MethodGet, "/tokens", "token-list", "My personal tokens", func(ctx context.Context, _ *Empty) (*Body[[]identity.Token], error) {
		return body(list(a.Identity.Tokens(ctx, actor(ctx))))
	})
	op(a, http.MethodPost, "/tokens", "token-create", "Make a personal token", func(ctx context.Context, in *struct {
		Body struct {
			Name  string `json:"name" example:"laptop"`
			Scope string `json:"scope" enum:"read,write,maintain,admin"`
			Days  int    `json:"days" doc:"days until it expires" minimum:"1" maximum:"366"`
		}
	}) (*Body[NewToken], error) {
		secret, t, err := a.Identity.CreateToken(ctx, actor(ctx), in.Body.Name, in.Body.Scope, time.Duration(in.Body.Days)*24*time.Hour)
		return body(NewToken{Token: t, Secret: secret}, err)
	})
	op(a, http.MethodDelete, "/tokens/{id}", "token-revoke", "Revoke a personal token", func(ctx context.Context, in *struct {
		ID string `path:"id"`
	}) (*Empty, error) {
		return &Empty{}, a.Identity.RevokeToken(ctx, actor(ctx), in.ID)
	})
	op(a, http.MethodGet, "/users", "user-list", "Users", func(ctx context.Context, _ *Empty) (*Body[[]identity.User], error) {
		return body(list(a.Identity.Users(ctx, actor(ctx))))
	})
	op(a, http.MethodPost, "/users", "user-create", "Make a user", func(ctx context.Context, in *struct {
		Body struct {
			Name     string `json:"name" example:"ada"`
			Password string `json:"password,omitempty" doc:"empty: the user signs in with tokens only"`
			Admin    bool   `json:"admin,omitempty"`
		}
	}) (*Body[identity.User], error) {
		return body(a.Identity.CreateUser(ctx, actor(ctx), in.Body.Name, in.Body.Password, in.Body.Admin))
	})
}

func notSignedIn() error {
	return fault.New(fault.Unauthentic, "You are not signed in.").WithNext("run `towpath login`")
}

// list makes an empty list of none, so that clients need not know null.
func list[T any](v []T, err error) ([]T, error) {
	if v == nil {
		v = []T{}
	}
	return v, err
}

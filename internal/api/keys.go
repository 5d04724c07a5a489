package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/identity"
)

// NewKey is an SSH public key as somebody adds it.
type NewKey struct {
	Title string `json:"title,omitempty" doc:"empty takes the key's comment" maxLength:"100"`
	Key   string `json:"key" doc:"a line as in a .pub file" maxLength:"16384"`
	Write bool   `json:"write,omitempty" doc:"of a deploy key: it may push as well"`
}

// InKey names an SSH key.
type InKey struct {
	ID string `path:"id" doc:"id of the key" maxLength:"64"`
}

func (a *server) keyRoutes() {
	op(a, http.MethodGet, "/keys", "key-list", "Your SSH keys", func(ctx context.Context, _ *struct{}) (*Body[[]identity.Key], error) {
		return body(list(a.Identity.Keys(ctx, actor(ctx))))
	})
	op(a, http.MethodPost, "/keys", "key-add", "Use Git over SSH with a key", func(ctx context.Context, in *struct{ Body NewKey }) (*Body[identity.Key], error) {
		return body(a.Identity.AddKey(ctx, actor(ctx), in.Body.Title, in.Body.Key))
	})
	op(a, http.MethodDelete, "/keys/{id}", "key-remove", "Take an SSH key away", func(ctx context.Context, in *InKey) (*struct{}, error) {
		return nil, a.Identity.RemoveKey(ctx, actor(ctx), in.ID)
	})
	const repo = "/projects/{project}/repos/{repo}/keys"
	op(a, http.MethodGet, repo, "key-deploy-list", "Deploy keys of a repository", func(ctx context.Context, in *InRepo) (*Body[[]identity.Key], error) {
		return body(list(a.Identity.DeployKeys(ctx, actor(ctx), in.full())))
	})
	op(a, http.MethodPost, repo, "key-deploy-add", "Let a key read one repository, or push to it", func(ctx context.Context, in *struct {
		InRepo
		Body NewKey
	}) (*Body[identity.Key], error) {
		if _, err := a.Source.Repo(ctx, actor(ctx), in.full()); err != nil {
			return nil, err
		}
		return body(a.Identity.AddDeployKey(ctx, actor(ctx), in.full(), in.Body.Title, in.Body.Key, in.Body.Write))
	})
}

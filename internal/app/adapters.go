package app

import (
	"context"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
)

// tags answers deploy's question which digest a tag names.
type tags struct{ registry *registry.Service }

var _ deploy.Images = tags{}

// Digest resolves a tag with the platform's rights; deploy has asked whether the actor
// may read the project.
func (t tags) Digest(ctx context.Context, repository, tag string) (string, error) {
	m, err := t.registry.ManifestRecord(ctx, identity.SystemActor("deploy"), repository, tag)
	return m.Digest, err
}

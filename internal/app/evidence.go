package app

import (
	"context"

	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
)

func (a *App) openEvidence(ctx context.Context) error {
	a.Evidence = evidence.New(a.db, a.Log, a.Identity, a.logger)
	key, err := a.vault.Signer(ctx, a.db, "evidence")
	if err != nil {
		return err
	}
	a.Exporter = evidence.NewExporter(a.Evidence, key, documents{a.Registry}, a.clock)
	return nil
}

// documents gives the bytes of what lies beside images in the registry.
type documents struct{ registry *registry.Service }

var _ evidence.Documents = documents{}

// Document returns a manifest or a blob.
func (d documents) Document(ctx context.Context, a identity.Actor, repository, digest string, limit int64) ([]byte, string, error) {
	m, data, err := d.registry.ManifestBytes(ctx, a, repository, digest)
	if err == nil {
		if int64(len(data)) > limit {
			return nil, "", fault.New(fault.TooLarge, "The manifest %s has more than %d bytes.", digest, limit)
		}
		return data, m.MediaType, nil
	}
	if !fault.Is(err, fault.NotFound) {
		return nil, "", err
	}
	size, err := d.registry.BlobSize(ctx, a, repository, digest)
	if err != nil {
		return nil, "", err
	}
	if size > limit {
		return nil, "", fault.New(fault.TooLarge, "The blob %s has more than %d bytes.", digest, limit)
	}
	data, err = d.registry.BlobBytes(ctx, a, repository, digest, limit)
	return data, "application/octet-stream", err
}

package policy

import (
	"context"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/catalog"
	"towpath.dev/towpath/internal/policy/rule"
)

// Places tells what the namespaces of the clusters belong to.
type Places interface {
	// Places lists every namespace that an environment owns, with its cluster. When the
	// list changes, Service.PlacesChanged must be called.
	Places(ctx context.Context) ([]rule.Place, error)
}

// Authoriser answers what an actor may do: identity.Service.
type Authoriser interface {
	// Require returns nil when the actor holds the role in the project, else
	// fault.NotFound, fault.Denied or fault.Unauthentic.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// RequireAdmin returns nil for an administrator of the installation, else
	// fault.Denied or fault.Unauthentic.
	RequireAdmin(ctx context.Context, a identity.Actor) error
}

// Catalogue is what comes with the platform; it never changes: catalog.Catalogue.
type Catalogue interface {
	// Definitions returns every built-in definition.
	Definitions() []catalog.File
	// Initiatives returns every built-in initiative.
	Initiatives() []catalog.File
	// Catalogue has the templates that definitions name by an address.
	azure.Catalogue
}

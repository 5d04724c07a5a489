package supply

import (
	"context"
	"fmt"

	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/registry/supply/scan"
)

// Trust is what a policy asks of an image: short, and quick to keep in memory.
type Trust struct {
	Signed  bool     // a signature of this installation's authority holds
	Scanned bool     // judged, whatever the verdict
	Fixable []string // critical findings that a newer version mends, one sentence each
}

// Trust returns what is known of an image in a repository now. Nothing is known of an
// image that was not pushed there. It asks for no rights: it is for the platform itself.
func (s *Service) Trust(ctx context.Context, repository, image string) (Trust, error) {
	var t Trust
	var err error
	if t.Signed, t.Scanned, err = s.Ready(ctx, repository, image); err != nil || !t.Scanned {
		return t, err
	}
	found, err := s.matcher.Findings(ctx, s.db, image)
	if err != nil {
		return t, err
	}
	for _, f := range found {
		if f.Severity == advisory.Critical && f.Fixed != "" {
			t.Fixable = append(t.Fixable, fmt.Sprintf("%s in %s %s, fixed in %s", f.Advisory, f.Package, f.Version, f.Fixed))
		}
	}
	return t, nil
}

// Hit is an advisory that affects a version of a package.
type Hit struct {
	Advisory advisory.Record
	Fixed    string // lowest version that fixes it, "" when there is none
}

// Affecting returns the advisories that affect a version of a package: "Go",
// "golang.org/x/net", "v0.17.0". A package of which nothing is known gives none; whether
// data of the ecosystem is loaded says Advisories. It asks for no rights: advisories are
// public facts.
func (s *Service) Affecting(ctx context.Context, ecosystem, name, version string) ([]Hit, error) {
	found, err := scan.Affecting(ctx, s.db, s.advisories, ecosystem, name, version)
	if err != nil {
		return nil, err
	}
	var out []Hit
	for id, fixed := range found {
		r, err := s.advisories.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		out = append(out, Hit{Advisory: r, Fixed: fixed})
	}
	return out, nil
}

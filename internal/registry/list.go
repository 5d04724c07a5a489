package registry

import (
	"context"
	"fmt"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// MaxPage is the most entries that one page of a list holds.
const MaxPage = 1000

// maxReferrersPage bounds the JSON of one page of referrers: clients read at most 4 MiB.
const maxReferrersPage = 3 << 20

// ascii has a column compare by bytes, as SQLite does and the specification asks. What
// PostgreSQL would do depends on how the database was made.
func (s *Service) ascii(column string) string {
	if s.db.Postgres() {
		return column + ` COLLATE "C"`
	}
	return column
}

// Tags returns at most n tags of a repository after last, in ASCII order, and whether
// there are more. An unknown repository is an error of CodeNameUnknown.
func (s *Service) Tags(ctx context.Context, a identity.Actor, repository, last string, n int) (tags []string, more bool, err error) {
	if err := s.mayPull(ctx, a, repository); err != nil {
		return nil, false, err
	}
	known, err := exists(ctx, s.db, `SELECT 1 FROM registry_repository WHERE name = ?`, repository)
	if err != nil {
		return nil, false, fmt.Errorf("looking for repository %s: %w", repository, err)
	}
	if !known {
		return nil, false, unknown(CodeNameUnknown, "There is no repository %s.", repository)
	}
	n = max(0, min(n, MaxPage))
	tags, err = strings1(ctx, s.db, `SELECT name FROM registry_tag WHERE repository = ? AND `+s.ascii("name")+` > ? ORDER BY `+s.ascii("name")+` LIMIT ?`, repository, last, n+1)
	if err != nil {
		return nil, false, fmt.Errorf("listing tags of %s: %w", repository, err)
	}
	if len(tags) > n {
		// With n = 0 the client asked for nothing, which has no next page.
		return tags[:n], n > 0, nil
	}
	return tags, false, nil
}

// Referrers returns manifests whose subject is digest, in the order of their digests
// after last, and whether there are more. artifactType "" takes all. A subject that is
// not there has no referrers, or those that came before it. Nor has one in a project that
// the actor may not know: the specification forbids "not found" here, because clients take
// it to mean that there is no referrers API.
func (s *Service) Referrers(ctx context.Context, a identity.Actor, repository, digest, artifactType, last string) (list []Descriptor, more bool, err error) {
	switch err := s.mayPull(ctx, a, repository); {
	case fault.Is(err, fault.NotFound):
		return nil, false, checkDigest(digest)
	case err != nil:
		return nil, false, err
	}
	if err := checkDigest(digest); err != nil {
		return nil, false, err
	}
	query := `SELECT ` + manifestColumns + ` FROM registry_manifest m WHERE m.repository = ? AND m.subject = ? AND m.digest > ?`
	args := []any{repository, digest, last}
	if artifactType != "" {
		query += ` AND m.artifact_type = ?`
		args = append(args, artifactType)
	}
	ms, err := readManifests(ctx, s.db, query+` ORDER BY m.digest LIMIT ?`, append(args, MaxPage+1)...)
	if err != nil {
		return nil, false, err
	}
	room := maxReferrersPage
	for i, m := range ms {
		for k, v := range m.Annotations {
			// JSON may write a byte as six.
			room -= 6 * (len(k) + len(v))
		}
		room -= 512
		if i == MaxPage || i > 0 && room < 0 {
			return list, true, nil
		}
		list = append(list, Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size, ArtifactType: m.ArtifactType, Annotations: m.Annotations})
	}
	return list, false, nil
}

// Repositories returns at most n repositories after last that the actor may read, in
// order of their names, and whether there are more.
func (s *Service) Repositories(ctx context.Context, a identity.Actor, last string, n int) (names []string, more bool, err error) {
	if !a.Known() {
		return nil, false, s.require(ctx, a, "", identity.Read)
	}
	n = max(0, min(n, MaxPage))
	if n == 0 {
		return nil, false, nil
	}
	readable := map[string]bool{}
	for {
		batch, err := strings1(ctx, s.db, `SELECT name FROM registry_repository WHERE `+s.ascii("name")+` > ? ORDER BY `+s.ascii("name")+` LIMIT 500`, last)
		if err != nil {
			return nil, false, fmt.Errorf("listing repositories: %w", err)
		}
		if len(batch) == 0 {
			return names, false, nil
		}
		for _, name := range batch {
			last = name
			project := ProjectOf(name)
			may, known := readable[project]
			if !known {
				err := s.require(ctx, a, name, identity.Read)
				if k := fault.KindOf(err); err != nil && k != fault.NotFound && k != fault.Denied {
					return nil, false, err
				}
				may = err == nil
				readable[project] = may
			}
			if !may {
				continue
			}
			if len(names) == n {
				return names, true, nil
			}
			names = append(names, name)
		}
	}
}

// EachImage calls do with the digest of every image and index, in their order, until it
// fails. It asks for no rights: it is for the platform itself.
func (s *Service) EachImage(ctx context.Context, do func(digest string) error) error {
	last := ""
	for {
		page, err := s.imagesAfter(ctx, last)
		if err != nil {
			return err
		}
		for _, digest := range page {
			if err := do(digest); err != nil {
				return err
			}
			last = digest
		}
		if len(page) < MaxPage {
			return nil
		}
	}
}

func (s *Service) imagesAfter(ctx context.Context, last string) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT DISTINCT digest FROM registry_manifest WHERE kind <> ? AND subject = '' AND digest > ? ORDER BY digest LIMIT ?`,
		KindArtifact, last, MaxPage)
	if err != nil {
		return nil, fmt.Errorf("listing all images: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var d string
		if err := rows.Scan(&d); err != nil {
			return nil, fmt.Errorf("listing all images: %w", err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// RepositoriesOf lists the repositories in which a manifest lies, by name. It asks for no
// rights: it is for the platform itself.
func (s *Service) RepositoriesOf(ctx context.Context, digest string) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT repository FROM registry_manifest WHERE digest = ? ORDER BY repository LIMIT 100`, digest)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", digest, err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var r string
		if err := rows.Scan(&r); err != nil {
			return nil, fmt.Errorf("finding %s: %w", digest, err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

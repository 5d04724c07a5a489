package deploy

import (
	"context"
)

// Live returns the releases of every environment that run or may have to run again: from the
// newest back to the one before the newest that was deployed, which a rollback goes to. It asks
// for no rights: it is for the platform itself.
func (s *Service) Live(ctx context.Context) ([]Release, error) {
	return releases(ctx, s.DB, `number >= COALESCE((SELECT MAX(b.number) FROM release b WHERE b.project = release.project AND b.environment = release.environment AND b.result = 'deployed'
		AND b.number < (SELECT MAX(n.number) FROM release n WHERE n.project = release.project AND n.environment = release.environment AND n.result = 'deployed')), 0)
		ORDER BY project, environment, number`)
}

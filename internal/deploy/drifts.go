package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
)

// maxDriftFields is how many fields of an object are told of.
const maxDriftFields = 20

// DeletedObject stands for the fields of an object that is not there at all.
const DeletedObject = "deleted"

// Drift is an object of a release that is not as it was deployed.
type Drift struct {
	Release string    `json:"release"`
	Object  string    `json:"object" doc:"kind, namespace and name: Deployment shop-production/cart"`
	Fields  []string  `json:"fields" doc:"at most 20, without values; \"deleted\" when it is not there"`
	Manager string    `json:"manager,omitempty" doc:"who changed it last, as the cluster knows"`
	Why     string    `json:"why,omitempty" doc:"why it could not be put back"`
	Found   time.Time `json:"found"`
}

// found is a drift with what tells it from others.
type found struct {
	Drift
	sum    string
	object map[string]any // of the manifest
}

// sumOf tells one drift of an object from another: by the fields and what lives in the
// object, without keeping either.
func sumOf(fields []string, live map[string]any) (string, error) {
	b, err := json.Marshal([]any{fields, live["spec"], live["data"], live["rules"]})
	if err != nil {
		return "", fmt.Errorf("encoding an object: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// keepDrifts records what was found in an environment: each distinct drift is said once,
// and what is as it should be again is forgotten. mended are the objects that the platform
// put back itself; of the others it is said that somebody did.
func (s *Service) keepDrifts(ctx context.Context, env Environment, now []found, mended ...found) error {
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		old, err := driftSums(ctx, tx, env)
		if err != nil {
			return err
		}
		for object := range old {
			is := func(f found) bool { return f.Object == object }
			if slices.ContainsFunc(now, is) {
				continue
			}
			if !slices.ContainsFunc(mended, is) {
				if err := s.sayUndone(ctx, tx, env, object); err != nil {
					return err
				}
			}
			if _, err := tx.Exec(ctx, `DELETE FROM drift_seen WHERE project = ? AND environment = ? AND object = ?`, env.Project, env.Name, object); err != nil {
				return fmt.Errorf("forgetting a drift of environment %s: %w", env.Name, err)
			}
		}
		for _, f := range now {
			if old[f.Object] == f.sum {
				continue
			}
			document, err := json.Marshal(f.Drift)
			if err != nil {
				return fmt.Errorf("encoding a drift: %w", err)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO drift_seen (project, environment, object, sum, at, document) VALUES (?,?,?,?,?,?)
				ON CONFLICT (project, environment, object) DO UPDATE SET sum = excluded.sum, at = excluded.at, document = excluded.document`,
				env.Project, env.Name, f.Object, f.sum, f.Found.UnixMilli(), string(document)); err != nil {
				return fmt.Errorf("recording a drift of environment %s: %w", env.Name, err)
			}
			if err := s.Log.Append(ctx, tx, driftFact(env, f.Drift, false)); err != nil {
				return err
			}
		}
		return nil
	})
}

// sayUndone records that a drift is gone and that the platform did not put it back.
func (s *Service) sayUndone(ctx context.Context, tx *store.Tx, env Environment, object string) error {
	var document string
	if err := tx.QueryRow(ctx, `SELECT document FROM drift_seen WHERE project = ? AND environment = ? AND object = ?`, env.Project, env.Name, object).Scan(&document); err != nil {
		return fmt.Errorf("reading a drift of environment %s: %w", env.Name, err)
	}
	var d Drift
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		return fmt.Errorf("decoding a drift of environment %s: %w", env.Name, err)
	}
	if d.Release == "" {
		return nil // it was found before releases stood with drifts
	}
	return s.Log.Append(ctx, tx, event.Fact{
		Type: event.TypeDriftUndone, Subject: event.Of(event.KindRelease, d.Release), Project: env.Project, Actor: "system:deploy",
		Payload: event.DriftUndone{V: 1, Release: d.Release, Environment: env.Name, Object: object},
	})
}

// sayMended records that drifts were put back.
func (s *Service) sayMended(ctx context.Context, env Environment, mended []found) error {
	if len(mended) == 0 {
		return nil
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		var facts []event.Fact
		for _, f := range mended {
			facts = append(facts, driftFact(env, f.Drift, true))
		}
		return s.Log.Append(ctx, tx, facts...)
	})
}

func driftFact(env Environment, d Drift, mended bool) event.Fact {
	return event.Fact{
		Type: event.TypeDriftFound, Subject: event.Of(event.KindRelease, d.Release), Project: env.Project, Actor: "system:deploy",
		Payload: event.DriftFound{
			V: 1, Release: d.Release, Environment: env.Name, Object: d.Object, Fields: nonNil(d.Fields), Manager: d.Manager, Mended: mended,
		},
	}
}

func driftSums(ctx context.Context, h store.Handle, env Environment) (map[string]string, error) {
	rows, err := h.Query(ctx, `SELECT object, sum FROM drift_seen WHERE project = ? AND environment = ?`, env.Project, env.Name)
	if err != nil {
		return nil, fmt.Errorf("reading drifts of environment %s: %w", env.Name, err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var object, sum string
		if err := rows.Scan(&object, &sum); err != nil {
			return nil, fmt.Errorf("reading drifts of environment %s: %w", env.Name, err)
		}
		out[object] = sum
	}
	return out, rows.Err()
}

// drifts lists what drifted in an environment, by object.
func drifts(ctx context.Context, h store.Handle, env Environment) ([]Drift, error) {
	rows, err := h.Query(ctx, `SELECT document FROM drift_seen WHERE project = ? AND environment = ? ORDER BY object`, env.Project, env.Name)
	if err != nil {
		return nil, fmt.Errorf("reading drifts of environment %s: %w", env.Name, err)
	}
	defer rows.Close()
	var out []Drift
	for rows.Next() {
		var document string
		var d Drift
		if err := rows.Scan(&document); err != nil {
			return nil, fmt.Errorf("reading drifts of environment %s: %w", env.Name, err)
		}
		if err := json.Unmarshal([]byte(document), &d); err != nil {
			return nil, fmt.Errorf("decoding a drift of environment %s: %w", env.Name, err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

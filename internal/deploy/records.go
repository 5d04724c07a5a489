package deploy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// envName is what an environment may be called; it becomes part of labels and groups.
var envName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ID returns "project/environment/number".
func (r Release) ID() string { return fmt.Sprintf("%s/%s/%d", r.Project, r.Environment, r.Number) }

// Subject returns the release's subject in the logbook.
func (r Release) Subject() event.Subject { return event.Of(event.KindRelease, r.ID()) }

// Group returns the Kubernetes group whose members may deploy to an environment.
func Group(project, environment string) string {
	return "towpath:deploy:" + project + ":" + environment
}

// DefaultNamespace returns the namespace that an environment gets when nobody names one.
func DefaultNamespace(project, environment string) string { return project + "-" + environment }

// CreateEnvironment makes an environment with its namespace's name; "" takes the
// default. The namespace itself is made at the first deployment.
func (s *Service) CreateEnvironment(ctx context.Context, a identity.Actor, project, name, namespace string) (Environment, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return Environment{}, err
	}
	return s.ensure(ctx, a, project, name, namespace)
}

// ensure returns the environment, making it when missing, as Azure Pipelines does at
// the first use. The caller has asked for permission.
func (s *Service) ensure(ctx context.Context, a identity.Actor, project, name, namespace string) (Environment, error) {
	if _, _, review := event.ReviewApp(name); review && a.Job.Pull != 0 {
		return s.openReviewApp(ctx, a, project, name, namespace)
	}
	if !envName.MatchString(name) {
		return Environment{}, fault.New(fault.Invalid, "%q cannot be the name of an environment.", name).
			WithNext("use lower-case letters, digits and dashes, at most 63 characters")
	}
	env, err := environment(ctx, s.DB, project, name)
	if err == nil {
		if err := s.here(env); err != nil {
			return env, err
		}
		if namespace != "" && namespace != env.Namespace {
			return env, fault.New(fault.Invalid, "Environment %s deploys to namespace %s, not to %s.", name, env.Namespace, namespace).
				WithNext("set `namespace: %s`, or use another environment", env.Namespace)
		}
		return env, nil
	}
	if !fault.Is(err, fault.NotFound) {
		return env, err
	}
	env = Environment{Project: project, Name: name, Namespace: namespace, Created: s.Clock.Now()}
	if s.remote != nil {
		// What may be deployed to is the business of the connection's credentials.
		if env.Connection = s.remote.Connection; namespace == "" {
			env.Namespace = "default"
		}
		return s.record(ctx, a, env)
	}
	if namespace == "" {
		namespace = DefaultNamespace(project, name)
	}
	if namespace != project && !strings.HasPrefix(namespace, project+"-") || len(namespace) > 63 || !envName.MatchString(namespace) {
		return env, fault.New(fault.Denied, "Project %s may not deploy to namespace %q.", project, namespace).
			WithNext("use namespace %s, or one that begins with %s-", project, project)
	}
	env.Namespace = namespace
	return s.record(ctx, a, env)
}

// record stores a new environment.
func (s *Service) record(ctx context.Context, a identity.Actor, env Environment) (Environment, error) {
	project, name := env.Project, env.Name
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		review := env.review()
		_, err := tx.Exec(ctx, `INSERT INTO environment (project, name, namespace, created, releases, sessions, base, repo, pull) VALUES (?,?,?,?,0,?,?,?,?)`,
			project, name, placeOf(env), env.Created.UnixMilli(), env.Sessions, review.Base, review.Repo, review.Pull)
		if store.Unique(err) {
			return fault.New(fault.Conflict, "Namespace %s belongs to another environment.", env.Namespace).
				WithNext("choose another namespace that begins with %s-", project)
		}
		if err != nil {
			return fmt.Errorf("storing environment %s: %w", name, err)
		}
		if env, err = environment(ctx, tx, project, name); err != nil {
			return err
		}
		return s.Log.Append(ctx, tx, event.Fact{
			Type: event.TypeEnvironmentMade, Subject: event.Of(event.KindProject, project), Project: project, Actor: a.String(),
			Payload: event.Created{V: 1, Name: name},
		})
	})
	return env, err
}

func environment(ctx context.Context, h store.Handle, project, name string) (Environment, error) {
	env, err := scanEnvironment(h.QueryRow(ctx, `SELECT `+environmentColumns+` FROM environment WHERE project = ? AND name = ?`, project, name))
	if errors.Is(err, sql.ErrNoRows) {
		return Environment{Project: project, Name: name}, fault.New(fault.NotFound, "Project %s has no environment %s.", project, name).
			WithNext("list them with `towpath env list --project %s`", project)
	}
	if err != nil {
		return env, fmt.Errorf("reading environment %s: %w", name, err)
	}
	return env, nil
}

// environmentColumns are what scanEnvironment reads.
const environmentColumns = `project, name, namespace, created, routing, sessions, strategy, drift, review_apps, base, repo, pull, ended`

func scanEnvironment(row interface{ Scan(...any) error }) (Environment, error) {
	var env Environment
	var created, ended int64
	var raw rawSettings
	var stored string
	var review Review
	if err := row.Scan(&env.Project, &env.Name, &stored, &created, &raw.routing, &raw.sessions, &raw.strategy, &raw.drift, &raw.reviewApps,
		&review.Base, &review.Repo, &review.Pull, &ended); err != nil {
		return env, err
	}
	env.setPlace(stored)
	env.Created = time.UnixMilli(created).UTC()
	if review.Base != "" {
		if ended != 0 {
			review.Ended = time.UnixMilli(ended).UTC()
		}
		env.Review = &review
	}
	var err error
	env.Settings, err = raw.of(env.Name)
	return env, err
}

// scanEnvironments reads all rows.
func scanEnvironments(ctx context.Context, h store.Handle, where string, args ...any) ([]Environment, error) {
	rows, err := h.Query(ctx, `SELECT `+environmentColumns+` FROM environment WHERE `+where+` ORDER BY project, name`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading environments: %w", err)
	}
	defer rows.Close()
	var out []Environment
	for rows.Next() {
		env, err := scanEnvironment(rows)
		if err != nil {
			return nil, fmt.Errorf("reading environments: %w", err)
		}
		out = append(out, env)
	}
	return out, rows.Err()
}

// Environments returns the environments of a project, by name, each with its current
// and its latest release; review apps too, while they are there.
func (s *Service) Environments(ctx context.Context, a identity.Actor, project string) ([]Environment, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	out, err := scanEnvironments(ctx, s.DB, `project = ? AND ended = 0`, project)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if err := s.fill(ctx, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Environment returns one environment.
func (s *Service) Environment(ctx context.Context, a identity.Actor, project, name string) (Environment, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Environment{}, err
	}
	env, err := environment(ctx, s.DB, project, name)
	if err != nil {
		return env, err
	}
	return env, s.fill(ctx, &env)
}

func (s *Service) fill(ctx context.Context, env *Environment) error {
	latest, err := releases(ctx, s.DB, `project = ? AND environment = ? ORDER BY number DESC LIMIT 1`, env.Project, env.Name)
	if err != nil {
		return err
	}
	current, err := current(ctx, s.DB, env.Project, env.Name)
	if err != nil {
		return err
	}
	if len(latest) == 1 {
		env.Latest = &latest[0]
	}
	env.Current = current
	env.Drifted, err = drifts(ctx, s.DB, *env)
	return err
}

func current(ctx context.Context, h store.Handle, project, env string) (*Release, error) {
	got, err := releases(ctx, h, `project = ? AND environment = ? AND result = 'deployed' AND removed = 0 ORDER BY number DESC LIMIT 1`, project, env)
	if err != nil || len(got) == 0 {
		return nil, err
	}
	got[0].Pods, err = pods(ctx, h, got[0])
	return &got[0], err
}

// Releases returns the releases of an environment, newest first, at most limit (100
// when 0), without their pods.
func (s *Service) Releases(ctx context.Context, a identity.Actor, project, env string, limit int) ([]Release, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	if limit <= 0 || limit > 1000 {
		limit = 100
	}
	return releases(ctx, s.DB, `project = ? AND environment = ? ORDER BY number DESC LIMIT ?`, project, env, limit)
}

// Release returns one release with its pods, those that are gone too.
func (s *Service) Release(ctx context.Context, a identity.Actor, project, env string, number int64) (Release, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Release{}, err
	}
	got, err := releases(ctx, s.DB, `project = ? AND environment = ? AND number = ?`, project, env, number)
	if err != nil {
		return Release{}, err
	}
	if len(got) == 0 {
		return Release{}, fault.New(fault.NotFound, "There is no release %s/%s/%d.", project, env, number).
			WithNext("list them with `towpath env show %s --project %s`", env, project)
	}
	got[0].Pods, err = pods(ctx, s.DB, got[0])
	return got[0], err
}

func releases(ctx context.Context, h store.Handle, where string, args ...any) ([]Release, error) {
	rows, err := h.Query(ctx, `SELECT project, environment, number, name, chart, revision, run, commit_sha, actor, requester, images, hosts,
		result, why, started, finished, (SELECT namespace FROM environment e WHERE e.project = release.project AND e.name = release.environment)
		FROM release WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading releases: %w", err)
	}
	defer rows.Close()
	var out []Release
	for rows.Next() {
		var r Release
		var images, hosts string
		var started, finished int64
		if err := rows.Scan(&r.Project, &r.Environment, &r.Number, &r.Name, &r.Chart, &r.Revision, &r.Run, &r.Commit, &r.Actor, &r.Requester,
			&images, &hosts, &r.Result, &r.Why, &started, &finished, &r.Namespace); err != nil {
			return nil, fmt.Errorf("reading a release: %w", err)
		}
		_, r.Namespace = placed(r.Namespace)
		if err := errors.Join(json.Unmarshal([]byte(images), &r.Images), json.Unmarshal([]byte(hosts), &r.Hosts)); err != nil {
			return nil, fmt.Errorf("decoding release %s: %w", r.ID(), err)
		}
		r.Started = time.UnixMilli(started).UTC()
		if finished != 0 {
			r.Finished = time.UnixMilli(finished).UTC()
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func pods(ctx context.Context, h store.Handle, r Release) ([]Pod, error) {
	rows, err := h.Query(ctx, `SELECT uid, name, images, ready, gone, restarts, why, since FROM release_pod
		WHERE project = ? AND environment = ? AND number = ? ORDER BY gone, name`, r.Project, r.Environment, r.Number)
	if err != nil {
		return nil, fmt.Errorf("reading pods of %s: %w", r.ID(), err)
	}
	defer rows.Close()
	var out []Pod
	for rows.Next() {
		var p Pod
		var images string
		var since int64
		if err := rows.Scan(&p.UID, &p.Name, &images, &p.Ready, &p.Gone, &p.Restarts, &p.Why, &since); err != nil {
			return nil, fmt.Errorf("reading a pod: %w", err)
		}
		if err := json.Unmarshal([]byte(images), &p.Images); err != nil {
			return nil, fmt.Errorf("decoding pod %s: %w", p.UID, err)
		}
		p.Since = time.UnixMilli(since).UTC()
		out = append(out, p)
	}
	return out, rows.Err()
}

// begin numbers and records a release that is about to touch the cluster.
func (s *Service) begin(ctx context.Context, r *Release) error {
	r.Started, r.Result = s.Clock.Now(), Started
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE environment SET releases = releases + 1 WHERE project = ? AND name = ?`, r.Project, r.Environment); err != nil {
			return fmt.Errorf("numbering the release: %w", err)
		}
		if err := tx.QueryRow(ctx, `SELECT releases FROM environment WHERE project = ? AND name = ?`, r.Project, r.Environment).Scan(&r.Number); err != nil {
			return fmt.Errorf("numbering the release: %w", err)
		}
		_, err := tx.Exec(ctx, `INSERT INTO release (project, environment, number, name, chart, revision, run, commit_sha, actor, requester, images,
			hosts, result, why, started, finished) VALUES (?,?,?,?,?,0,?,?,?,?,'[]','[]',?,'',?,0)`, r.Project, r.Environment, r.Number, r.Name,
			r.Chart, r.Run, r.Commit, r.Actor, r.Requester, r.Result, r.Started.UnixMilli())
		if err != nil {
			return fmt.Errorf("recording release %s: %w", r.ID(), err)
		}
		return s.Log.Append(ctx, tx, s.fact(*r, event.TypeReleaseStarted))
	})
}

// finish records how a release ended, with its pods.
func (s *Service) finish(ctx context.Context, r *Release) error {
	return s.finishWith(ctx, r, func(*store.Tx) error { return nil })
}

// finishWith is finish with something else that is recorded in the same moment.
func (s *Service) finishWith(ctx context.Context, r *Release, also func(*store.Tx) error) error {
	r.Finished = s.Clock.Now()
	images, err := json.Marshal(nonNil(r.Images))
	if err != nil {
		return err
	}
	hosts, err := json.Marshal(nonNil(r.Hosts))
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE release SET revision = ?, images = ?, hosts = ?, result = ?, why = ?, finished = ?
			WHERE project = ? AND environment = ? AND number = ?`, r.Revision, string(images), string(hosts), r.Result, r.Why,
			r.Finished.UnixMilli(), r.Project, r.Environment, r.Number)
		if err != nil {
			return fmt.Errorf("recording the end of release %s: %w", r.ID(), err)
		}
		facts := []event.Fact{s.fact(*r, event.TypeReleaseFinished)}
		for _, p := range r.Pods {
			if err := putPod(ctx, tx, *r, p); err != nil {
				return err
			}
			facts = append(facts, podFact(*r, p))
		}
		if err := also(tx); err != nil {
			return err
		}
		return s.Log.Append(ctx, tx, facts...)
	})
}

func (s *Service) fact(r Release, typ string) event.Fact {
	payload := event.Release{
		V: 1, Release: r.ID(), Environment: r.Environment, Namespace: r.Namespace, Name: r.Name, Chart: r.Chart, Revision: r.Revision,
		Run: r.Run, Commit: r.Commit, Images: nonNil(r.Images), Why: r.Why, Hosts: r.Hosts,
	}
	var links []event.Link
	if r.Run != 0 {
		links = append(links, event.Link{Rel: event.RelReleasedBy, To: event.OfRun(r.Run)})
	}
	if typ == event.TypeReleaseFinished {
		payload.Result, payload.Seconds = r.Result, r.Finished.Sub(r.Started).Seconds()
		for _, d := range digests(r.Images) {
			links = append(links, event.Link{Rel: event.RelDeploys, To: event.Of(event.KindImage, d)})
		}
	}
	for _, p := range r.Pods {
		payload.Pods = append(payload.Pods, event.Pod{UID: p.UID, Name: p.Name, Images: p.Images, Ready: p.Ready})
	}
	return event.Fact{Type: typ, Subject: r.Subject(), Project: r.Project, Actor: r.Actor, Payload: payload, Links: links}
}

func podFact(r Release, p Pod) event.Fact {
	links := []event.Link{{Rel: event.RelPartOf, To: r.Subject()}}
	for _, d := range p.Images {
		links = append(links, event.Link{Rel: event.RelRunsIn, To: event.Of(event.KindImage, d)})
	}
	return event.Fact{
		Type: event.TypePodChanged, Subject: event.Of(event.KindPod, p.UID), Project: r.Project, Actor: "system:deploy",
		Payload: event.PodChanged{
			V: 1, Release: r.ID(), Namespace: r.Namespace, Name: p.Name, UID: p.UID, Ready: p.Ready, Gone: p.Gone, Restarts: p.Restarts, Why: p.Why,
		},
		Links: links,
	}
}

func putPod(ctx context.Context, tx *store.Tx, r Release, p Pod) error {
	images, err := json.Marshal(nonNil(p.Images))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO release_pod (uid, project, environment, number, namespace, name, images, ready, gone, restarts, why, since)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (uid) DO UPDATE SET number = excluded.number, images = excluded.images, ready = excluded.ready,
		gone = excluded.gone, restarts = excluded.restarts, why = excluded.why, since = excluded.since`, p.UID, r.Project, r.Environment,
		r.Number, r.Namespace, p.Name, string(images), flag(p.Ready), flag(p.Gone), p.Restarts, p.Why, p.Since.UnixMilli())
	if err != nil {
		return fmt.Errorf("recording pod %s: %w", p.Name, err)
	}
	return nil
}

// digests returns the digest part of each image that has one, without repeats.
func digests(images []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, i := range images {
		if _, d, ok := strings.Cut(i, "@"); ok && !seen[d] {
			seen[d] = true
			out = append(out, d)
		}
	}
	return out
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func nonNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

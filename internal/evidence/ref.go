package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Kinds of rows in evidence_name.
const (
	nameTag = "tag" // "shop/web:1.4" → image
	namePod = "pod" // "web-7d4c9-x2" → pod
)

var (
	hexPrefix   = regexp.MustCompile(`^[0-9a-f]{4,40}$`)
	digestStart = regexp.MustCompile(`^sha256:[0-9a-f]{4,64}$`)
	pullID      = regexp.MustCompile(`^[a-z0-9-]{1,63}/[^/\s]{1,100}/[0-9]{1,18}$`)
	decisionID  = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{26}$`)
	jobID       = regexp.MustCompile(`^[0-9]{1,18}/[^/\s]{1,300}$`)
	repoID      = regexp.MustCompile(`^[a-z0-9-]{1,63}/[^/\s]{1,100}$`)
	simpleName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$`)
	releaseID   = regexp.MustCompile(`^[a-z0-9-]{1,63}/[^/\s]{1,100}/[0-9]{1,18}$`)
)

// maxRef bounds a reference, in bytes.
const maxRef = 512

// forms is what a person can write.
const forms = "write commit/SHA, pull/PROJECT/REPOSITORY/N, image/DIGEST, image/REPOSITORY:TAG, run/N, job/N/STAGE.JOB, decision/ID, " +
	"release/PROJECT/ENVIRONMENT/N, pod/NAME, alert/ID, item/N, session/ID, sbom/DIGEST, scan/ID, signature/DIGEST, provenance/DIGEST, " +
	"repo/PROJECT/REPOSITORY, project/NAME or user/NAME"

func badRef(ref string) error {
	if len(ref) > 80 {
		ref = ref[:80] + "…"
	}
	return fault.New(fault.Invalid, "%q names nothing that can be traced.", ref).WithNext(forms)
}

func nothing(ref string) error {
	return fault.New(fault.NotFound, "There is no %s that you may see.", ref).WithNext("check the name: " + forms)
}

// found is a subject and the project in which the actor may see it.
type found struct {
	subject event.Subject
	project string
}

// resolve turns a reference into a subject that the actor may read.
func (s *Service) resolve(ctx context.Context, a identity.Actor, ref string) (found, error) {
	if len(ref) > maxRef || !plain(ref) {
		return found{}, badRef(ref)
	}
	candidates, err := s.candidates(ctx, ref)
	if err != nil {
		return found{}, err
	}
	var seen []found
	for _, c := range candidates {
		if c.Kind() == event.KindUser {
			// What is said of a user belongs to no project: to themselves, and to those who
			// administer the installation.
			if ok, err := s.mayKnow(ctx, a, c); err != nil {
				return found{}, err
			} else if ok {
				seen = append(seen, found{c, ""})
			}
			continue
		}
		projects, err := s.projectsOf(ctx, c)
		if err != nil {
			return found{}, err
		}
		for _, p := range projects {
			err := s.authz.Require(ctx, a, p, identity.Read)
			switch {
			case err == nil:
				seen = append(seen, found{c, p})
			case fault.Is(err, fault.Unauthentic), fault.Is(err, fault.Internal):
				return found{}, err
			}
		}
	}
	for _, f := range seen[min(1, len(seen)):] {
		if f.subject != seen[0].subject {
			return found{}, fault.New(fault.Invalid, "%q is the beginning of several: %s, %s.", ref, seen[0].subject.ID(), f.subject.ID()).
				WithNext("write more of it")
		}
	}
	if len(seen) == 0 {
		// Nobody is told to sign in whether or not the thing exists.
		if !a.Known() {
			return found{}, fault.New(fault.Unauthentic, "You are not signed in.").WithNext("sign in, or pass a token")
		}
		return found{}, nothing(ref)
	}
	return seen[0], nil
}

// mayKnow reports whether the actor may read what is said of a user, and something is.
func (s *Service) mayKnow(ctx context.Context, a identity.Actor, user event.Subject) (bool, error) {
	self := a.Kind == identity.KindUser && a.Name == user.ID() && a.Cap >= identity.Read
	if !self && (!a.Admin || a.Cap < identity.Admin) {
		return false, nil
	}
	events, err := s.events.Read(ctx, event.Query{Subject: user, Limit: 1})
	return len(events) > 0, err
}

// candidates lists the subjects that a reference may mean, unauthorised.
func (s *Service) candidates(ctx context.Context, ref string) ([]event.Subject, error) {
	kind, id, ok := strings.Cut(ref, "/")
	if !ok || id == "" {
		return nil, badRef(ref)
	}
	if shape, ok := shapes(kind); ok {
		if !shape.MatchString(id) {
			return nil, badRef(ref)
		}
		return []event.Subject{event.Of(kind, id)}, nil
	}
	switch kind {
	case event.KindCommit:
		id = strings.ToLower(id)
		if !hexPrefix.MatchString(id) {
			return nil, badRef(ref)
		}
		return s.events.Subjects(ctx, string(event.Of(kind, id)), 20)
	case event.KindImage:
		return s.images(ctx, id)
	case event.KindSBOM, event.KindSignature, event.KindProvenance:
		if !strings.HasPrefix(id, "sha256:") {
			id = "sha256:" + id
		}
		if !digestStart.MatchString(id) {
			return nil, badRef(ref)
		}
		return s.events.Subjects(ctx, string(event.Of(kind, id)), 20)
	case event.KindRun, event.KindItem:
		n, err := strconv.ParseInt(strings.TrimPrefix(id, "#"), 10, 64)
		if err != nil || n < 1 {
			return nil, badRef(ref)
		}
		return []event.Subject{event.Of(kind, strconv.FormatInt(n, 10))}, nil
	case event.KindDecision, event.KindAlert, event.KindSession, event.KindScan:
		if !decisionID.MatchString(strings.ToUpper(id)) {
			return nil, badRef(ref)
		}
		// Identifiers are upper case; what somebody else made may not be.
		return []event.Subject{event.Of(kind, strings.ToUpper(id)), event.Of(kind, id)}, nil
	case event.KindPod:
		if _, name, ok := strings.Cut(id, "/"); ok { // NAMESPACE/NAME
			id = name
		}
		named, err := s.named(ctx, namePod, id)
		return append(named, event.Of(kind, id)), err
	}
	return nil, badRef(ref)
}

// shapes are the kinds whose references are the ids of the logbook as they are.
func shapes(kind string) (*regexp.Regexp, bool) {
	shape, ok := map[string]*regexp.Regexp{
		event.KindPull: pullID, event.KindRelease: releaseID, event.KindJob: jobID, event.KindRepo: repoID, event.KindProject: simpleName, event.KindUser: simpleName,
	}[kind]
	return shape, ok
}

// images resolves DIGEST, REPOSITORY@DIGEST and REPOSITORY:TAG, with or without the
// registry's host in front.
func (s *Service) images(ctx context.Context, id string) ([]event.Subject, error) {
	if _, digest, ok := strings.Cut(id, "@"); ok {
		id = digest
	}
	if digestStart.MatchString(id) {
		return s.events.Subjects(ctx, string(event.Of(event.KindImage, id)), 20)
	}
	if hexPrefix.MatchString(id) {
		return s.events.Subjects(ctx, string(event.Of(event.KindImage, "sha256:"+id)), 20)
	}
	if host, rest, ok := strings.Cut(id, "/"); ok && strings.ContainsAny(host, ".:") || host == "localhost" {
		id = rest
	}
	repository, tag, ok := strings.Cut(id, ":")
	if !ok {
		tag = "latest"
	}
	return s.named(ctx, nameTag, repository+":"+tag)
}

// named looks a name up; the same name may stand in several projects.
func (s *Service) named(ctx context.Context, kind, name string) ([]event.Subject, error) {
	rows, err := s.db.Query(ctx, `SELECT subject FROM evidence_name WHERE kind = ? AND name = ? ORDER BY project LIMIT 20`, kind, name)
	if err != nil {
		return nil, fmt.Errorf("looking up %s %s: %w", kind, name, err)
	}
	defer rows.Close()
	var out []event.Subject
	for rows.Next() {
		var subject string
		if err := rows.Scan(&subject); err != nil {
			return nil, fmt.Errorf("looking up %s %s: %w", kind, name, err)
		}
		out = append(out, event.Subject(subject))
	}
	return out, rows.Err()
}

// projectsOf lists the projects in which something was said about a subject.
func (s *Service) projectsOf(ctx context.Context, subject event.Subject) ([]string, error) {
	events, err := s.about(ctx, subject)
	if err != nil {
		return nil, err
	}
	var out []string
	have := map[string]bool{"": true}
	for _, e := range events {
		if !have[e.Project] {
			have[e.Project] = true
			out = append(out, e.Project)
		}
	}
	return out, nil
}

// perSubject bounds how many events of one subject a station is made of: the oldest (what
// brought it about) and the newest ones.
const perSubject = 300

// about reads the events of a subject, oldest first; of a long history the middle is left
// out.
func (s *Service) about(ctx context.Context, subject event.Subject) ([]event.Event, error) {
	first, err := s.events.Read(ctx, event.Query{Subject: subject, Limit: perSubject})
	if err != nil || len(first) < perSubject {
		return first, err
	}
	last, err := s.events.Read(ctx, event.Query{Subject: subject, Limit: perSubject, Newest: true})
	if err != nil {
		return nil, err
	}
	for i := len(last) - 1; i >= 0; i-- {
		if last[i].Seq > first[len(first)-1].Seq {
			first = append(first, last[i])
		}
	}
	return first, nil
}

// plain reports whether foreign text is such that both database engines take it.
func plain(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// missing reports whether err says that a row is not there.
func missing(err error) bool { return errors.Is(err, sql.ErrNoRows) }

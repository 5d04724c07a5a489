package protect

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/store"
)

// maxListed is the longest list that a method returns.
const maxListed = 200

// Blocked returns the findings of a repository, the last refused first, at most 200,
// those with a bypass too. The actor needs identity.Read.
func (s *Service) Blocked(ctx context.Context, a identity.Actor, repo string) ([]Finding, error) {
	if err := s.require(ctx, a, repo, identity.Read); err != nil {
		return nil, err
	}
	found, err := s.readFindings(ctx, findings+`WHERE f.repo = ? ORDER BY f.last_seen DESC, f.id DESC LIMIT ?`, repo, maxListed)
	if err != nil {
		return nil, err
	}
	held, err := s.readBypasses(ctx, s.parts.DB, bypasses+`WHERE f.repo = ? AND b.revoked = 0 AND b.expires > ?`, repo, s.parts.Clock.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	for i := range found {
		for j := range held {
			if held[j].Finding == found[i].ID {
				found[i].Bypass = &held[j]
			}
		}
	}
	return found, nil
}

// Show returns one finding. The actor needs identity.Read in its project.
func (s *Service) Show(ctx context.Context, a identity.Actor, id string) (Finding, error) {
	f, err := s.finding(ctx, a, id, identity.Read)
	if err != nil {
		return Finding{}, err
	}
	held, err := s.readBypasses(ctx, s.parts.DB, bypasses+`WHERE f.id = ? AND b.revoked = 0 AND b.expires > ?`, id, s.parts.Clock.Now().UnixMilli())
	if err == nil && len(held) > 0 {
		f.Bypass = &held[0]
	}
	return f, err
}

// Bypass lets a finding through until the bypass expires, and audits that. The actor
// must be a user with identity.Write in the project; a second bypass of the same finding
// replaces the first.
func (s *Service) Bypass(ctx context.Context, a identity.Actor, id string, b Bypass) (Granted, error) {
	f, err := s.finding(ctx, a, id, identity.Write)
	if err != nil {
		return Granted{}, err
	}
	if a.Kind != identity.KindUser {
		return Granted{}, fault.New(fault.Denied, "Only a person lets a secret through; %s is none.", a)
	}
	if err := b.check(); err != nil {
		return Granted{}, err
	}
	if b.For == 0 {
		b.For = DefaultFor
	}
	now := s.parts.Clock.Now().Truncate(time.Millisecond)
	g := Granted{
		ID: s.parts.Clock.NewID(), Finding: f.ID, Repo: f.Repo, Rule: f.Rule, Fingerprint: f.Fingerprint, Redacted: f.Redacted,
		Reason: b.Reason, Comment: b.Comment, Actor: a.String(), Made: now, Expires: now.Add(b.For).Truncate(time.Millisecond),
	}
	err = s.parts.DB.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE source_secret_bypass SET revoked = ?, revoked_by = ? WHERE finding = ? AND revoked = 0 AND expires > ?`,
			now.UnixMilli(), g.Actor, f.ID, now.UnixMilli())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO source_secret_bypass (id, finding, reason, comment, actor, made, expires, revoked, revoked_by)
			VALUES (?,?,?,?,?,?,?,0,'')`, g.ID, g.Finding, g.Reason, g.Comment, g.Actor, now.UnixMilli(), g.Expires.UnixMilli())
		if err != nil {
			return err
		}
		return s.say(ctx, tx, a, g, g.Expires)
	})
	if err != nil {
		return Granted{}, fmt.Errorf("recording a bypass: %w", err)
	}
	return g, nil
}

// check validates what somebody asks for.
func (b Bypass) check() error {
	most := MaxFor
	switch b.Reason {
	case FalsePositive:
		most = MaxForFalsePositive
	case TestValue, FixLater:
	default:
		return fault.New(fault.Invalid, "%.40q is no reason for a bypass.", b.Reason).WithNext("use %s, %s or %s", TestValue, FalsePositive, FixLater)
	}
	if b.For < 0 || b.For > most {
		return fault.New(fault.Invalid, "A bypass for the reason %s may hold up to %d days.", b.Reason, int(most.Hours()/24))
	}
	if len(b.Comment) > MaxComment || !utf8.ValidString(b.Comment) || strings.ContainsRune(b.Comment, 0) {
		return fault.New(fault.Invalid, "The comment of a bypass is text of at most %d bytes.", MaxComment)
	}
	return nil
}

// Bypasses returns the bypasses of a repository, the newest first, at most 200, ended
// ones too. The actor needs identity.Read.
func (s *Service) Bypasses(ctx context.Context, a identity.Actor, repo string) ([]Granted, error) {
	if err := s.require(ctx, a, repo, identity.Read); err != nil {
		return nil, err
	}
	return s.readBypasses(ctx, s.parts.DB, bypasses+`WHERE f.repo = ? ORDER BY b.made DESC, b.id DESC LIMIT ?`, repo, maxListed)
}

// Revoke ends a bypass now, and audits that. The actor needs identity.Write. It is
// fault.Conflict when the bypass has ended already.
func (s *Service) Revoke(ctx context.Context, a identity.Actor, id string) error {
	found, err := s.readBypasses(ctx, s.parts.DB, bypasses+`WHERE b.id = ?`, id)
	if err != nil {
		return err
	}
	if len(found) == 0 || s.require(ctx, a, found[0].Repo, identity.Read) != nil {
		return fault.New(fault.NotFound, "There is no bypass %.40q.", id)
	}
	g := found[0]
	if err := s.require(ctx, a, g.Repo, identity.Write); err != nil {
		return err
	}
	now := s.parts.Clock.Now().Truncate(time.Millisecond)
	return s.parts.DB.Tx(ctx, func(tx *store.Tx) error {
		done, err := tx.Exec(ctx, `UPDATE source_secret_bypass SET revoked = ?, revoked_by = ? WHERE id = ? AND revoked = 0 AND expires > ?`,
			now.UnixMilli(), a.String(), id, now.UnixMilli())
		if err != nil {
			return fmt.Errorf("revoking a bypass: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return fault.New(fault.Conflict, "The bypass %s has ended already.", id)
		}
		return s.say(ctx, tx, a, g, now)
	})
}

// say notes in the logbook until when a secret may pass.
func (s *Service) say(ctx context.Context, tx *store.Tx, a identity.Actor, g Granted, until time.Time) error {
	project, _, _ := strings.Cut(g.Repo, "/")
	return s.parts.Log.Append(ctx, tx, event.Fact{
		Type: event.TypeSecretBypassed, Subject: event.Of(event.KindRepo, g.Repo), Project: project, Actor: a.String(),
		Payload: event.SecretBypassed{
			V: 1, Repo: g.Repo, Rule: g.Rule, Fingerprint: g.Fingerprint, Reason: g.Reason, Comment: g.Comment, Expires: until,
			Revoked: until.Before(g.Expires),
		},
	})
}

// finding loads a finding for an actor who has the role in its project. Whoever may not
// even read there does not learn that it exists.
func (s *Service) finding(ctx context.Context, a identity.Actor, id string, r identity.Role) (Finding, error) {
	if !a.Known() {
		return Finding{}, fault.New(fault.Unauthentic, "You are not signed in.").WithNext("sign in, or pass a token")
	}
	found, err := s.readFindings(ctx, findings+`WHERE f.id = ?`, id)
	if err != nil {
		return Finding{}, err
	}
	if len(found) > 0 {
		err = s.require(ctx, a, found[0].Repo, identity.Read)
	}
	if len(found) == 0 || fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		return Finding{}, fault.New(fault.NotFound, "There is no finding %.40q.", id).
			WithNext("the refusal of the push names it; findings are listed on the page of the repository")
	}
	if err == nil {
		err = s.require(ctx, a, found[0].Repo, r)
	}
	return found[0], err
}

// require asks whether the actor has a role in the repository's project.
func (s *Service) require(ctx context.Context, a identity.Actor, repo string, r identity.Role) error {
	project, _, err := source.SplitName(repo)
	if err != nil {
		return err
	}
	return s.parts.Auth.Require(ctx, a, project, r)
}

package source

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/store"
)

// Limits of what is said about one refused push.
const (
	maxShown   = 20 // refusals, to the pusher and in the logbook
	maxRefused = 50 // refs in the logbook
)

// refusePush decides about what pre-receive hands over and returns what the pusher reads,
// "" when nothing is refused.
func (s *Service) refusePush(ctx context.Context, p *push, req hook.Request) (string, error) {
	judged, err := s.quarantine(p.repo, req)
	if err != nil {
		return "", err
	}
	judged.Moves, judged.Options = req.Moves, req.Options
	refusals, err := s.refuse(ctx, p, judged)
	if err != nil || len(refusals) == 0 {
		return "", err
	}
	return "Towpath refused this push:\n" + words(refusals) + "\nNothing was changed.\n", nil
}

// refuse judges the whole push: the rules of this package by each ref, then every guard.
// What is refused is noted in the logbook.
func (s *Service) refuse(ctx context.Context, p *push, judged Push) ([]Refusal, error) {
	judged.Repo, judged.Actor, judged.Door, judged.Pull, judged.Dir = p.repo, p.actor, p.door, p.pull, s.dir(p.repo)
	refusals, err := s.refuseForm(judged.Moves)
	if err != nil {
		return nil, err
	}
	if len(refusals) == 0 { // Guards see well-formed moves only.
		if refusals, err = s.objections(ctx, judged); err != nil {
			return nil, err
		}
	}
	if len(refusals) > 0 {
		if err := s.noteRefused(ctx, judged, refusals); err != nil {
			return nil, err
		}
	}
	return refusals, nil
}

// objections collects what the own rules and the guards have against a push of well-formed moves.
func (s *Service) objections(ctx context.Context, judged Push) ([]Refusal, error) {
	var refusals []Refusal
	for _, m := range judged.Moves {
		rule, reason, err := s.refuseDefault(ctx, judged, m)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			refusals = append(refusals, ownRefusal(rule, m.Ref, reason))
		}
	}
	s.mu.Lock()
	guards := s.guards
	s.mu.Unlock()
	for _, g := range guards {
		more, err := g.Check(ctx, judged)
		if err != nil {
			return nil, fmt.Errorf("asking the guard %T: %w", g, err)
		}
		refusals = append(refusals, more...)
	}
	return refusals, nil
}

func ownRefusal(rule, ref, reason string) Refusal {
	return Refusal{Refusal: event.Refusal{Guard: "refs", Rule: rule, Ref: clip(ref)}, Text: clip(ref) + ": " + reason}
}

// words joins the texts of refusals, at most maxShown of them.
func words(refusals []Refusal) string {
	var b strings.Builder
	for i, r := range refusals {
		if i == maxShown {
			fmt.Fprintf(&b, "\nand %s", plural(len(refusals)-maxShown, "more refusal"))
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(r.Text)
	}
	return b.String()
}

// noteRefused says in the logbook that a push was refused, and why.
func (s *Service) noteRefused(ctx context.Context, judged Push, refusals []Refusal) error {
	payload := event.PushRefused{V: 1, Repo: judged.Repo.FullName()}
	for _, m := range judged.Moves[:min(len(judged.Moves), maxRefused)] {
		payload.Refs = append(payload.Refs, clip(m.Ref))
	}
	for _, r := range refusals[:min(len(refusals), maxShown)] {
		payload.Refusals = append(payload.Refusals, r.Refusal)
	}
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		return s.log.Append(ctx, tx, event.Fact{
			Type: event.TypePushRefused, Subject: event.Of(event.KindRepo, judged.Repo.FullName()), Project: judged.Repo.Project,
			Actor: judged.Actor.String(), Payload: payload,
		})
	})
	if err != nil {
		return fmt.Errorf("noting a refused push: %w", err)
	}
	return nil
}

// refuseForm refuses refs that are nobody's to move, or whose names are dangerous.
func (s *Service) refuseForm(moves []hook.Move) ([]Refusal, error) {
	var refusals []Refusal
	for _, m := range moves {
		if !git.IsHash(m.Old) || !git.IsHash(m.New) {
			return nil, fmt.Errorf("git handed over %q and %q as hashes", clip(m.Old), clip(m.New))
		}
		if rule, reason := badRef(m); reason != "" {
			refusals = append(refusals, ownRefusal(rule, m.Ref, reason))
		}
	}
	return refusals, nil
}

func badRef(m hook.Move) (rule, reason string) {
	branch, isBranch := strings.CutPrefix(m.Ref, "refs/heads/")
	short, isTag := strings.CutPrefix(branch, "refs/tags/")
	switch {
	case platform(m.Ref):
		return "platform-ref", "Towpath keeps this ref itself; it can be fetched and not pushed."
	case !isBranch && !isTag && !strings.HasPrefix(m.Ref, "refs/notes/"):
		return "ref-folder", "only branches (refs/heads/), tags (refs/tags/) and notes (refs/notes/) can be pushed."
	case m.New == git.Zero:
		return "", ""
	}
	if why := git.CheckRef(m.Ref); why != "" {
		return "ref-name", "the name " + why + "."
	}
	if git.IsHash(short) || short == "HEAD" {
		return "ref-name", "the name would be taken for a commit."
	}
	return "", ""
}

// refuseDefault keeps the default branch where it is, and its history: nobody deletes it,
// and only a maintainer drops commits from it.
func (s *Service) refuseDefault(ctx context.Context, p Push, m hook.Move) (rule, reason string, err error) {
	if m.Ref != "refs/heads/"+p.Repo.DefaultBranch || m.Old == git.Zero {
		return "", "", nil
	}
	rule = "default-branch"
	if m.New == git.Zero {
		return rule, "it is the default branch and cannot be deleted.", nil
	}
	forward, err := s.git.IsAncestor(ctx, p.Dir, p.Env, m.Old, m.New)
	if err != nil || forward {
		return "", "", err
	}
	err = s.auth.Require(ctx, p.Actor, p.Repo.Project, identity.Maintain)
	switch fault.KindOf(err) {
	case "":
		return "", "", nil
	case fault.Denied, fault.NotFound, fault.Unauthentic:
		return rule, "it is the default branch: only a maintainer may drop commits from it. Merge or rebase onto it and push without --force.", nil
	}
	return "", "", err
}

// quarantine fills in the variables with which git sees the objects of the push. The
// folders must lie in the repository, whoever asks.
func (s *Service) quarantine(r Repo, req hook.Request) (Push, error) {
	if req.Objects == "" {
		return Push{}, nil // A push that only deletes brings no objects.
	}
	dir := s.dir(r)
	objects := filepath.Join(dir, "objects")
	inside := func(path string) (string, error) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		path = filepath.Clean(path)
		if path != objects && !strings.HasPrefix(path, objects+string(filepath.Separator)) {
			return "", fmt.Errorf("the quarantine %q lies outside of the repository", clip(path))
		}
		return path, nil
	}
	at, err := inside(req.Objects)
	if err != nil {
		return Push{}, err
	}
	alternate, err := inside(req.Alternates)
	if err != nil {
		return Push{}, err
	}
	return Push{Objects: at, Env: quarantined(at, alternate)}, nil
}

// quarantined returns the variables with which git writes objects to one folder and reads
// them from both.
func quarantined(objects, alternate string) []string {
	return []string{"GIT_OBJECT_DIRECTORY=" + objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES=" + alternate}
}

package protect

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/secret"
)

// Guard is the name under which refusals stand in the logbook.
const Guard = "secrets"

// Rules of refusals that are not about a secret.
const (
	RuleTimeout = "scan-timeout"
	RuleFailed  = "scan-failed"
)

// leak is a secret of a push that blocks it.
type leak struct {
	id          string // of the finding as stored
	fingerprint string
	rule, title string
	redacted    string
	blob        string
	place
	line int
	ref  string
}

// Check scans what the push brings and returns one refusal for each secret, at most
// five; the last one says how to go on. A push that cannot be scanned is refused, unless
// Options.FailOpen. See source.Guard.
func (s *Service) Check(ctx context.Context, p source.Push) ([]source.Refusal, error) {
	if p.Objects == "" {
		return nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, s.opts.Limit)
	defer cancel()
	leaks, err := s.leaks(limited, p)
	if err == nil && len(leaks) > 0 {
		err = s.record(limited, p, leaks)
	}
	switch {
	case err == nil:
		return s.refusals(p, leaks), nil
	case ctx.Err() != nil: // The pusher has gone, or the server stops.
		return nil, ctx.Err()
	}
	s.opts.Logger.Error("a push could not be scanned for secrets", "repo", p.Repo.FullName(), "let_through", s.opts.FailOpen && len(leaks) == 0, "error", err)
	if s.opts.FailOpen && len(leaks) == 0 {
		return nil, nil
	}
	return []source.Refusal{s.unscanned(errors.Is(err, context.DeadlineExceeded))}, nil
}

// leaks returns the secrets that block the push, each fingerprint once.
func (s *Service) leaks(ctx context.Context, p source.Push) ([]leak, error) {
	if _, err := os.Stat(p.Objects); err != nil {
		return nil, fmt.Errorf("looking for the objects of a push: %w", err)
	}
	blobs, err := s.newBlobs(ctx, p.Dir, p.Objects)
	if err != nil {
		return nil, err
	}
	if blobs, err = s.scan(ctx, p.Dir, p.Objects, blobs); err != nil || len(blobs) == 0 {
		return nil, err
	}
	if blobs, err = s.unknownOnly(ctx, p, blobs); err != nil || len(blobs) == 0 {
		return nil, err
	}
	tips, err := s.tips(ctx, p)
	if err != nil {
		return nil, err
	}
	at, err := s.places(ctx, p, tips, blobs)
	if err != nil {
		return nil, err
	}
	found, err := s.located(ctx, p, blobs, at)
	if err != nil {
		return nil, err
	}
	if found, err = s.brought(ctx, p, found, at); err != nil || len(found) == 0 {
		return nil, err
	}
	held := map[string]bool{}
	for _, l := range found {
		held[l.blob] = true
	}
	blobs = slices.DeleteFunc(blobs, func(b *blob) bool { return !held[b.hash] })
	if at, err = s.renamed(ctx, p, at, blobs); err != nil {
		return nil, err
	}
	if found, err = s.brought(ctx, p, found, at); err != nil {
		return nil, err
	}
	return s.unsettled(ctx, p, found)
}

// brought drops the secrets that stood in a content which the push replaces.
func (s *Service) brought(ctx context.Context, p source.Push, found []leak, at map[string][]place) ([]leak, error) {
	if len(found) == 0 {
		return nil, nil
	}
	old, err := s.inBases(ctx, p, at)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(l leak) bool { return old[l.fingerprint] }), nil
}

// unknownOnly drops blobs that the repository has already.
func (s *Service) unknownOnly(ctx context.Context, p source.Push, blobs []*blob) ([]*blob, error) {
	var hashes []string
	for _, b := range blobs {
		hashes = append(hashes, b.hash)
	}
	have, err := s.present(ctx, p.Dir, hashes)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(blobs, func(b *blob) bool { return have[b.hash] }), nil
}

// located scans the blobs once more under each of their names, because rules look at
// names, and returns each fingerprint with its first place. A blob that no new commit
// holds (a tag may point at it) keeps what was found without a name.
func (s *Service) located(ctx context.Context, p source.Push, blobs []*blob, at map[string][]place) ([]leak, error) {
	found := make([][]leak, len(blobs))
	index := map[string]int{}
	for i, b := range blobs {
		index[b.hash] = i
	}
	err := s.contents(ctx, p.Dir, p.Env, blobs, func(b *blob, data []byte) {
		i := index[b.hash] // Each worker writes to the place of its blob.
		places := at[b.hash]
		if len(places) == 0 {
			found[i] = s.leaksOf(b, place{}, b.found)
			return
		}
		scanned := map[string]bool{}
		for _, x := range places {
			if !scanned[x.path] {
				scanned[x.path] = true
				found[i] = append(found[i], s.leaksOf(b, x, s.engine.Scan(x.path, data))...)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var out []leak
	seen := map[string]bool{}
	for _, l := range slices.Concat(found...) {
		if !seen[l.fingerprint] {
			seen[l.fingerprint] = true
			l.ref = s.refOf(p)
			out = append(out, l)
		}
	}
	return out, nil
}

// refOf names the ref of a push that moves one; of several it cannot be told cheaply
// which of them brings a commit.
func (s *Service) refOf(p source.Push) string {
	if len(p.Moves) == 1 {
		return p.Moves[0].Ref
	}
	return ""
}

func (s *Service) leaksOf(b *blob, x place, found []secret.Finding) []leak {
	var out []leak
	for _, f := range found {
		out = append(out, leak{
			fingerprint: s.fingerprint(f.Secret), rule: f.Rule, title: f.Title, redacted: f.Redacted,
			blob: b.hash, place: x, line: f.Line,
		})
	}
	return out
}

// fingerprint is the keyed hash by which a secret is known.
func (s *Service) fingerprint(r secret.Raw) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(r.Canonical()))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// inBases returns the fingerprints of the secrets in the contents that the push's
// commits replace, as far as the repository has those contents already: such a secret is
// not brought by the push.
func (s *Service) inBases(ctx context.Context, p source.Push, at map[string][]place) (map[string]bool, error) {
	var hashes []string
	for _, places := range at {
		for _, x := range places {
			if x.base != "" {
				hashes = append(hashes, x.base)
			}
		}
	}
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	have, err := s.present(ctx, p.Dir, hashes)
	if err != nil {
		return nil, err
	}
	var bases []*blob
	for _, h := range hashes {
		if have[h] {
			bases = append(bases, &blob{hash: h})
		}
	}
	old := map[string]bool{}
	if len(bases) == 0 {
		return old, nil
	}
	var mu sync.Mutex
	err = s.contents(ctx, p.Dir, nil, bases, func(b *blob, data []byte) {
		for _, f := range s.engine.Scan("", data) {
			mu.Lock()
			old[s.fingerprint(f.Secret)] = true
			mu.Unlock()
		}
	})
	return old, err
}

// refusals says what was found, for the logbook and for the pusher.
func (s *Service) refusals(p source.Push, leaks []leak) []source.Refusal {
	var out []source.Refusal
	for i, l := range leaks[:min(len(leaks), maxShown)] {
		text := s.about(p, l)
		if i == min(len(leaks), maxShown)-1 {
			text += s.goOn(p, leaks)
		}
		out = append(out, source.Refusal{
			Refusal: event.Refusal{Guard: Guard, Rule: l.rule, Ref: l.ref, Commit: l.commit, Path: clean(l.path), Line: l.line},
			Text:    text,
		})
	}
	return out
}

package source

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/store"
)

// push is one running receive-pack.
type push struct {
	id    string // of its intent
	repo  Repo
	actor identity.Actor
	door  string
	pull  int64 // number of the pull request that is merged, else 0
	made  bool  // the repository was made for this push

	mu      sync.Mutex
	stage   int // how far the hooks are
	release func()
}

// The stages of a push; each hook is answered once.
const (
	pushReceiving = iota
	pushMoving    // the intent is durable and the gate is held: refs may move
	pushSettled
)

// hookTime bounds the server's work for one hook; the hook itself waits longer.
const hookTime = 45 * time.Second

// begin registers a push and returns the variables that let its hooks speak for it.
func (s *Service) begin(q request) (p *push, env []string, done func(), err error) {
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return nil, nil, nil, fmt.Errorf("making the secret of a push: %w", err)
	}
	secret := hex.EncodeToString(raw[:])
	key := sha256.Sum256([]byte(secret))
	p = &push{id: s.clock.NewID(), repo: q.repo, actor: q.actor, door: q.door, made: q.made}
	s.mu.Lock()
	s.pushes[key] = p
	s.mu.Unlock()
	done = func() {
		s.mu.Lock()
		delete(s.pushes, key)
		s.mu.Unlock()
	}
	return p, []string{hook.EnvSocket + "=" + s.socket, hook.EnvSecret + "=" + secret}, done, nil
}

// answer is what the hooks ask. The push is found by the hash of its secret, so that
// the time of the look-up says nothing about the secrets of others.
func (s *Service) answer(req hook.Request) hook.Reply {
	s.mu.Lock()
	p := s.pushes[sha256.Sum256([]byte(req.Secret))]
	s.mu.Unlock()
	if p == nil {
		return hook.Reply{Message: "Towpath knows nothing of this push.\n"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), hookTime)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case req.Hook == hook.PreReceive && p.stage == pushReceiving && p.release == nil:
		return s.preReceive(ctx, p, req)
	case req.Hook == hook.PostReceive && p.stage == pushMoving:
		return s.postReceive(ctx, p, req)
	}
	return hook.Reply{Message: "Towpath did not expect the hook " + clip(req.Hook) + " now.\n"}
}

func (s *Service) preReceive(ctx context.Context, p *push, req hook.Request) hook.Reply {
	release, err := s.enter(ctx, p.repo)
	if err != nil {
		return hook.Reply{Message: "Another push to " + p.repo.FullName() + " is still being finished. Push again in a moment.\n"}
	}
	p.release = release
	why, err := "", s.catchUp(ctx, p)
	if err == nil {
		why, err = s.refusePush(ctx, p, req)
	}
	if err != nil {
		s.opts.Logger.Error("a push could not be checked", "repo", p.repo.FullName(), "error", err)
		return hook.Reply{Message: "Towpath could not check this push. Nothing was changed; push again in a moment.\n"}
	}
	if why != "" {
		return hook.Reply{Message: why}
	}
	if err := s.intend(ctx, p, req.Moves); err != nil {
		s.opts.Logger.Error("a push could not be noted", "repo", p.repo.FullName(), "error", err)
		if store.Full(err) {
			return hook.Reply{Message: "The disk of the server is full, so this push was refused. Nothing was changed.\n"}
		}
		return hook.Reply{Message: "Towpath could not note this push. Nothing was changed; push again in a moment.\n"}
	}
	p.stage = pushMoving
	return hook.Reply{OK: true}
}

// catchUp announces an earlier push whose settling failed, before another moves the same
// refs on and its step can no longer be told.
func (s *Service) catchUp(ctx context.Context, p *push) error {
	var pending int
	if err := s.db.QueryRow(ctx, `SELECT COUNT(*) FROM source_push WHERE repo = ?`, p.repo.id).Scan(&pending); err != nil {
		return fmt.Errorf("looking for unsettled pushes: %w", err)
	}
	if pending == 0 {
		return nil
	}
	repo, _, err := s.settle(ctx, p.repo)
	p.repo = repo
	return err
}

// intend notes durably who is about to move what.
func (s *Service) intend(ctx context.Context, p *push, moves []hook.Move) error {
	text, err := json.Marshal(moves)
	if err != nil {
		return fmt.Errorf("encoding moves: %w", err)
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO source_push (id, repo, actor, begun, moves) VALUES (?,?,?,?,?)`,
			p.id, p.repo.id, p.actor.String(), s.clock.Now().UnixMilli(), string(text))
		return err
	})
}

func (s *Service) postReceive(ctx context.Context, p *push, req hook.Request) hook.Reply {
	repo, facts, err := s.settle(ctx, p.repo)
	if err != nil {
		// The refs have moved, and the intent stays: finish tries again.
		s.opts.Logger.Error("a push could not be settled", "repo", p.repo.FullName(), "error", err)
		return hook.Reply{OK: true, Message: "Your push is stored. Towpath could not announce it yet and will try again.\n"}
	}
	p.repo, p.stage = repo, pushSettled
	return hook.Reply{OK: true, Message: s.greeting(p, req.Moves, facts)}
}

// finish ends a push whatever became of receive-pack: what moved without its
// post-receive hook is settled here.
func (s *Service) finish(p *push) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stage == pushMoving {
		ctx, cancel := context.WithTimeout(context.Background(), hookTime)
		defer cancel()
		if _, _, err := s.settle(ctx, p.repo); err != nil {
			s.opts.Logger.Error("a push waits for the next start to be announced", "repo", p.repo.FullName(), "error", err)
		}
		p.stage = pushSettled
	}
	if p.release != nil {
		p.release()
	}
}

// enter waits until nobody else moves refs of the repository; release ends that.
func (s *Service) enter(ctx context.Context, r Repo) (release func(), err error) {
	s.mu.Lock()
	gate := s.gates[r.id]
	if gate == nil {
		gate = make(chan struct{}, 1)
		s.gates[r.id] = gate
	}
	s.mu.Unlock()
	select {
	case gate <- struct{}{}:
		return sync.OnceFunc(func() { <-gate }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/vault"
)

// DefaultIssuer is the issuer of job tokens when Options.Issuer is empty.
const DefaultIssuer = "https://towpath.local"

// Options are the settings of a Service.
type Options struct {
	// Issuer is the `iss` of job tokens, an https URL; "" means DefaultIssuer.
	Issuer string
	// PublicURL is the address that people use, e.g. "http://localhost:7080". With https
	// the session cookie is marked Secure.
	PublicURL string
}

// Service answers who acts and what they may do. It is safe for concurrent use.
type Service struct {
	db    *store.DB
	log   *event.Log
	vault *vault.Vault
	clock clock.Clock
	opts  Options

	keys      *issuer
	passwords *hasher
	throttle  *throttle
	verified  *cache[verifiedToken] // by hash of the credentials
	checked   *cache[struct{}]      // by keyed hash of user and password
	cacheKey  [32]byte              // keys the hashes in checked; random for each process

	alive  atomic.Pointer[func(ctx context.Context, run int64, stage, job string) bool]
	nodeMu sync.Mutex
	node   string // the node's token, once read
}

// New returns the service whose data lives in db, loading or making the key that signs
// job tokens.
func New(db *store.DB, log *event.Log, v *vault.Vault, c clock.Clock, opts Options) (*Service, error) {
	if opts.Issuer == "" {
		opts.Issuer = DefaultIssuer
	}
	// Start-up work of the process itself: there is no request whose end could cancel it.
	key, err := v.Signer(context.Background(), db, "identity-jwt")
	if err != nil {
		return nil, err
	}
	keys, err := newIssuer(key, opts.Issuer)
	if err != nil {
		return nil, err
	}
	s := &Service{
		db: db, log: log, vault: v, clock: c, opts: opts, keys: keys, passwords: newHasher(), throttle: newThrottle(c),
		verified: newCache[verifiedToken](c), checked: newCache[struct{}](c),
	}
	_, _ = rand.Read(s.cacheKey[:]) // crypto/rand.Read never fails.
	return s, nil
}

// JobAlive sets the question whether a job still runs. Job tokens of a job that does not
// are refused. Without it they live until they expire. It is asked at every use of a job
// token: it must be quick.
func (s *Service) JobAlive(alive func(ctx context.Context, run int64, stage, job string) bool) {
	s.alive.Store(&alive)
}

// secretText is 160 random bits in base 32 without padding and in lower case, after a prefix that
// lets secret scanners find it.
func secretText(prefix string) string {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // crypto/rand.Read never fails.
	return prefix + base32lower.EncodeToString(b)
}

func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// say appends one fact in the caller's transaction.
func (s *Service) say(ctx context.Context, tx *store.Tx, a Actor, kind, project string, subject event.Subject, payload any) error {
	err := s.log.Append(ctx, tx, event.Fact{Type: kind, Subject: subject, Project: project, Actor: a.String(), Payload: payload})
	if err != nil {
		return fmt.Errorf("recording %s: %w", kind, err)
	}
	return nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

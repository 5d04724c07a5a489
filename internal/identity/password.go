package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"

	"towpath.dev/towpath/internal/fault"
)

// The parameters of argon2id: OWASP's second recommendation (19 MiB, t=2, p=1).
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// Bounds on a password, in bytes. The upper one keeps a request from costing more.
const (
	MinPassword = 8
	MaxPassword = 256
)

// hasher computes argon2id with a bound on how many run at once, so that a burst of
// logins costs time and not memory.
type hasher struct {
	slots chan struct{}
	dummy string // the hash of a password that nobody knows, for users who do not exist
}

func newHasher() *hasher {
	h := &hasher{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))}
	salt := make([]byte, argonSalt)
	key := make([]byte, argonKey)
	_, _ = rand.Read(salt) // crypto/rand.Read never fails.
	_, _ = rand.Read(key)
	h.dummy = encodeHash(salt, key)
	return h
}

// hash returns the PHC string of a new password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return "", fault.New(fault.Invalid, "A password must have %d to %d bytes; this one has %d.", MinPassword, MaxPassword, len(password))
	}
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt)
	key, err := h.derive(ctx, password, salt)
	if err != nil {
		return "", err
	}
	return encodeHash(salt, key), nil
}

// verify compares in constant time. An empty stored hash stands for a user who does not
// exist or has no password: it costs the same and is always false.
func (h *hasher) verify(ctx context.Context, stored, password string) (bool, error) {
	real := stored != ""
	if !real {
		stored = h.dummy
	}
	if len(password) > MaxPassword {
		password, real = password[:MaxPassword], false
	}
	salt, want, err := decodeHash(stored)
	if err != nil {
		return false, err
	}
	got, err := h.derive(ctx, password, salt)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && real, nil
}

func (h *hasher) derive(ctx context.Context, password string, salt []byte) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, context.Cause(ctx), "Too many sign-ins at once.").WithNext("try again")
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey), nil
}

func argonHeader() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, argonMemory, argonTime, argonThreads)
}

func encodeHash(salt, key []byte) string {
	b := base64.RawStdEncoding
	return argonHeader() + b.EncodeToString(salt) + "$" + b.EncodeToString(key)
}

func decodeHash(s string) (salt, key []byte, err error) {
	rest, ok := strings.CutPrefix(s, argonHeader())
	salt64, key64, ok2 := strings.Cut(rest, "$")
	if !ok || !ok2 {
		return nil, nil, fault.New(fault.Internal, "a stored password hash has unknown parameters")
	}
	salt, err = base64.RawStdEncoding.DecodeString(salt64)
	if err == nil {
		key, err = base64.RawStdEncoding.DecodeString(key64)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("decoding a password hash: %w", err)
	}
	return salt, key, nil
}

package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"towpath.dev/towpath/internal/fault"
)

// The audiences of job tokens.
const (
	AudienceTowpath = "towpath"         // API, registry, Git
	AudienceCluster = "towpath-cluster" // the Kubernetes API server
)

// MaxJobTTL is the longest life of a job token.
const MaxJobTTL = 24 * time.Hour

// The paths that WellKnown answers.
const (
	configurationPath = "/.well-known/openid-configuration"
	keysPath          = "/.well-known/jwks.json"
)

// issuer signs and verifies job tokens with one ES256 key.
type issuer struct {
	url    string
	signer jose.Signer
	public jose.JSONWebKey
	keys   []byte // the JWKS document
}

// tokenClaims is the body of a job token.
type tokenClaims struct {
	jwt.Claims
	JobClaims
	Groups []string `json:"groups,omitempty"`
}

func newIssuer(key crypto.Signer, url string) (*issuer, error) {
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("preparing job tokens: the key is a %T", key)
	}
	public := jose.JSONWebKey{Key: &private.PublicKey, Algorithm: string(jose.ES256), Use: "sig"}
	print, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("preparing job tokens: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(print)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: public.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("preparing job tokens: %w", err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		return nil, fmt.Errorf("preparing job tokens: %w", err)
	}
	return &issuer{url: url, signer: signer, public: public, keys: keys}, nil
}

// IssueJob signs a token for a job: audience is AudienceTowpath or AudienceCluster,
// groups are the Kubernetes groups that the job has ("towpath:deploy:project:environment"),
// ttl is at most MaxJobTTL.
func (s *Service) IssueJob(_ context.Context, c JobClaims, audience string, groups []string, ttl time.Duration) (string, error) {
	if c.Run < 1 || c.Project == "" || c.Stage == "" || c.Job == "" || audience == "" || ttl <= 0 || ttl > MaxJobTTL {
		return "", fault.New(fault.Internal, "issuing a job token for run %d (%s, %s.%s) towards %q for %s: a claim is missing or out of range",
			c.Run, c.Project, c.Stage, c.Job, audience, ttl)
	}
	now := s.clock.Now()
	token, err := jwt.Signed(s.keys.signer).Claims(tokenClaims{
		Claims: jwt.Claims{
			Issuer: s.keys.url, Subject: "run:" + strconv.FormatInt(c.Run, 10), Audience: jwt.Audience{audience}, ID: s.clock.NewID(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(ttl)),
		},
		JobClaims: c, Groups: groups,
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing a job token: %w", err)
	}
	return token, nil
}

// verify checks signature, algorithm, issuer, audience and time of a job token.
func (i *issuer) verify(token string, now time.Time) (tokenClaims, error) {
	var c tokenClaims
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return c, err
	}
	if len(parsed.Headers) != 1 || parsed.Headers[0].KeyID != i.public.KeyID {
		return c, fmt.Errorf("signed by an unknown key")
	}
	if err := parsed.Claims(i.public.Key, &c); err != nil {
		return c, err
	}
	if c.Expiry == nil || c.Subject != "run:"+strconv.FormatInt(c.Run, 10) || c.Run < 1 {
		return c, fmt.Errorf("lacks an expiry or a run")
	}
	return c, c.ValidateWithLeeway(jwt.Expected{Issuer: i.url, AnyAudience: jwt.Audience{AudienceTowpath}, Time: now}, 0)
}

// audiencePull is that of tokens with which a node pulls one image; nothing else takes them.
const audiencePull = "towpath-pull"

// IssuePull signs a password of the user [KindPull] that pulls a repository of the registry
// ("towpath/agent") and does nothing else. ttl is at most MaxJobTTL.
func (s *Service) IssuePull(repository string, ttl time.Duration) (string, error) {
	if repository == "" || ttl <= 0 || ttl > MaxJobTTL {
		return "", fault.New(fault.Internal, "issuing a token that pulls %q for %s: a claim is missing or out of range", repository, ttl)
	}
	now := s.clock.Now()
	token, err := jwt.Signed(s.keys.signer).Claims(jwt.Claims{
		Issuer: s.keys.url, Subject: KindPull + ":" + repository, Audience: jwt.Audience{audiencePull}, ID: s.clock.NewID(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(ttl)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing a token that pulls %s: %w", repository, err)
	}
	return token, nil
}

// pullToken verifies what IssuePull has signed.
func (s *Service) pullToken(token string) (Actor, error) {
	refused := func(cause error) error {
		return fault.Wrap(fault.Unauthentic, cause, "The token that pulls an image is not valid or has expired.")
	}
	var c jwt.Claims
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return Actor{}, refused(err)
	}
	if len(parsed.Headers) != 1 || parsed.Headers[0].KeyID != s.keys.public.KeyID {
		return Actor{}, refused(nil)
	}
	if err := parsed.Claims(s.keys.public.Key, &c); err != nil {
		return Actor{}, refused(err)
	}
	repository, ok := strings.CutPrefix(c.Subject, KindPull+":")
	if err := c.ValidateWithLeeway(jwt.Expected{Issuer: s.keys.url, AnyAudience: jwt.Audience{audiencePull}, Time: s.clock.Now()}, 0); err != nil || !ok || c.Expiry == nil {
		return Actor{}, refused(err)
	}
	return Actor{Kind: KindPull, Name: repository, Cap: Read, TokenID: c.ID}, nil
}

// looksLikeJWT tells a job token from the other secrets, which have no dots.
func looksLikeJWT(secret string) bool {
	return strings.HasPrefix(secret, "eyJ") && strings.Count(secret, ".") == 2
}

// jobToken verifies a job token; good ones are remembered until they expire.
func (s *Service) jobToken(ctx context.Context, token string) (Actor, error) {
	refused := func(cause error) error {
		return fault.Wrap(fault.Unauthentic, cause, "The job token is not valid or has expired.").WithNext("start the job again")
	}
	now := s.clock.Now()
	hash := hashSecret(token)
	v, ok := s.verified.get(hash)
	if !ok {
		c, err := s.keys.verify(token, now)
		if err != nil {
			return Actor{}, refused(err)
		}
		v = verifiedToken{
			actor:   Actor{Kind: KindRun, Name: strconv.FormatInt(c.Run, 10), Cap: Admin, Job: c.JobClaims, TokenID: c.ID},
			expires: c.Expiry.Time(),
		}
		s.verified.put(hash, v, v.expires)
	}
	if !now.Before(v.expires) {
		return Actor{}, refused(nil)
	}
	if alive := s.alive.Load(); alive != nil && !(*alive)(ctx, v.actor.Job.Run, v.actor.Job.Stage, v.actor.Job.Job) {
		return Actor{}, fault.New(fault.Unauthentic, "The job of this token has ended.")
	}
	return v.actor, nil
}

// WellKnown answers the two documents by which others (the Kubernetes API server) verify
// job tokens: /.well-known/openid-configuration and /.well-known/jwks.json.
func (s *Service) WellKnown() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+configurationPath, func(w http.ResponseWriter, r *http.Request) {
		// The keys are read where the configuration was: Kubernetes insists on https, so
		// on the TLS listener the address is that listener's.
		base := strings.TrimSuffix(s.opts.PublicURL, "/")
		if r.TLS != nil {
			base = "https://" + r.Host
		}
		doc, err := json.Marshal(map[string]any{
			"issuer":                                s.keys.url,
			"jwks_uri":                              base + keysPath,
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
		})
		if err != nil {
			http.Error(w, "encoding the configuration", http.StatusInternalServerError)
			return
		}
		writeJSON(w, doc)
	})
	mux.HandleFunc("GET "+keysPath, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.keys.keys) })
	return mux
}

func writeJSON(w http.ResponseWriter, doc []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(doc) // The client is gone when this fails; there is nobody to tell.
}

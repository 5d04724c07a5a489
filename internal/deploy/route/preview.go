package route

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// PreviewParameter is the parameter of a preview link's query that holds its token, and
// PreviewCookie the cookie into which the router puts it.
const (
	PreviewParameter = "towpath-preview"
	PreviewCookie    = "towpath-preview"
)

const (
	previewKeySize = ed25519.PublicKeySize
	previewMax     = 1024 // bytes of a token
	// previewDomain keeps a signature of a preview from being one of anything else.
	previewDomain = "towpath preview 1\n"
	previewPrefix = "v1."
)

// Preview is what a preview link allows: to enter with the key of a session until Expires.
type Preview struct {
	Session string    `json:"s"`
	Key     string    `json:"k"`
	Expires time.Time `json:"e"` // whole seconds
}

// Sign returns the token of a preview, at most a KiB of characters that need no escape in
// a query or a cookie.
func Sign(private ed25519.PrivateKey, p Preview) (string, error) {
	if len(private) != ed25519.PrivateKeySize {
		return "", errors.New("signing a preview needs an Ed25519 key")
	}
	if p.Session == "" || !ValidKey(p.Key) || p.Expires.IsZero() {
		return "", errors.New("a preview names a session, its key and when it expires")
	}
	p.Expires = p.Expires.UTC().Truncate(time.Second)
	body, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encoding a preview: %w", err)
	}
	signature := ed25519.Sign(private, append([]byte(previewDomain), body...))
	token := previewPrefix + base64.RawURLEncoding.EncodeToString(body) + "." + base64.RawURLEncoding.EncodeToString(signature)
	if len(token) > previewMax {
		return "", fmt.Errorf("the preview's token has %d bytes, of which %d are allowed", len(token), previewMax)
	}
	return token, nil
}

// Verify returns the preview of a token that was signed by the key's other half and has
// not expired at now. The error says why a token does not count, in words for the person
// who opened the link.
func Verify(public ed25519.PublicKey, token string, now time.Time) (Preview, error) {
	if len(public) != previewKeySize {
		return Preview{}, errors.New("this environment has no preview links")
	}
	rest, ok := strings.CutPrefix(token, previewPrefix)
	body64, signature64, dot := strings.Cut(rest, ".")
	if !ok || !dot || len(token) > previewMax {
		return Preview{}, errors.New("the preview link is incomplete")
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(body64)
	if err != nil {
		return Preview{}, errors.New("the preview link is incomplete")
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(signature64)
	if err != nil || !ed25519.Verify(public, append([]byte(previewDomain), body...), signature) {
		return Preview{}, errors.New("the preview link was not signed for this environment, or was changed")
	}
	var p Preview
	if err := json.Unmarshal(body, &p); err != nil {
		return Preview{}, errors.New("the preview link is of another version")
	}
	if !now.Before(p.Expires) {
		return Preview{}, fmt.Errorf("the preview link expired at %s", p.Expires.Format(time.RFC3339))
	}
	return p, nil
}

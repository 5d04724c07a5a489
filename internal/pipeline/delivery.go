package pipeline

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // The service signs so; an HMAC does not need that hashes never collide.
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	hashes "hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/store"
)

// How long a delivery is known by the name that its sender gave it, and how far a signed time
// may lie from ours. A delivery with a signed time is refused before it is forgotten.
const (
	deliveryWindow    = 24 * time.Hour
	deliveryTolerance = 5 * time.Minute
)

// deliveryNames are the headers in which senders name a delivery. They are not signed, so they
// are trusted only to say that a delivery is an old one.
var deliveryNames = []string{"X-GitHub-Delivery", "X-Gitea-Delivery", "X-Gitlab-Event-UUID", "X-Request-UUID", "Webhook-Id"}

// datedSignature is the header of signatures over name, time and body of a delivery (the
// specification is called Standard Webhooks): "v1,BASE64", several with blanks between.
const datedSignature = "Webhook-Signature"

// delivery is how a call to a webhook names and dates itself.
type delivery struct {
	name  string
	dated bool // the name and a time that is now are signed, so that the same body may come again
}

// known reads the delivery of a call whose signature is right. header names the header of the
// signature; now is our time.
func known(h http.Header, header string, secret, payload []byte, now time.Time) (delivery, bool) {
	if !strings.EqualFold(header, datedSignature) {
		d := delivery{}
		for _, name := range deliveryNames {
			if v := h.Get(name); v != "" && len(v) <= 200 {
				d.name = v
				break
			}
		}
		return d, verified(h.Get(header), secret, payload)
	}
	name, stamp := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	off := now.Sub(time.Unix(seconds, 0)).Abs()
	if err != nil || name == "" || len(name) > 200 || off > deliveryTolerance {
		return delivery{}, false
	}
	key := secret
	if text, ok := strings.CutPrefix(string(secret), "whsec_"); ok {
		if key, err = base64.StdEncoding.DecodeString(text); err != nil {
			return delivery{}, false
		}
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", name, stamp)
	mac.Write(payload)
	want, right := mac.Sum(nil), false
	for one := range strings.FieldsSeq(h.Get(header)) {
		text, ok := strings.CutPrefix(one, "v1,")
		given, err := base64.StdEncoding.DecodeString(text)
		right = right || ok && err == nil && hmac.Equal(given, want)
	}
	return delivery{name: name, dated: true}, right && len(key) > 0
}

// verified compares the signature of a payload in constant time. "sha256=HEX" and "sha1=HEX"
// are read, and the bare numbers of either length.
func verified(signature string, secret, payload []byte) bool {
	signature = strings.TrimSpace(signature)
	made := sha256.New
	if text, ok := strings.CutPrefix(signature, "sha1="); ok || len(signature) == 2*sha1.Size {
		signature, made = text, func() hashes.Hash { return sha1.New() }
	}
	given, err := hex.DecodeString(strings.TrimPrefix(signature, "sha256="))
	mac := hmac.New(made, secret)
	mac.Write(payload)
	return hmac.Equal(given, mac.Sum(nil)) && err == nil && len(secret) > 0
}

// repeated notes a delivery to a webhook and reports whether it came before. cause names what
// it starts. Without a signed time a body counts once for ever: nothing says that it is not an
// old call which somebody has kept; the name then only tells a sender's own repetitions.
func (s *Service) repeated(ctx context.Context, tx *store.Tx, hook, digest string, d delivery) (cause string, again bool, err error) {
	now := s.clock.Now()
	if _, err := tx.Exec(ctx, `DELETE FROM pipeline_delivery WHERE received < ?`, millis(now.Add(-deliveryWindow))); err != nil {
		return "", false, fmt.Errorf("forgetting old deliveries: %w", err)
	}
	if d.name != "" {
		res, err := tx.Exec(ctx, `INSERT INTO pipeline_delivery (hook, delivery, received) VALUES (?,?,?) ON CONFLICT DO NOTHING`, hook, d.name, millis(now))
		if err != nil {
			return "", false, fmt.Errorf("noting a delivery: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return "", true, err
		}
	}
	if d.dated {
		return "hook:" + hook + ":id:" + d.name, false, nil
	}
	cause = "hook:" + hook + ":" + digest
	again, err = s.claimCause(ctx, tx, cause, 0)
	return cause, again, err
}

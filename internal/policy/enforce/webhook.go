package enforce

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/policy"
)

// OnRefusal is told of each refusal that was recorded, after it was. It must be quick.
type OnRefusal func(ctx context.Context, d policy.Decision)

// WebhookDeps are the parts that a Webhook needs, all of them but First: without it every
// rule is judged here, also under load.
type WebhookDeps struct {
	Policies   Policies
	First      First
	Decider    Decider
	Recorder   Recorder
	Appliers   *Appliers
	Namespaces *Namespaces
	OnRefusal  OnRefusal
	Clock      clock.Clock
	Logger     *slog.Logger
}

// Limits of the webhook.
const (
	patience = 1800 * time.Millisecond // of the API server's two seconds
	maxBody  = 3 << 20                 // as much as the API server takes
	running  = 16                      // requests that are judged at once
	waiting  = 1024                    // requests that wait for it
	later    = 1024                    // allowed requests of runs that wait to be recorded
)

// Webhook answers the API server's AdmissionReviews (admission.k8s.io/v1).
type Webhook struct {
	WebhookDeps
	cluster string
	path    string
	slots   chan struct{}
	queue   chan struct{}
	records chan policy.Question
}

var _ http.Handler = (*Webhook)(nil)

// NewWebhook returns the webhook of the cluster of that name ("embedded"). The secret is
// part of the path, because whoever may post to it may write decisions; it must be at least
// 16 characters of letters and digits, new at each start.
func NewWebhook(d WebhookDeps, cluster, secret string) *Webhook {
	return &Webhook{
		WebhookDeps: d, cluster: cluster, path: Path(secret),
		slots: make(chan struct{}, running), queue: make(chan struct{}, running+waiting), records: make(chan policy.Question, later),
	}
}

// Path returns the path of the webhook's URL for a secret; it is a secret itself.
func Path(secret string) string { return "/admit/" + secret }

// Run records what was allowed to runs, after it was answered, until ctx ends.
func (w *Webhook) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case q := <-w.records:
			if _, err := w.Decider.Decide(ctx, q); err != nil && ctx.Err() == nil {
				w.Logger.Error("recording an allowed request", "run", q.Run, "error", err)
			}
		}
	}
}

// ServeHTTP answers one AdmissionReview within two seconds.
func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(w.path)) != 1 {
		http.NotFound(rw, r)
		return
	}
	if r.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		http.Error(rw, "an AdmissionReview is posted here", http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	// A body that does not come must not hold its place.
	if err := http.NewResponseController(rw).SetReadDeadline(time.Now().Add(patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		w.Logger.Debug("limiting how long a body may take", "error", err)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		http.Error(rw, "the body did not arrive", http.StatusBadRequest)
		return
	}
	if len(body) > maxBody {
		w.tooLarge(rw, body)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil || review.Request == nil || review.Request.UID == "" ||
		review.GroupVersionKind() != admissionv1.SchemeGroupVersion.WithKind("AdmissionReview") {
		http.Error(rw, "an AdmissionReview of admission.k8s.io/v1 with a request is expected", http.StatusBadRequest)
		return
	}
	answer(rw, w.admit(ctx, review.Request))
}

// admit judges a request, or says in time that it could not.
func (w *Webhook) admit(ctx context.Context, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	a, err := w.asked(req)
	if err != nil {
		return w.unjudged(a, err)
	}
	select {
	case w.queue <- struct{}{}:
	default:
		return w.unjudged(a, errors.New("too many requests are waiting to be judged"))
	}
	defer func() { <-w.queue }()
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return w.unjudged(a, errors.New("it waited for too long behind others"))
	}
	done := make(chan *admissionv1.AdmissionResponse, 1)
	go func() {
		defer func() { <-w.slots }()
		// Programs that others wrote run in here; outside of a handler's goroutine nobody
		// else would catch what they do.
		defer func() {
			if p := recover(); p != nil {
				w.Logger.Error("judging a request", "panic", p, "stack", string(debug.Stack()))
				done <- w.unjudged(a, errors.New("a program failed"))
			}
		}()
		done <- w.judge(ctx, a)
	}()
	select {
	case out := <-done:
		return out
	case <-ctx.Done():
		return w.unjudged(a, fmt.Errorf("judging took more than %s", patience))
	}
}

// tooLarge refuses a request of which only the beginning was read.
func (w *Webhook) tooLarge(rw http.ResponseWriter, body []byte) {
	m := requestUID.FindSubmatch(body[:1024])
	if m == nil {
		http.Error(rw, "the AdmissionReview is too large", http.StatusRequestEntityTooLarge)
		return
	}
	answer(rw, &admissionv1.AdmissionResponse{UID: types.UID(m[1]), Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusRequestEntityTooLarge, Reason: metav1.StatusReasonRequestEntityTooLarge,
		Message: fmt.Sprintf("Towpath cannot judge this object: with its former version it is larger than %d MiB; make it smaller", maxBody>>20),
	}})
}

// requestUID finds the request's identifier, with which the API server's encoder begins.
var requestUID = regexp.MustCompile(`^\s*\{[^{]*"request":\{"uid":"([0-9a-fA-F-]{1,64})"`)

// answer writes a response.
func answer(rw http.ResponseWriter, r *admissionv1.AdmissionResponse) {
	out, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}, Response: r,
	})
	if err != nil {
		http.Error(rw, "encoding the answer", http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(out) // The API server is gone: nobody is left to tell.
}

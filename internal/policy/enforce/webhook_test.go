package enforce_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/catalog"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// all lets everybody do everything.
type all struct{}

func (all) Require(context.Context, identity.Actor, string, identity.Role) error { return nil }
func (all) RequireAdmin(context.Context, identity.Actor) error                   { return nil }

type places []rule.Place

func (p places) Places(context.Context) ([]rule.Place, error) { return p, nil }

// noCluster is a cluster that is not there.
type noCluster struct{}

func (noCluster) Await(context.Context) error { return fault.New(fault.Unavailable, "no cluster") }
func (noCluster) Admin(context.Context) (*rest.Config, error) {
	return nil, fault.New(fault.Unavailable, "no cluster")
}
func (noCluster) Changed() <-chan struct{} { return nil }

type noReleases struct{}

func (noReleases) Release(context.Context, string, string) (enforce.Applied, bool, error) {
	return enforce.Applied{}, false, nil
}

// secret is the webhook's, path where it is.
const (
	secret = "sssssssssssssssssssssssssss"
	path   = "/admit/" + secret
)

var (
	root  = identity.SystemActor("test")
	quiet = slog.New(slog.DiscardHandler)
)

// service returns policy with its first assignments.
func service(t testing.TB, db *store.DB) *policy.Service {
	t.Helper()
	c, err := catalog.Open()
	if err != nil {
		t.Fatal(err)
	}
	s, err := policy.New(policy.Parts{
		DB: db, Log: event.New(db, clock.System()), Auth: all{}, Clock: clock.System(), Catalogue: c, Logger: quiet,
		Places: places{{Cluster: "embedded", Namespace: "shop-production", Project: "shop", Environment: "production"}},
	}, policy.Options{Registries: []string{"localhost:7080"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// desk is a webhook under test.
type desk struct {
	t        *testing.T
	policies *policy.Service
	webhook  *enforce.Webhook
	appliers *enforce.Appliers

	first first
	mu    sync.Mutex
	told  []policy.Decision
}

// first is what the API server does by itself: nothing, where it is zero.
type first enforce.Enforcement

func (f *first) State() enforce.Enforcement { return enforce.Enforcement(*f) }

func newDesk(t *testing.T, decider enforce.Decider) *desk {
	db := storetest.SQLite(t)
	d := &desk{t: t, policies: service(t, db)}
	d.appliers = enforce.NewAppliers(db, noCluster{}, "embedded", noReleases{}, quiet)
	if decider == nil {
		decider = d.policies
	}
	d.webhook = enforce.NewWebhook(enforce.WebhookDeps{
		Policies: d.policies, First: &d.first, Decider: decider, Recorder: d.policies, Appliers: d.appliers, Namespaces: enforce.NewNamespaces(noCluster{}, quiet),
		OnRefusal: func(_ context.Context, r policy.Decision) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.told = append(d.told, r)
		}, Clock: clock.System(), Logger: quiet,
	}, "embedded", secret)
	return d
}

func pod(privileged bool) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"cart","namespace":"shop-production"},
		"spec":{"containers":[{"name":"cart","image":"localhost:7080/shop/cart:1","securityContext":{"privileged":%t}}]}}`, privileged)
}

func request(object string) *admissionv1.AdmissionRequest {
	return &admissionv1.AdmissionRequest{
		UID: "3b1f0a52-67ae-4f3f-9c0e-3f0f6d1f0d10", Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, Namespace: "shop-production", Operation: admissionv1.Create,
		Object: runtime.RawExtension{Raw: []byte(object)},
		UserInfo: authenticationv1.UserInfo{Username: "towpath:run:7", Extra: map[string]authenticationv1.ExtraValue{
			"towpath.dev/run": {"7"}, "towpath.dev/job": {"Deploy.Production"}, "towpath.dev/project": {"shop"}, "towpath.dev/commit": {strings.Repeat("ab", 20)},
		}},
	}
}

func (d *desk) post(method, at string, body io.Reader) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	d.webhook.ServeHTTP(rec, httptest.NewRequestWithContext(d.t.Context(), method, at, body))
	return rec
}

func (d *desk) ask(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	d.t.Helper()
	body, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: r})
	if err != nil {
		d.t.Fatal(err)
	}
	return d.answer(d.post(http.MethodPost, path, bytes.NewReader(body)), r)
}

func (d *desk) answer(rec *httptest.ResponseRecorder, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	d.t.Helper()
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || rec.Code != http.StatusOK || out.Response == nil || out.Response.UID != r.UID {
		d.t.Fatalf("status %d, %s, %v", rec.Code, rec.Body, err)
	}
	return out.Response
}

func (d *desk) decisions(allowed bool) []policy.Decision {
	d.t.Helper()
	out, err := d.policies.Decisions(d.t.Context(), root, policy.DecisionFilter{Allowed: &allowed})
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func TestWebhookRefusesWithItsReasons(t *testing.T) {
	d := newDesk(t, nil)
	r := d.ask(request(pod(true)))
	if r.Allowed || r.Result.Code != http.StatusForbidden {
		t.Fatalf("answer %+v", r)
	}
	made := d.decisions(false)
	if len(made) != 1 || made[0].Run != 7 || made[0].Actor != "run:7" || made[0].Environment != "production" || made[0].Objects[0].Name != "cart" {
		t.Fatalf("recorded %+v", made)
	}
	for _, want := range []string{"spec.containers[name=cart].securityContext.privileged: ", "[assignment baseline, rule ", "policy sha256:", "decision " + made[0].ID} {
		if !strings.Contains(r.Result.Message, want) {
			t.Errorf("the message has no %q:\n%s", want, r.Result.Message)
		}
	}
	if len(d.told) != 1 || d.told[0].ID != made[0].ID {
		t.Errorf("told %+v", d.told)
	}
	// The same request again, as the API server's client does: one decision.
	d.ask(request(pod(true)))
	if n := len(d.decisions(false)); n != 1 {
		t.Errorf("%d decisions of one request", n)
	}
}

func TestWebhookAllows(t *testing.T) {
	d := newDesk(t, nil)
	if r := d.ask(request(pod(false))); !r.Allowed {
		t.Fatalf("answer %+v", r)
	}
	by, ok, err := d.appliers.Applied(t.Context(), enforce.Object{Namespace: "shop-production", Kind: "Pod", Name: "cart"}, "")
	if err != nil || !ok || by.Run != 7 || by.Job != "Deploy.Production" || by.Actor != "run:7" {
		t.Errorf("applied by %+v, %t, %v", by, ok, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.webhook.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); len(d.decisions(true)) != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what was allowed to the run is not recorded")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWebhookRecordsNothingOfADryRun(t *testing.T) {
	d := newDesk(t, nil)
	for _, bad := range []bool{true, false} {
		r := request(pod(bad))
		r.DryRun = new(true)
		if got := d.ask(r); got.Allowed == bad {
			t.Errorf("answer %+v", got)
		}
	}
	if n := len(d.decisions(false)) + len(d.decisions(true)); n != 0 || len(d.told) != 0 {
		t.Errorf("%d decisions, %d told", n, len(d.told))
	}
	if _, ok, err := d.appliers.Applied(t.Context(), enforce.Object{Namespace: "shop-production", Kind: "Pod", Name: "cart"}, ""); ok || err != nil {
		t.Errorf("an applier of nothing: %t, %v", ok, err)
	}
}

// TestWebhookLetsGo updates a pod that breaks a rule: its finalizers can be taken away while
// it is being deleted, but nothing else can be changed.
func TestWebhookLetsGo(t *testing.T) {
	d := newDesk(t, nil)
	dying := strings.Replace(pod(true), `"name":"cart",`, `"name":"cart","deletionTimestamp":"2026-03-01T12:00:00Z","deletionGracePeriodSeconds":3600,`, 1)
	r := request(dying)
	r.Operation, r.OldObject = admissionv1.Update, runtime.RawExtension{Raw: []byte(dying)}
	if got := d.ask(r); !got.Allowed {
		t.Errorf("letting go: %+v", got)
	}
	debug := strings.Replace(dying, `"containers"`, `"ephemeralContainers":[{"name":"d","image":"x","securityContext":{"privileged":true}}],"containers"`, 1)
	r.Object, r.SubResource = runtime.RawExtension{Raw: []byte(debug)}, "ephemeralcontainers"
	if got := d.ask(r); got.Allowed {
		t.Error("a dying pod gets a privileged container")
	}
}

func TestWebhookTellsControllersApart(t *testing.T) {
	d := newDesk(t, nil)
	deployment := request(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"cart","namespace":"shop-production","uid":"d-1"},"spec":{}}`)
	deployment.Kind, deployment.Resource = metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	if r := d.ask(deployment); !r.Allowed {
		t.Fatalf("answer %+v", r)
	}
	rs := request(`{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"cart-1","namespace":"shop-production","uid":"r-1",
		"ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"cart","uid":"d-1","controller":true}]},"spec":{}}`)
	rs.Kind, rs.Resource = metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}, metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	rs.UserInfo = authenticationv1.UserInfo{Username: "system:serviceaccount:kube-system:deployment-controller"}
	if r := d.ask(rs); !r.Allowed {
		t.Fatalf("answer %+v", r)
	}
	for i := range 3 { // It tries again and again.
		p := request(strings.Replace(pod(true), `"name":"cart",`, `"name":"cart-1-x","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"cart-1","uid":"r-1","controller":true}],`, 1))
		p.UID = types.UID(fmt.Sprintf("again-%d", i))
		p.UserInfo = authenticationv1.UserInfo{Username: "system:serviceaccount:kube-system:replicaset-controller"}
		if r := d.ask(p); r.Allowed || !strings.Contains(r.Result.Message, "decision ") {
			t.Fatalf("answer %+v", r)
		}
	}
	made := d.decisions(false)
	if len(made) != 1 || made[0].Run != 7 || made[0].Actor != "run:7" || made[0].Job != "Deploy.Production" {
		t.Errorf("recorded %+v", made)
	}
	// Somebody who only says that a Deployment made his pod is himself.
	p := request(strings.Replace(pod(true), `"name":"cart",`, `"name":"mine","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"cart-1","uid":"r-1","controller":true}],`, 1))
	p.UID, p.UserInfo = "mine", authenticationv1.UserInfo{Username: "mallory"}
	d.ask(p)
	if made := d.decisions(false); made[0].Actor != "kube:mallory" || made[0].Run != 0 {
		t.Errorf("recorded %+v", made[0])
	}
}

func TestWebhookTurnsAwayOthers(t *testing.T) {
	d := newDesk(t, nil)
	body := func() io.Reader { return strings.NewReader(`{}`) }
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, "/", http.StatusNotFound},
		{http.MethodPost, "/admit/", http.StatusNotFound},
		{http.MethodPost, path + "x", http.StatusNotFound},
		{http.MethodGet, path, http.StatusMethodNotAllowed},
		{http.MethodPost, path, http.StatusBadRequest},
	} {
		if got := d.post(c.method, c.path, body()).Code; got != c.want {
			t.Errorf("%s %s = %d, want %d", c.method, c.path, got, c.want)
		}
	}
}

func TestWebhookRefusesWhatIsTooLarge(t *testing.T) {
	d := newDesk(t, nil)
	r := request(strings.Replace(pod(false), `"name":"cart",`, `"name":"cart","annotations":{"a":"`+strings.Repeat("x", 3<<20)+`"},`, 1))
	if got := d.ask(r); got.Allowed || got.Result.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("answer %+v", got.Result)
	}
	if got := d.post(http.MethodPost, path, strings.NewReader(strings.Repeat(" ", 3<<20+1))).Code; got != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", got)
	}
}

// stuck is a decider that never answers, one that fails, or one that panics.
type stuck func(ctx context.Context) (policy.Decision, error)

func (s stuck) Decide(ctx context.Context, _ policy.Question) (policy.Decision, error) { return s(ctx) }

func TestWebhookRefusesWhatItCannotJudge(t *testing.T) {
	service := request(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"cart","namespace":"shop-production"}}`)
	service.Kind, service.Resource = metav1.GroupVersionKind{Version: "v1", Kind: "Service"}, metav1.GroupVersionResource{Version: "v1", Resource: "services"}
	broken := request(`{"apiVersion":"v1"`)
	broken.Object.Raw = []byte(`{"apiVersion":"v1","kind":"Pod","metadata":7}`)
	for name, decide := range map[string]stuck{
		"an error": func(context.Context) (policy.Decision, error) {
			return policy.Decision{}, errors.New("the disk is full")
		},
		"a panic": func(context.Context) (policy.Decision, error) { panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, decide)
			if got := d.ask(request(pod(false))); got.Allowed || !strings.Contains(got.Result.Message, "[assignment baseline, rule ") || !strings.Contains(got.Result.Message, "could not be judged") {
				t.Errorf("answer %+v", got.Result)
			}
			if got := d.ask(service); !got.Allowed {
				t.Errorf("what no rule is about: %+v", got)
			}
			if got := d.ask(broken); got.Allowed {
				t.Errorf("an object that cannot be read: %+v", got)
			}
			// What the API server has judged by is not refused again for want of an answer.
			d.first = first{Set: d.policies.Current().Digest(), Since: time.Now().Add(-time.Minute)}
			if got := d.ask(request(pod(false))); !got.Allowed || len(got.Warnings) != 1 {
				t.Errorf("what the API server judged: %+v", got)
			}
			d.first.Skipped = []enforce.Skipped{{Assignment: policy.Baseline, Rule: d.policies.Current().Rules()[0].Reference}}
			if got := d.ask(request(pod(false))); got.Allowed {
				t.Errorf("what it did not: %+v", got)
			}
		})
	}
}

func TestWebhookAnswersInTime(t *testing.T) {
	d := newDesk(t, nil)
	synctest.Test(t, func(t *testing.T) {
		// The bubble's clock moves only while everything in it waits.
		wait := make(chan struct{})
		webhook := enforce.NewWebhook(enforce.WebhookDeps{
			Policies: d.policies, First: &d.first, Decider: stuck(func(context.Context) (policy.Decision, error) {
				<-wait
				return policy.Decision{Allowed: true}, nil
			}), Recorder: d.policies, Appliers: d.appliers, Namespaces: enforce.NewNamespaces(noCluster{}, quiet), Clock: clock.System(), Logger: quiet,
		}, "embedded", secret)
		body, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request(pod(true))})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var all sync.WaitGroup
		for range 40 { // More than are judged at once: the others wait in vain.
			all.Go(func() {
				rec := httptest.NewRecorder()
				webhook.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
				var out admissionv1.AdmissionReview
				if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || out.Response.Allowed || out.Response.Result.Code != http.StatusServiceUnavailable {
					t.Errorf("%d %s %v", rec.Code, rec.Body, err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took >= 2*time.Second {
			t.Errorf("it took %s", took)
		}
		close(wait)
	})
}

// definition makes a definition in Azure's JSON of a template.
func definition(name string, template string, kinds ...string) []byte {
	raw, err := json.Marshal(map[string]any{
		"name": name, "type": "Microsoft.Authorization/policyDefinitions",
		"properties": map[string]any{
			"displayName": name, "version": "1.0.0", "mode": "Microsoft.Kubernetes.Data",
			"policyRule": map[string]any{
				"if": map[string]any{"field": "type", "in": []string{"Microsoft.Kubernetes/connectedClusters"}},
				"then": map[string]any{"effect": "audit", "details": map[string]any{
					"templateInfo": map[string]any{"sourceType": "Base64Encoded", "content": base64.StdEncoding.EncodeToString([]byte(template))},
					"apiGroups":    []string{""}, "kinds": kinds, "excludedNamespaces": []string{"kube-system"}, "source": "Original", "warn": true,
				}},
			},
		},
	})
	if err != nil {
		return nil
	}
	return raw
}

func TestWebhookWarns(t *testing.T) {
	d := newDesk(t, nil)
	if _, err := d.policies.Apply(t.Context(), root, definition("talkative", `{"apiVersion":"templates.gatekeeper.sh/v1","kind":"ConstraintTemplate","metadata":{"name":"talkative"},
		"spec":{"crd":{"spec":{"names":{"kind":"Talkative"}}},"targets":[{"target":"admission.k8s.gatekeeper.sh","code":[{"engine":"K8sNativeValidation","source":
		{"validations":[{"expression":"false","message":"metadata.name: never good"}]}}]}]}}`, "Pod")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.policies.Assign(t.Context(), root, []byte(`{"name":"talkative","properties":{"policyDefinitionId":"/providers/Microsoft.Authorization/policyDefinitions/talkative","scope":"project:shop"}}`)); err != nil {
		t.Fatal(err)
	}
	r := d.ask(request(pod(false)))
	if !r.Allowed || len(r.Warnings) != 1 || !strings.HasPrefix(r.Warnings[0], "metadata.name: never good [assignment talkative, ") {
		t.Errorf("answer %+v", r)
	}
}

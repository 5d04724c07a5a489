package live_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/catalog"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// Namespaces of the tests. The first belongs to an environment.
const (
	production = "shop-production"
	other      = "elsewhere"
)

// root may do everything.
var root = identity.SystemActor("test")

// open is an authoriser that knows one member of project shop besides administrators.
type open struct{}

func (open) Require(_ context.Context, a identity.Actor, project string, _ identity.Role) error {
	if a.Admin || a.Name == "ada" && project == "shop" {
		return nil
	}
	return errors.New("denied")
}

func (open) RequireAdmin(_ context.Context, a identity.Actor) error {
	if a.Admin {
		return nil
	}
	return errors.New("denied")
}

type places []rule.Place

func (p places) Places(context.Context) ([]rule.Place, error) { return p, nil }

// noReleases knows of no release.
type noReleases struct{}

func (noReleases) Release(context.Context, string, string) (enforce.Applied, bool, error) {
	return enforce.Applied{}, false, nil
}

// world is an installation's policy at work on the cluster.
type world struct {
	t        testing.TB
	db       *store.DB
	policies *policy.Service
	sync     *enforce.Sync
	webhook  *enforce.Webhook
	auditor  *audit.Service
	stop     func()
	freeze   func() // from here on nobody repairs what the cluster has
	listen   string
	cert     tls.Certificate
	server   *http.Server

	mu       sync.Mutex
	refusals []policy.Decision
}

// newWorld starts everything on the shared cluster and waits until it is in force.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, db: storetest.SQLite(t)}
	c := clock.System()
	cat, err := catalog.Open()
	if err != nil {
		t.Fatal(err)
	}
	level := slog.LevelWarn
	if testing.Verbose() && os.Getenv("TOWPATH_DEBUG") != "" {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	w.policies, err = policy.New(policy.Parts{
		DB: w.db, Log: event.New(w.db, c), Auth: open{}, Clock: c, Catalogue: cat, Logger: logger,
		Places: places{{Cluster: "embedded", Namespace: production, Project: "shop", Environment: "production"}},
	}, policy.Options{Registries: []string{"localhost:7080"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.policies.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	appliers := enforce.NewAppliers(w.db, shared, "embedded", noReleases{}, logger)
	namespaces := enforce.NewNamespaces(shared, logger)
	told := func(_ context.Context, d policy.Decision) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.refusals = append(w.refusals, d)
	}
	secret := rand.Text()
	ca := w.certificate()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.listen = l.Addr().String()
	w.sync = enforce.NewSync(enforce.SyncDeps{Cluster: shared, Policies: w.policies, Clock: c, Logger: logger}, "embedded",
		enforce.Endpoint{URL: "https://" + w.listen + enforce.Path(secret), CA: ca})
	w.webhook = enforce.NewWebhook(enforce.WebhookDeps{
		Policies: w.policies, First: w.sync, Decider: w.policies, Recorder: w.policies, Appliers: appliers, Namespaces: namespaces, OnRefusal: told, Clock: c, Logger: logger,
	}, "embedded", secret)
	w.serve(l)
	attribution := enforce.NewAttribution(enforce.AttributionDeps{
		DB: w.db, Cluster: shared, Policies: w.policies, Recorder: w.policies, Appliers: appliers, OnRefusal: told, Logger: logger,
	}, "embedded", shared.auditLog())
	w.auditor = audit.New(audit.Deps{
		DB: w.db, Log: event.New(w.db, c), Cluster: shared, Policies: w.policies, Recorder: w.policies, Appliers: appliers, Namespaces: namespaces, OnRefusal: told, Auth: open{}, Clock: c, Logger: logger,
	}, audit.Options{Cluster: "embedded"})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var all sync.WaitGroup
	syncing, freeze := context.WithCancel(ctx)
	w.freeze = freeze
	keep := func(context.Context) error { return w.sync.Run(syncing) }
	for _, run := range []func(context.Context) error{w.policies.Run, appliers.Run, namespaces.Run, w.webhook.Run, keep, attribution.Run, w.auditor.Run} {
		all.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("a part ended: %v", err)
			}
		})
	}
	w.stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
		w.hangUp()
	})
	t.Cleanup(w.stop)
	for _, n := range []string{production, other} {
		w.namespace(n, nil)
	}
	w.inForce()
	return w
}

// certificate makes the webhook's certificate and returns it as PEM.
func (w *world) certificate() []byte {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "webhook"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// back answers the API server again, at the same address.
func (w *world) back() {
	w.t.Helper()
	l, err := net.Listen("tcp", w.listen)
	if err != nil {
		w.t.Fatal(err)
	}
	w.serve(l)
}

func (w *world) serve(l net.Listener) {
	w.server = &http.Server{Handler: w.webhook, TLSConfig: &tls.Config{Certificates: []tls.Certificate{w.cert}}, ReadHeaderTimeout: 2 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = w.server.ServeTLS(l, "", "") }()
}

// hangUp ends the webhook.
func (w *world) hangUp() {
	if w.server != nil {
		_ = w.server.Close()
		w.server = nil
	}
}

// eventually repeats try until it succeeds.
func (w *world) eventually(what string, try func() error) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not so after %s: %v", what, patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// inForce waits until the cluster enforces the set and everything is judged under it.
func (w *world) inForce() {
	w.t.Helper()
	set := w.policies.Current().Digest()
	w.eventually("the set is in force", func() error {
		s, p := w.sync.State(), w.auditor.Progress()
		if s.Set != set || s.Error != "" || !p.Synced || p.Set != set {
			return fmt.Errorf("enforcement %+v, audit %+v", s, p)
		}
		return nil
	})
	// The API server compiles a policy some time after it was told.
	w.eventually("the API server compiled the policies", func() error {
		_, err := w.admin().CoreV1().Pods(other).Create(w.t.Context(), privileged("probe"), metav1.CreateOptions{DryRun: []string{"All"}})
		if !strings.Contains(fmt.Sprint(err), "ValidatingAdmissionPolicy") {
			return fmt.Errorf("a privileged pod: %v", err)
		}
		return nil
	})
}

func (w *world) client(cfg *rest.Config) *kubernetes.Clientset {
	w.t.Helper()
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) config() *rest.Config {
	w.t.Helper()
	cfg, err := shared.Admin(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

func (w *world) admin() *kubernetes.Clientset { return w.client(w.config()) }

// as acts as a job of a run, as an adopted cluster sees it.
func (w *world) as(run int) *kubernetes.Clientset {
	cfg := w.config()
	cfg.Impersonate = rest.ImpersonationConfig{
		UserName: fmt.Sprintf("towpath:run:%d", run), Groups: []string{"system:authenticated", "system:masters"},
		Extra: map[string][]string{
			"towpath.dev/run": {fmt.Sprint(run)}, "towpath.dev/job": {"Deploy.Production"}, "towpath.dev/project": {"shop"}, "towpath.dev/commit": {strings.Repeat("ab", 20)},
		},
	}
	return w.client(cfg)
}

func (w *world) namespace(name string, labels map[string]string) {
	w.t.Helper()
	_, err := w.admin().CoreV1().Namespaces().Create(w.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
	w.eventually("the namespace has its service account", func() error {
		_, err := w.admin().CoreV1().ServiceAccounts(name).Get(w.t.Context(), "default", metav1.GetOptions{})
		return err
	})
}

// definition stores a definition with a template, and an assignment of it.
func (w *world) definition(name, template string, kinds ...string) {
	w.t.Helper()
	groups := []string{""}
	for _, k := range kinds {
		if k == "Deployment" {
			groups = append(groups, "apps")
		}
	}
	raw, err := json.Marshal(map[string]any{
		"name": name, "type": "Microsoft.Authorization/policyDefinitions",
		"properties": map[string]any{
			"displayName": name, "version": "1.0.0", "mode": "Microsoft.Kubernetes.Data", "metadata": map[string]any{"fix": "Do not do that."},
			"policyRule": map[string]any{
				"if": map[string]any{"field": "type", "in": []string{"Microsoft.Kubernetes/connectedClusters"}},
				"then": map[string]any{"effect": "deny", "details": map[string]any{
					"templateInfo": map[string]any{"sourceType": "Base64Encoded", "content": base64.StdEncoding.EncodeToString([]byte(template))},
					"apiGroups":    groups, "kinds": kinds, "excludedNamespaces": []string{"kube-system"}, "source": "Original",
				}},
			},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.policies.Apply(w.t.Context(), root, raw); err != nil {
		w.t.Fatal(err)
	}
	w.assign(name, "/providers/Microsoft.Authorization/policyDefinitions/"+name, "platform")
}

func (w *world) assign(name, what, scope string) {
	w.t.Helper()
	raw, err := json.Marshal(map[string]any{"name": name, "properties": map[string]any{"policyDefinitionId": what, "scope": scope}})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.policies.Assign(w.t.Context(), root, raw); err != nil {
		w.t.Fatal(err)
	}
}

// decision waits for a recorded refusal.
func (w *world) decision(what string, is func(policy.Decision) bool) policy.Decision {
	w.t.Helper()
	var found policy.Decision
	w.eventually(what, func() error {
		no := false
		all, err := w.policies.Decisions(w.t.Context(), root, policy.DecisionFilter{Allowed: &no, Limit: 500})
		if err != nil {
			return err
		}
		for _, d := range all {
			if is(d) {
				found = d
				return nil
			}
		}
		return fmt.Errorf("none of %d decisions", len(all))
	})
	return found
}

func pod(name string) *corev1.Pod {
	no := false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			// No node is like this: nothing is to run.
			NodeSelector: map[string]string{"none": "such"}, AutomountServiceAccountToken: &no,
			Containers: []corev1.Container{{Name: "app", Image: "localhost:7080/shop/web@sha256:" + strings.Repeat("0", 64)}},
		},
	}
}

func privileged(name string) *corev1.Pod {
	p := pod(name)
	p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	return p
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b))
}

package deploy

import (
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/deploy/kubectl"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// TestRemoteEnvironments wants that an environment stays on the cluster of its first
// deployment, and that nothing of the platform's takes it for one of its own.
func TestRemoteEnvironments(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, none := newService(db)
		far := s.Through(Remote{Connection: "Edge cluster", Config: &rest.Config{Host: "https://edge.example"}})
		plain := run
		plain.Job.Environment = ""
		to := Target{Actor: plain, Namespace: "default", Name: "web"}
		if name := far.environmentOf(to); name != "edge-cluster-default" {
			t.Errorf("the connection's own environment is called %s", name)
		}
		env, err := far.ensure(t.Context(), run, "shop", "edge", "default")
		if err != nil || env.Connection != "Edge cluster" || env.Namespace != "default" {
			t.Fatalf("%+v, %v", env, err)
		}
		got, err := s.Environment(t.Context(), ada, "shop", "edge")
		if err != nil || got.Connection != "Edge cluster" || got.Namespace != "default" {
			t.Errorf("%+v, %v", got, err)
		}
		// The namespace of that name here is nobody's.
		if project, _, err := s.Owner(t.Context(), "default"); err != nil || project != "" {
			t.Errorf("namespace default belongs to %q, %v", project, err)
		}
		if places, err := s.Places(t.Context()); err != nil || len(places) != 0 {
			t.Errorf("places here: %+v, %v", places, err)
		}
		if _, err := s.ensure(t.Context(), run, "shop", "edge", ""); !fault.Is(err, fault.Conflict) {
			t.Errorf("the platform's own cluster for an environment elsewhere: %v", err)
		}
		if _, err := s.ensure(t.Context(), run, "shop", "production", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := far.ensure(t.Context(), run, "shop", "production", ""); !fault.Is(err, fault.Conflict) {
			t.Errorf("the cluster of a connection for an environment here: %v", err)
		}
		if _, err := s.Through(Remote{Connection: "other"}).ensure(t.Context(), run, "shop", "edge", ""); !fault.Is(err, fault.Conflict) {
			t.Errorf("another cluster: %v", err)
		}
		if _, err := s.Values(t.Context(), ada, "shop", "edge", "web"); !fault.Is(err, fault.Conflict) || none.asked != 0 {
			t.Errorf("values of a release elsewhere: %v, asked %d times", err, none.asked)
		}
	})
}

// TestKubectlAsksFirst wants that no command reaches the cluster before the rules allow it.
func TestKubectlAsksFirst(t *testing.T) {
	stranger, nowhere := run, run
	stranger.Name = "8"
	nowhere.Job.Environment = ""
	for _, c := range []struct {
		name, line, namespace string
		actor                 identity.Actor
		kind                  fault.Kind
		asked                 int
	}{
		{"K022 ErrNotAllowed", "get pods", "", stranger, fault.NotFound, 0},
		{"K022 ErrNoEnvironment", "delete pods x", "", nowhere, fault.Denied, 0},
		{"K022 ErrForeignNamespace", "get pods -n kube-system", "", run, fault.Denied, 0},
		{"K022 ErrTwoNamespaces", "get pods -n a", "b", run, fault.Invalid, 0},
		{"K022 ErrNoFile", "apply -f missing.yaml", "", run, fault.NotFound, 0},
		{"K022 ErrNothingToApply", "apply", "", run, fault.Invalid, 0},
		{"K022 ErrNoCluster", "get pods", "", run, fault.Unavailable, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, none := newService(storetest.SQLite(t))
			words := strings.Fields(c.line)
			call, err := kubectl.Parse(words[0], words[1:])
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Kubectl(t.Context(), Command{Target: Target{Actor: c.actor, Namespace: c.namespace, Name: "kubectl-web"}, Call: call}, func(string) {})
			if fault.KindOf(err) != c.kind || none.asked != c.asked {
				t.Errorf("%v (kind %q), asked %d times; want kind %q, %d", err, fault.KindOf(err), none.asked, c.kind, c.asked)
			}
		})
	}
}

// TestSecretsAreNotSaid hides what Secrets hold in every form that get has.
func TestSecretsAreNotSaid(t *testing.T) {
	secret := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "data": map[string]any{"a": "aGlkZGVu"},
		"metadata": map[string]any{"name": "s", "annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": "aGlkZGVu"}},
	}
	for _, format := range []string{"yaml", "json", "name", "jsonpath"} {
		text, err := formatted(format, "{.data.a}{.metadata}", []map[string]any{secret}, true)
		if err != nil || strings.Contains(text, "aGlkZGVu") || text == "" {
			t.Errorf("%s: %s, %v", format, text, err)
		}
	}
	if secret["data"].(map[string]any)["a"] != "aGlkZGVu" {
		t.Error("the object itself was changed")
	}
}

// TestRemovedRelease wants that a release that was taken away serves no more, and that the
// logbook says so.
func TestRemovedRelease(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, _ := newService(db)
		r := running(t, s, "localhost:7080/shop/web@"+otherDigest)
		env, err := environment(t.Context(), db, "shop", "production")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // The second time there is nothing to say.
			if err := s.remember(t.Context(), env, Target{Actor: run, Name: r.Name}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Environment(t.Context(), ada, "shop", "production")
		if err != nil || got.Current != nil || got.Latest == nil {
			t.Errorf("it serves %+v, the newest is %+v, %v", got.Current, got.Latest, err)
		}
		events, err := s.Log.Read(t.Context(), event.Query{Type: event.TypeReleaseRemoved})
		if err != nil || len(events) != 1 || events[0].Subject != r.Subject() {
			t.Errorf("%+v, %v", events, err)
		}
	})
}

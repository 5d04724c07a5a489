package deploy

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

const (
	otherDigest = "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	thirdDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// roles lets an actor do in a project what his role allows: "ada/shop".
type roles map[string]identity.Role

func (r roles) Require(_ context.Context, a identity.Actor, project string, want identity.Role) error {
	have, ok := r[a.Name+"/"+project]
	if !ok {
		return fault.New(fault.NotFound, "There is no project %s.", project)
	}
	if have < want {
		return fault.New(fault.Denied, "%s may not.", a.Name)
	}
	return nil
}

// noCluster counts who asks for it.
type noCluster struct{ asked int }

func (n *noCluster) refuse() error {
	n.asked++
	return fault.New(fault.Unavailable, "There is no cluster.")
}
func (n *noCluster) Await(context.Context) error                 { return n.refuse() }
func (n *noCluster) Admin(context.Context) (*rest.Config, error) { return nil, n.refuse() }
func (n *noCluster) As(context.Context, identity.JobClaims, []string, time.Duration) (*rest.Config, error) {
	return nil, n.refuse()
}

var (
	ada = identity.Actor{Kind: identity.KindUser, Name: "ada", Cap: identity.Admin}
	run = identity.Actor{Kind: identity.KindRun, Name: "7", Cap: identity.Write, Job: identity.JobClaims{
		Run: 7, Stage: "Deploy", Job: "Production", Project: "shop", Environment: "production", Commit: "41ab07d", Requester: "ada",
	}}
)

func newService(db *store.DB) (*Service, *noCluster) {
	c := clock.Fixed(time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC), time.Second)
	none := &noCluster{}
	return New(Deps{
		DB: db, Log: event.New(db, c), Clusters: none, Images: oneTag{}, Clock: c, Logger: slog.New(slog.DiscardHandler),
		Auth: roles{"ada/shop": identity.Maintain, "ada/shop-x": identity.Maintain, "bob/shop": identity.Read, "7/shop": identity.Write},
	}, Options{Registry: "localhost:7080", FrontDoor: "http://127.0.0.1:7480"}), none
}

func TestEnvironments(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, _ := newService(db)
		bob := identity.Actor{Kind: identity.KindUser, Name: "bob"}
		for _, c := range []struct {
			name                 string
			actor                identity.Actor
			project, env, wanted string
			namespace            string
			kind                 fault.Kind
		}{
			{"Default", ada, "shop", "production", "", "shop-production", ""},
			{"Again", ada, "shop", "production", "", "shop-production", ""},
			{"ProjectsOwnName", ada, "shop", "live", "shop", "shop", ""},
			{"OwnPrefix", ada, "shop", "x", "", "shop-x", ""},
			{"ErrOtherNamespaceThanBefore", ada, "shop", "production", "shop-other", "", fault.Invalid},
			{"ErrTakenInTheProject", ada, "shop", "second", "shop", "", fault.Conflict},
			// shop's environment x came first: shop-x's own name is taken.
			{"ErrTakenByAnotherProject", ada, "shop-x", "live", "shop-x", "", fault.Conflict},
			{"ErrForeignNamespace", ada, "shop", "evil", "kube-system", "", fault.Denied},
			{"ErrForeignPrefix", ada, "shop", "evil", "shopping", "", fault.Denied},
			{"ErrNoDNSLabel", ada, "shop", "evil", "shop-a.b", "", fault.Denied},
			{"ErrName", ada, "shop", "Production!", "", "", fault.Invalid},
			{"ErrReader", bob, "shop", "bobs", "", "", fault.Denied},
			{"ErrNotVisible", bob, "shop-x", "bobs", "", "", fault.NotFound},
		} {
			env, err := s.CreateEnvironment(t.Context(), c.actor, c.project, c.env, c.wanted)
			if fault.KindOf(err) != c.kind || err == nil && env.Namespace != c.namespace {
				t.Errorf("%s: namespace %q, %v; want %q, kind %q", c.name, env.Namespace, err, c.namespace, c.kind)
			}
		}
		got, err := s.Environments(t.Context(), bob, "shop")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range got {
			names = append(names, e.Name+"="+e.Namespace)
		}
		if diff := cmp.Diff([]string{"live=shop", "production=shop-production", "x=shop-x"}, names); diff != "" {
			t.Errorf("environments (-want +got):\n%s", diff)
		}
		if _, err := s.Environments(t.Context(), bob, "shop-x"); !fault.Is(err, fault.NotFound) {
			t.Errorf("what is not visible: %v", err)
		}
		for namespace, want := range map[string]string{"shop-x": "shop/x", "shop": "shop/live", "kube-system": "/"} {
			project, env, err := s.Owner(t.Context(), namespace)
			if err != nil || project+"/"+env != want {
				t.Errorf("namespace %s is of %s/%s, %v; want %s", namespace, project, env, err, want)
			}
		}
	})
}

// TestReleaseAsksFirst wants that nothing reaches the cluster before the rules allow it.
func TestReleaseAsksFirst(t *testing.T) {
	chart := []File{{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: web\nversion: 1.0.0\n")}}
	stranger, nowhere := run, run
	stranger.Name = "8"
	nowhere.Job.Environment = ""
	for _, c := range []struct {
		name      string
		actor     identity.Actor
		namespace string
		files     []File
		kind      fault.Kind
		asked     int
	}{
		{"ErrNotAllowed", stranger, "", chart, fault.NotFound, 0},
		{"ErrNoEnvironment", nowhere, "", chart, fault.Denied, 0},
		{"ErrForeignNamespace", run, "default", chart, fault.Denied, 0},
		{"ErrNoChart", run, "", nil, fault.Invalid, 0},
		{"ErrNoCluster", run, "", chart, fault.Unavailable, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, none := newService(storetest.SQLite(t))
			_, err := s.Helm(t.Context(), Chart{Target: Target{Actor: c.actor, Namespace: c.namespace, Name: "web"}, Files: c.files}, func(string) {})
			if fault.KindOf(err) != c.kind || none.asked != c.asked {
				t.Errorf("Helm = %v, the cluster was asked %d times; want kind %q, %d times", err, none.asked, c.kind, c.asked)
			}
		})
	}
	s, _ := newService(storetest.SQLite(t))
	if _, err := s.Apply(t.Context(), Manifests{Target: Target{Actor: run}}, func(string) {}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no manifests: %v", err)
	}
}

// begun records a release that is under way.
func begun(t *testing.T, s *Service, image string) Release {
	t.Helper()
	env, err := s.ensure(t.Context(), run, "shop", "production", "shop")
	if err != nil {
		t.Fatal(err)
	}
	r := Release{
		Project: "shop", Environment: "production", Namespace: env.Namespace, Name: "web", Chart: "web-1.0.0", Run: 7, Commit: "41ab07d",
		Actor: run.String(), Requester: "ada", Images: []string{"localhost:7080/shop/web@" + image},
	}
	if err := s.begin(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func ended(t *testing.T, s *Service, image, result string, pods ...Pod) Release {
	t.Helper()
	r := begun(t, s, image)
	r.Result, r.Revision, r.Pods = result, int(r.Number), pods
	if err := s.finish(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReleases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, _ := newService(db)
		pod := Pod{UID: "u1", Name: "web-1", Images: []string{digest}, Ready: true, Since: time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)}
		first := ended(t, s, digest, Deployed, pod)
		second := ended(t, s, otherDigest, RolledBack)
		third := begun(t, s, otherDigest)
		if first.ID() != "shop/production/1" || second.Number != 2 || third.Number != 3 {
			t.Errorf("numbers %s, %d, %d", first.ID(), second.Number, third.Number)
		}

		env, err := s.Environment(t.Context(), run, "shop", "production")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&first, env.Current, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("current (-want +got):\n%s", diff)
		}
		if env.Latest == nil || env.Latest.Number != 3 || env.Latest.Result != Started || !env.Latest.Finished.IsZero() {
			t.Errorf("latest is %+v", env.Latest)
		}
		list, err := s.Releases(t.Context(), run, "shop", "production", 2)
		if err != nil || len(list) != 2 || list[0].Number != 3 || list[1].Number != 2 {
			t.Errorf("releases %+v, %v", list, err)
		}
		if _, err := s.Release(t.Context(), run, "shop", "production", 9); !fault.Is(err, fault.NotFound) {
			t.Errorf("a release that is not there: %v", err)
		}

		// A new process finds the third one cut off.
		if err := s.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := s.Release(t.Context(), run, "shop", "production", 3)
		if err != nil || got.Result != Failed || got.Why == "" || got.Finished.IsZero() {
			t.Errorf("after the crash: %+v, %v", got, err)
		}
		wantFacts(t, s, []string{
			"environment.created project:shop", "release.started release:shop/production/1", "release.finished release:shop/production/1", "pod.changed pod:u1",
			"release.started release:shop/production/2", "release.finished release:shop/production/2",
			"release.started release:shop/production/3", "release.finished release:shop/production/3",
		})
		if edges, err := s.Log.Out(t.Context(), first.Subject(), event.RelDeploys, 10); err != nil || len(edges) != 1 || edges[0].To != event.Of(event.KindImage, digest) {
			t.Errorf("release deploys %v, %v", edges, err)
		}
	})
}

func wantFacts(t *testing.T, s *Service, want []string) {
	t.Helper()
	events, err := s.Log.Read(t.Context(), event.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, e.Type+" "+string(e.Subject))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

// seen is a pod as the cluster shows it.
func seen(uid, image string, ready bool, restarts int32) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-" + uid, Namespace: "shop", UID: types.UID(uid)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Image: "localhost:7080/shop/web@" + image}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{RestartCount: restarts}}},
	}
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return p
}

func TestPodsAreNoted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, _ := newService(db)
		note := func(p *corev1.Pod, gone bool) {
			t.Helper()
			if err := s.note(t.Context(), p, gone); err != nil {
				t.Fatal(err)
			}
		}
		facts := func() int {
			events, err := s.Log.Read(t.Context(), event.Query{Type: event.TypePodChanged})
			if err != nil {
				t.Fatal(err)
			}
			return len(events)
		}
		note(seen("early", digest, true, 0), false) // No environment has this namespace.
		ended(t, s, digest, Deployed, Pod{UID: "u1", Name: "web-u1", Images: []string{digest}, Ready: true})
		foreign := seen("u5", digest, true, 0)
		foreign.Spec.Containers = append(foreign.Spec.Containers, corev1.Container{Image: "registry.example.com/helper:1"})
		foreign.Status.ContainerStatuses = append(foreign.Status.ContainerStatuses, corev1.ContainerStatus{ImageID: "registry.example.com/helper@" + thirdDigest})
		steps := []struct {
			what string
			pod  *corev1.Pod
			gone bool
			more int // facts
		}{
			{"as it was", seen("u1", digest, true, 0), false, 0},
			{"restarted", seen("u1", digest, true, 1), false, 1},
			{"not ready", seen("u1", digest, false, 1), false, 1},
			{"a new one came", seen("u2", digest, true, 0), false, 1},
			{"the first went", seen("u1", digest, false, 1), true, 1},
			{"went again", seen("u1", digest, false, 1), true, 0},
			{"a stranger", seen("u3", thirdDigest, true, 0), false, 0},
			{"one with a foreign tag", foreign, false, 1},
		}
		for _, c := range steps {
			before := facts()
			note(c.pod, c.gone)
			if got := facts() - before; got != c.more {
				t.Errorf("%s: %d facts, want %d", c.what, got, c.more)
			}
		}
		begun(t, s, otherDigest)
		note(seen("u4", otherDigest, true, 0), false)
		if err := s.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := s.Environment(t.Context(), run, "shop", "production")
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, p := range got.Current.Pods {
			have = append(have, p.Name)
		}
		if diff := cmp.Diff([]string{"web-u2", "web-u5", "web-u1"}, have); diff != "" { // Those that are gone stand last.
			t.Errorf("pods of the current release (-want +got):\n%s", diff)
		}

		// While nobody watched, u2 went.
		if err := s.sweep(t.Context(), cache.NewStore(cache.MetaNamespaceKeyFunc)); err != nil {
			t.Fatal(err)
		}
		if got, err = s.Environment(t.Context(), run, "shop", "production"); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(got.Current.Pods, func(p Pod) bool { return !p.Gone || p.Ready }) {
			t.Errorf("after the sweep: %+v", got.Current.Pods)
		}
	})
}

func TestOwnerOf(t *testing.T) {
	release := func(n int64, result, image string) Release {
		return Release{Number: n, Result: result, Images: []string{"localhost:7080/shop/web@" + image}}
	}
	newest := []Release{release(4, Failed, otherDigest), release(3, Deployed, digest), release(2, RolledBack, digest), release(1, Deployed, digest)}
	for _, c := range []struct {
		name   string
		images []string
		want   int64 // 0: none
	}{
		{"OfTheCurrent", []string{digest}, 3},
		{"LeftByOneThatWasCutOff", []string{otherDigest}, 4},
		{"Strange", []string{thirdDigest}, 0},
		{"PartlyStrange", []string{digest, thirdDigest}, 0},
		{"WithoutDigests", nil, 3},
	} {
		got := int64(0)
		if r := ownerOf(newest, c.images); r != nil {
			got = r.Number
		}
		if got != c.want {
			t.Errorf("%s: release %d, want %d", c.name, got, c.want)
		}
	}
}

package deploy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// openPulls are the pull requests that are open, "shop/web#7".
type openPulls map[string]bool

func (o openPulls) Open(_ context.Context, repo string, number int64) (bool, error) {
	open, ok := o[fmt.Sprintf("%s#%d", repo, number)]
	if !ok {
		return false, fault.New(fault.NotFound, "There is no pull request %d.", number)
	}
	return open, nil
}

// reviewing is the job of a run of a pull request that deploys to a review app.
func reviewing(pull int64, environment string) identity.Actor {
	a := run
	a.Job.Repo, a.Job.Pull, a.Job.Environment = "shop/web", pull, environment
	return a
}

func newReviewed(t *testing.T, db *store.DB) (*Service, openPulls) {
	s, _ := newService(db)
	pulls := openPulls{"shop/web#7": true, "shop/web#8": true, "shop/web#9": false}
	s.Pulls = pulls
	for _, name := range []string{"review", "plain", "production"} {
		if _, err := s.CreateEnvironment(t.Context(), ada, "shop", name, ""); err != nil {
			t.Fatal(err)
		}
	}
	on := On
	if _, err := s.Edit(t.Context(), ada, "shop", "review", Change{ReviewApps: &on}); err != nil {
		t.Fatal(err)
	}
	return s, pulls
}

func TestD009ReviewApps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, _ := newReviewed(t, db)
		long := strings.Repeat("x", 60)
		for _, c := range []struct {
			name  string
			actor identity.Actor
			kind  fault.Kind
			says  string
		}{
			{"Made", reviewing(7, "review.web-pr-7"), "", "is made: namespace shop-review-web-pr-7"},
			{"ThereAlready", reviewing(7, "review.web-pr-7"), "", "is there"},
			{"ErrOfAnotherPull", reviewing(8, "review.web-pr-7"), fault.Conflict, "belongs to pull request 7"},
			{"ErrNotOptedIn", reviewing(7, "plain.web-pr-7"), fault.Denied, "--review-apps on"},
			{"ErrNoEnvironment", reviewing(7, "nowhere.web-pr-7"), fault.NotFound, "no environment nowhere"},
			{"ErrClosed", reviewing(9, "review.web-pr-9"), fault.Denied, "not open any more"},
			{"ErrNoPull", reviewing(10, "review.web-pr-10"), fault.NotFound, ""},
			{"ErrNoPullRequest", reviewing(0, "review.web-pr-7"), fault.Denied, "has no review app"},
			{"ErrEnvironmentItself", reviewing(7, "review"), fault.Denied, "has no review app"},
			{"ErrName", reviewing(7, "review.Web_7"), fault.Invalid, ""},
			{"ErrTooLong", reviewing(7, "review."+long), fault.Invalid, "63 characters"},
			{"ErrNoName", reviewing(7, "review."), fault.Invalid, ""},
		} {
			said := ""
			env, err := s.MakeReviewApp(t.Context(), c.actor, func(line string) { said += line })
			if err != nil {
				message, next := fault.Public(err)
				said = message + " " + next
			}
			if fault.KindOf(err) != c.kind || !strings.Contains(said, c.says) {
				t.Errorf("%s: %v, says %q", c.name, err, said)
			}
			if err == nil && (env.Namespace != "shop-review-web-pr-7" || env.Review == nil || env.Review.Pull != 7 || env.Review.Base != "review") {
				t.Errorf("%s: %+v", c.name, env)
			}
		}
		// Where its jobs may deploy to.
		for _, c := range []struct {
			name, namespace string
			actor           identity.Actor
			kind            fault.Kind
		}{
			{"Own", "", reviewing(7, "review.web-pr-7"), ""},
			{"Named", "shop-review-web-pr-7", reviewing(7, "review.web-pr-7"), ""},
			{"AsTheServiceNamesIt", "web-pr-7", reviewing(7, "review.web-pr-7"), ""},
			{"ErrBase", "shop-review", reviewing(7, "review.web-pr-7"), fault.Invalid},
			{"ErrForeign", "kube-system", reviewing(7, "review.web-pr-7"), fault.Invalid},
			{"ErrOfAnotherPull", "", reviewing(8, "review.web-pr-7"), fault.Conflict},
			{"ErrNotMade", "", reviewing(8, "review.web-pr-8"), fault.Conflict},
		} {
			env, err := s.ensure(t.Context(), c.actor, "shop", c.actor.Job.Environment, c.namespace)
			if fault.KindOf(err) != c.kind || err == nil && env.Namespace != "shop-review-web-pr-7" {
				t.Errorf("%s: %q, %v; want kind %q", c.name, env.Namespace, err, c.kind)
			}
		}
		if _, err := s.ensure(t.Context(), reviewing(7, "review.web-pr-7"), "shop", "review.other", ""); !fault.Is(err, fault.Denied) {
			t.Errorf("another review app than the job's: %v", err)
		}
		// Nobody else makes what looks like one.
		if _, err := s.CreateEnvironment(t.Context(), ada, "shop", "review.mine", ""); !fault.Is(err, fault.Invalid) {
			t.Errorf("an environment with a dot: %v", err)
		}
		list, err := s.Environments(t.Context(), ada, "shop")
		if err != nil || len(list) != 4 || list[3].Name != "review.web-pr-7" {
			t.Errorf("environments %+v, %v", list, err)
		}
	})
}

func TestReviewAppsHaveBounds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, pulls := newReviewed(t, db)
		quiet := func(string) {}
		for i := range maxOfPull {
			if _, err := s.MakeReviewApp(t.Context(), reviewing(7, fmt.Sprintf("review.web%d-pr-7", i)), quiet); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.MakeReviewApp(t.Context(), reviewing(7, "review.more-pr-7"), quiet); !fault.Is(err, fault.Conflict) {
			t.Errorf("one more of the pull request: %v", err)
		}
		for n := int64(100); n < 100+maxReviewApps-maxOfPull; n++ {
			pulls[fmt.Sprintf("shop/web#%d", n)] = true
			if _, err := s.MakeReviewApp(t.Context(), reviewing(n, fmt.Sprintf("review.web-pr-%d", n)), quiet); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.MakeReviewApp(t.Context(), reviewing(8, "review.web-pr-8"), quiet); !fault.Is(err, fault.Conflict) {
			t.Errorf("one more of the environment: %v", err)
		}
	})
}

func TestWhichEnvironmentsHaveReviewApps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, pulls := newReviewed(t, db)
		if _, err := s.MakeReviewApp(t.Context(), reviewing(7, "review.web-pr-7"), func(string) {}); err != nil {
			t.Fatal(err)
		}
		on, off := On, Off
		for name, kind := range map[string]fault.Kind{"production": fault.Invalid, "review.web-pr-7": fault.Invalid, "plain": ""} {
			if _, err := s.Edit(t.Context(), ada, "shop", name, Change{ReviewApps: &on}); fault.KindOf(err) != kind {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, c := range []struct {
			project, name string
			want          bool
		}{{"shop", "review", true}, {"shop", "production", false}, {"shop", "nowhere", false}, {"shop-x", "review", false}, {"shop", "review.web-pr-7", false}} {
			if got, err := s.ReviewApps(t.Context(), db, c.project, c.name); got != c.want || err != nil {
				t.Errorf("%s/%s: %t, %v", c.project, c.name, got, err)
			}
		}
		env, err := s.Environment(t.Context(), ada, "shop", "review.web-pr-7")
		if err != nil {
			t.Fatal(err)
		}
		over := func() string {
			why, err := s.overReview(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			return why
		}
		if why := over(); why != "" {
			t.Errorf("over while it is open: %s", why)
		}
		pulls["shop/web#7"] = false
		if why := over(); !strings.Contains(why, "pull request 7 is not open") {
			t.Errorf("merged: %q", why)
		}
		delete(pulls, "shop/web#7")
		if why := over(); !strings.Contains(why, "pull request 7 is not open") {
			t.Errorf("no such pull request: %q", why)
		}
		pulls["shop/web#7"] = true
		if _, err := s.Edit(t.Context(), ada, "shop", "review", Change{ReviewApps: &off}); err != nil {
			t.Fatal(err)
		}
		if why := over(); !strings.Contains(why, "has no review apps any more") {
			t.Errorf("turned off: %q", why)
		}
		if _, err := s.ensure(t.Context(), reviewing(7, "review.web-pr-7"), "shop", "review.web-pr-7", ""); !fault.Is(err, fault.Denied) {
			t.Errorf("deploying after it was turned off: %v", err)
		}
		// Without the cluster it does not end, and stays known.
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := s.sweepReviews(ctx); !fault.Is(err, fault.Unavailable) {
			t.Errorf("sweeping without a cluster: %v", err)
		}
		bob := identity.Actor{Kind: identity.KindUser, Name: "bob"}
		if _, err := s.EndReviewApp(ctx, bob, "shop", "review.web-pr-7"); !fault.Is(err, fault.Denied) {
			t.Errorf("a reader ends it: %v", err)
		}
		if _, err := s.EndReviewApp(ctx, ada, "shop", "review"); !fault.Is(err, fault.Invalid) {
			t.Errorf("ending what is no review app: %v", err)
		}
	})
}

func TestOwnNamespaceIsLeftOut(t *testing.T) {
	object := func(kind, name string) map[string]any {
		return map[string]any{"kind": kind, "metadata": map[string]any{"name": name}}
	}
	review := Environment{Name: "review.web-pr-7", Namespace: "shop-review-web-pr-7", Review: &Review{Base: "review"}}
	plain := Environment{Name: "production", Namespace: "shop"}
	for _, c := range []struct {
		name string
		env  Environment
		kind string
		of   string
		left bool
	}{
		{"its own", plain, "Namespace", "shop", true},
		{"another kind", plain, "ConfigMap", "shop", false},
		{"a foreign one", plain, "Namespace", "kube-system", false},
		{"by its resource", review, "Namespace", "web-pr-7", true},
		{"its base's", review, "Namespace", "shop-review", false},
	} {
		if got := c.env.owns(object(c.kind, c.of)); got != c.left || c.env.owns(object("Service", "web")) {
			t.Errorf("%s: owned %t, want %t", c.name, got, c.left)
		}
	}
}

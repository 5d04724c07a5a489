package engine_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"

	"towpath.dev/towpath/internal/policy/rule"
)

func whole(change func(*rule.Exemption)) rule.Exemption {
	e := rule.Exemption{Name: "x", Assignment: "baseline", Category: rule.Waiver, Scope: rule.Scope{Kind: rule.Platform}}
	change(&e)
	return e
}

func TestExemptions(t *testing.T) {
	tests := []struct {
		name   string
		exempt func(*rule.Exemption)
		want   string
	}{
		{"everything", func(*rule.Exemption) {}, rule.Exempt},
		{"another assignment", func(e *rule.Exemption) { e.Assignment = "restricted" }, rule.Denied},
		{"the rule", func(e *rule.Exemption) { e.References = []string{"nopriv-cel"} }, rule.Exempt},
		{"another rule", func(e *rule.Exemption) { e.References = []string{"seccomp"} }, rule.Denied},
		{"until later", func(e *rule.Exemption) { e.Expires = noon.Add(time.Second) }, rule.Exempt},
		{"until now", func(e *rule.Exemption) { e.Expires = noon }, rule.Denied},
		{"until before", func(e *rule.Exemption) { e.Expires = noon.Add(-time.Hour) }, rule.Denied},
		{"the project", func(e *rule.Exemption) { e.Scope = rule.Scope{Kind: rule.Project, Name: "shop"} }, rule.Exempt},
		{"another project", func(e *rule.Exemption) { e.Scope = rule.Scope{Kind: rule.Project, Name: "blog"} }, rule.Denied},
		{"a scope that is none", func(e *rule.Exemption) { e.Scope = rule.Scope{} }, rule.Denied},
		{"the object", func(e *rule.Exemption) { e.Objects = []rule.ObjectRef{{Kind: "Pod", Namespace: "shop", Name: "cart"}} }, rule.Exempt},
		{"every pod there", func(e *rule.Exemption) { e.Objects = []rule.ObjectRef{{Kind: "Pod", Namespace: "shop"}} }, rule.Exempt},
		{"another object", func(e *rule.Exemption) { e.Objects = []rule.ObjectRef{{Kind: "Pod", Namespace: "shop", Name: "car"}} }, rule.Denied},
		{"the name elsewhere", func(e *rule.Exemption) { e.Objects = []rule.ObjectRef{{Kind: "Pod", Namespace: "blog", Name: "cart"}} }, rule.Denied},
		{"no namespace", func(e *rule.Exemption) { e.Objects = []rule.ObjectRef{{Kind: "Pod", Name: "cart"}} }, rule.Denied},
		{"the kind of another group", func(e *rule.Exemption) {
			e.Objects = []rule.ObjectRef{{Group: "apps", Kind: "Pod", Namespace: "shop", Name: "cart"}}
		}, rule.Denied},
	}
	for _, tt := range tests {
		s := compile(t, []rule.Rule{base(t, "nopriv-cel")}, whole(tt.exempt))
		v := judge(t, s, review(t, "shop", privileged))
		if got := outcome(t, v); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if len(v[0].Violations) != 1 || v[0].Refuses != (tt.want == rule.Denied) || (v[0].Exemption == "x") != (tt.want == rule.Exempt) {
			t.Errorf("%s: an exempt object must be judged all the same: %+v", tt.name, v)
		}
	}
}

// owned is a privileged pod of a controller.
func owned(group, kind, name, labels string) string {
	meta := fmt.Sprintf("{name: p, labels: {%s}, ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: u, controller: true}]}", labels, group, kind, name)
	return strings.Replace(privileged, "{name: cart}", meta, 1)
}

func TestWorkloadStandsForItsPods(t *testing.T) {
	deployment := rule.ObjectRef{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "cart"}
	hash := "pod-template-hash: 5d8f"
	tests := []struct {
		name string
		ref  rule.ObjectRef
		pod  string
		want string
	}{
		{"its replica set", deployment, owned("apps/v1", "ReplicaSet", "cart-5d8f", hash), rule.Exempt},
		{"the replica set by itself", rule.ObjectRef{Group: "apps", Kind: "ReplicaSet", Namespace: "shop", Name: "cart-5d8f"}, owned("apps/v1", "ReplicaSet", "cart-5d8f", hash), rule.Exempt},
		{"any deployment", rule.ObjectRef{Group: "apps", Kind: "Deployment", Namespace: "shop"}, owned("apps/v1", "ReplicaSet", "cart-5d8f", hash), rule.Exempt},
		{"a longer name", deployment, owned("apps/v1", "ReplicaSet", "cart-x-5d8f", hash), rule.Denied},
		{"another hash", deployment, owned("apps/v1", "ReplicaSet", "cart-5d8f", "pod-template-hash: 77"), rule.Denied},
		{"no hash", deployment, owned("apps/v1", "ReplicaSet", "cart-5d8f", "app: cart"), rule.Denied},
		{"a hash that is part of the name", deployment, owned("apps/v1", "ReplicaSet", "cart-x-5d8f", "pod-template-hash: x-5d8f"), rule.Denied},
		{"a replica set of another group", deployment, owned("evil.dev/v1", "ReplicaSet", "cart-5d8f", hash), rule.Denied},
		{"no owner", deployment, privileged, rule.Denied},
		{"a job of the cron job", rule.ObjectRef{Group: "batch", Kind: "CronJob", Namespace: "shop", Name: "nightly"}, owned("batch/v1", "Job", "nightly-29012345", ""), rule.Exempt},
		{"a job that is named like it", rule.ObjectRef{Group: "batch", Kind: "CronJob", Namespace: "shop", Name: "nightly"}, owned("batch/v1", "Job", "nightly-extra", ""), rule.Denied},
		{"a stateful set", rule.ObjectRef{Group: "apps", Kind: "StatefulSet", Namespace: "shop", Name: "db"}, owned("apps/v1", "StatefulSet", "db", ""), rule.Exempt},
	}
	for _, tt := range tests {
		s := compile(t, []rule.Rule{base(t, "nopriv-cel")}, whole(func(e *rule.Exemption) { e.Objects = []rule.ObjectRef{tt.ref} }))
		if got := outcome(t, judge(t, s, review(t, "shop", tt.pod))); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	s := compile(t, []rule.Rule{with(base(t, "nopriv-cel"), func(r *rule.Rule) { r.Source = rule.All })}, whole(func(e *rule.Exemption) { e.Objects = []rule.ObjectRef{deployment} }))
	if got := outcome(t, judge(t, s, review(t, "shop", workload("apps/v1", "Deployment", "cart")))); got != rule.Exempt {
		t.Errorf("the deployment itself: %s", got)
	}
}

// Whoever may make pods could say that the exempt workload made them.
func TestWorkloadStandsForNoForgedPods(t *testing.T) {
	s := compile(t, []rule.Rule{base(t, "nopriv-cel")}, whole(func(e *rule.Exemption) {
		e.Objects = []rule.ObjectRef{{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "cart"}}
	}))
	made := owned("apps/v1", "ReplicaSet", "cart-5d8f", "pod-template-hash: 5d8f")
	debug := strings.Replace(owned("apps/v1", "ReplicaSet", "cart-5d8f", "pod-template-hash: 5d8f"), "spec: {", "spec: {ephemeralContainers: [{name: d, image: a, securityContext: {privileged: true}}], ", 1)
	tests := []struct {
		name, operation, user, object, old, want string
	}{
		{"made by the controller", "CREATE", "system:serviceaccount:kube-system:replicaset-controller", made, "", rule.Exempt},
		{"made by the controller manager", "CREATE", "system:kube-controller-manager", made, "", rule.Exempt},
		{"made by a person", "CREATE", "ada", made, "", rule.Denied},
		{"made by another controller", "CREATE", "system:serviceaccount:kube-system:job-controller", made, "", rule.Denied},
		{"made by a namesake elsewhere", "CREATE", "system:serviceaccount:shop:replicaset-controller", made, "", rule.Denied},
		{"changed by a person", "UPDATE", "ada", made, made, rule.Exempt},
		{"made its pod by a change", "UPDATE", "ada", made, privileged, rule.Denied},
		{"a container added to it", "UPDATE", "ada", debug, made, rule.Denied},
		{"at rest", "", "", made, "", rule.Exempt},
		{"at rest with a container added to it", "", "", debug, "", rule.Denied},
	}
	for _, tt := range tests {
		r := review(t, "shop", tt.object)
		r.Operation, r.User = tt.operation, authenticationv1.UserInfo{Username: tt.user}
		if tt.old != "" {
			r.Old = object(t, tt.old)
		}
		if got := outcome(t, judge(t, s, r)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// What a set of exemptions allows is exactly what one of them allows alone: parts of two
// never add up. Each part that is added to an exemption takes away.
func TestExemptionsAreIntersections(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	random := func(i int) rule.Exemption {
		e := rule.Exemption{Name: fmt.Sprint(i), Assignment: pick("baseline", "baseline", "other"), Scope: rule.Scope{Kind: rule.Platform}}
		switch rnd.IntN(4) {
		case 0:
			e.Scope = rule.Scope{Kind: rule.Project, Name: pick("shop", "blog")}
		case 1:
			e.Scope = rule.Scope{Kind: rule.Environment, Name: pick("shop/production", "shop/dev")}
		}
		if rnd.IntN(2) == 0 {
			e.References = []string{pick("nopriv-cel", "nopriv-rego")}
		}
		if rnd.IntN(3) == 0 {
			e.Expires = noon.Add(time.Duration(rnd.IntN(3)-1) * time.Hour)
		}
		if rnd.IntN(2) == 0 {
			e.Objects = []rule.ObjectRef{{Kind: pick("Pod", "Deployment"), Namespace: pick("shop", "blog"), Name: pick("cart", "web", "")}}
		}
		return e
	}
	rules := []rule.Rule{base(t, "nopriv-cel"), base(t, "nopriv-rego")}
	set := compile(t, rules)
	r := review(t, "shop", privileged)
	exempt := func(es ...rule.Exemption) (out [2]bool) {
		t.Helper()
		s, err := set.With(es, set.Places())
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range judge(t, s, r) {
			out[i] = v.Outcome == rule.Exempt
		}
		return out
	}
	hits := 0
	for i := range 300 {
		a, b := random(2*i), random(2*i+1)
		ofA, ofB, both := exempt(a), exempt(b), exempt(a, b)
		narrow := a
		narrow.References, narrow.Objects = b.References, b.Objects
		if len(a.References) > 0 {
			narrow.References = a.References
		}
		if len(a.Objects) > 0 {
			narrow.Objects = a.Objects
		}
		narrower := exempt(narrow)
		for j := range both {
			if both[j] {
				hits++
			}
			if both[j] != (ofA[j] || ofB[j]) {
				t.Fatalf("%+v and %+v together: %v, alone %v, %v", a, b, both, ofA, ofB)
			}
			if narrower[j] && !ofA[j] {
				t.Fatalf("%+v allows what %+v does not", narrow, a)
			}
		}
	}
	if hits == 0 {
		t.Error("nothing was ever exempt: the test tests nothing")
	}
}

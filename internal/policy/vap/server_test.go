package vap_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"

	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/policy/vap"
)

// server is the API server's own plugin for ValidatingAdmissionPolicies with pairs in it.
type server struct {
	stop    func()
	plugin  *validating.Plugin
	objects admission.ObjectInterfaces
}

// newServer starts the plugin; it is ready when this returns.
func newServer(t testing.TB, pairs []vap.Pair, namespaces ...string) *server {
	t.Helper()
	var objects []runtime.Object
	for _, n := range namespaces {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n, Labels: map[string]string{"kubernetes.io/metadata.name": n}}})
	}
	for _, p := range pairs {
		objects = append(objects, p.Policy, p.Binding)
	}
	plugin, err := validating.NewPlugin(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	ctx, cancel := context.WithCancel(context.Background())
	mapper := meta.NewDefaultRESTMapper(nil)
	initializer.New(client, dynamicfake.NewSimpleDynamicClient(scheme.Scheme), factory, authorizerfactory.NewAlwaysAllowAuthorizer(),
		utilfeature.DefaultFeatureGate, compatibility.DefaultBuildEffectiveVersion(), ctx.Done(), mapper).Initialize(plugin)
	plugin.SetRESTMapper(mapper)
	if err := plugin.ValidateInitialization(); err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	if !plugin.WaitForReady() {
		t.Fatal("the plugin did not become ready")
	}
	return &server{plugin: plugin, stop: func() { cancel(); factory.Shutdown() }, objects: equivalents{admission.NewObjectInterfacesFromScheme(scheme.Scheme), runtime.NewEquivalentResourceRegistry()}}
}

type equivalents struct {
	admission.ObjectInterfaces
	mapper runtime.EquivalentResourceMapper
}

func (e equivalents) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper { return e.mapper }

// request is what a client asks of the API server.
type request struct {
	object, old runtime.Object
	namespace   string
	sub         string
	operation   admission.Operation
	user        string
}

// ask returns the API server's refusal, nil when it admits.
func (s *server) ask(t testing.TB, r request) error {
	t.Helper()
	any := r.object
	if any == nil {
		any = r.old
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(any)
	if err != nil {
		t.Fatal(err)
	}
	gvk := kinds[0]
	res, ok := vap.Builtin(gvk.GroupKind())
	if !ok {
		t.Fatalf("%s is not known", gvk)
	}
	m, err := meta.Accessor(any)
	if err != nil {
		t.Fatal(err)
	}
	a := admission.NewAttributesRecord(bare(r.object), bare(r.old), gvk, r.namespace, m.GetName(), schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: res.Plural},
		r.sub, r.operation, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: r.user})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return s.plugin.Validate(ctx, a, s.objects)
}

// bare takes kind and version away, as the API server's decoder does with typed objects: it
// is the plugin that must give them to programs.
func bare(o runtime.Object) runtime.Object {
	if o == nil {
		return nil
	}
	o = o.DeepCopyObject()
	o.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return o
}

// emit writes rules for the cluster "embedded".
func emit(t testing.TB, rules []rule.Rule, exemptions []rule.Exemption, places []rule.Place, now time.Time) []vap.Pair {
	t.Helper()
	pairs, skipped, err := vap.Emit(rules, exemptions, vap.Options{Cluster: "embedded", Places: places, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range skipped {
		if s.Rule.Template.Engine == rule.CEL {
			t.Logf("rule %s of %s was skipped: %s", s.Rule.Reference, s.Rule.Assignment, s.Why)
		}
	}
	return pairs
}

package enforce

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/vap"
)

// key names one of our objects in the cluster.
type key struct {
	kind schema.GroupVersionResource
	name string
}

// wanted is an object as it is to be.
type wanted struct {
	key
	object *unstructured.Unstructured
}

// plan is everything that a set asks for, in the order in which it is written.
type plan struct {
	owner    string
	objects  []wanted
	policies int
	skipped  []Skipped
	expiry   time.Duration // until an exemption ends, 0 for never
}

// kinds returns the kinds of our objects: a policy before what binds it.
func kinds() []schema.GroupVersionResource {
	of := admissionv1.SchemeGroupVersion.WithResource
	return []schema.GroupVersionResource{
		of("validatingadmissionpolicies"), of("validatingadmissionpolicybindings"), of("validatingwebhookconfigurations"),
	}
}

// plan works out what the set asks of the cluster.
func (s *Sync) plan(d discovery.DiscoveryInterface, set *engine.Set, now time.Time) (plan, error) {
	served, err := resources(d)
	if err != nil {
		return plan{}, err
	}
	find := func(gk schema.GroupKind) (vap.Resource, bool) { r, ok := served[gk]; return r, ok }
	pairs, skipped, err := vap.Emit(set.Rules(), set.Exemptions(), vap.Options{
		Cluster: s.name, Owner: s.Owner, Places: set.Places(), Now: now, KindResources: find,
	})
	if err != nil {
		return plan{}, fmt.Errorf("writing rules as ValidatingAdmissionPolicies: %w", err)
	}
	p := plan{owner: s.Owner, policies: len(pairs), skipped: make([]Skipped, 0, len(skipped))}
	for _, k := range skipped {
		p.skipped = append(p.skipped, Skipped{Assignment: k.Rule.Assignment, Rule: k.Rule.Reference, Why: k.Why})
	}
	var add errorsOf
	of := kinds()
	for _, pair := range pairs {
		p.add(&add, of[0], "ValidatingAdmissionPolicy", pair.Policy.Name, pair.Policy)
	}
	for _, pair := range pairs {
		p.add(&add, of[1], "ValidatingAdmissionPolicyBinding", pair.Binding.Name, pair.Binding)
	}
	if s.endpoint.URL != "" {
		c := configuration(s.endpoint, set.Kinds(), find)
		p.add(&add, of[2], "ValidatingWebhookConfiguration", c.Name, c)
	}
	for _, e := range set.Exemptions() {
		if left := e.Expires.Sub(now); !e.Expires.IsZero() && left > 0 && (p.expiry == 0 || left < p.expiry) {
			p.expiry = left
		}
	}
	return p, errors.Join(add...)
}

type errorsOf []error

// add converts a typed object to what is applied: without the fields that the API server
// sets.
func (p *plan) add(problems *errorsOf, resource schema.GroupVersionResource, kind, name string, object any) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		*problems = append(*problems, fmt.Errorf("encoding %s %s: %w", kind, name, err))
		return
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetAPIVersion(admissionv1.SchemeGroupVersion.String())
	u.SetKind(kind)
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	delete(content, "status")
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[vap.Managed] = vap.Mark(p.owner)
	u.SetLabels(labels)
	p.objects = append(p.objects, wanted{key{resource, name}, u})
}

// resources asks the API server which kinds it serves, with those subresources that carry
// the object itself.
func resources(d discovery.DiscoveryInterface) (map[schema.GroupKind]vap.Resource, error) {
	_, lists, err := d.ServerGroupsAndResources()
	// Groups of an aggregated API server that is down are missing; no rule of ours may
	// depend on it.
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("asking the cluster for its kinds: %w", err)
	}
	out := map[schema.GroupKind]vap.Resource{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("parsing the group %q: %w", l.GroupVersion, err)
		}
		for _, r := range l.APIResources {
			note(out, gv, r)
		}
	}
	for gk, r := range out {
		slices.Sort(r.Subresources)
		r.Subresources = slices.Compact(r.Subresources)
		out[gk] = r
	}
	return out, nil
}

func note(out map[schema.GroupKind]vap.Resource, gv schema.GroupVersion, r metav1.APIResource) {
	plural, sub, _ := strings.Cut(r.Name, "/")
	gk := schema.GroupKind{Group: cmp.Or(r.Group, gv.Group), Kind: r.Kind}
	if gk.Group != gv.Group || sub == "status" {
		return // "pods/eviction" is a kind of another group; a status is not judged
	}
	known := out[gk]
	if known.Plural != "" && known.Plural != plural && sub == "" {
		return
	}
	known.Group = gv.Group
	if sub == "" {
		known.Plural, known.Namespaced = plural, r.Namespaced
		known.Versions = append(known.Versions, gv.Version)
	} else if known.Plural == plural {
		known.Subresources = append(known.Subresources, sub)
	}
	out[gk] = known
}

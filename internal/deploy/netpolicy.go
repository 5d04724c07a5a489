package deploy

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"towpath.dev/towpath/internal/deploy/route"
)

// Labels of the pods of developers' sessions, as package dev/kube sets them: the session's
// id, and the service that it stands in for.
const (
	sessionLabel   = "towpath.dev/session"
	sessionOfLabel = "towpath.dev/session-of"
)

// policed is what the network policies of a routed namespace are derived from. The reasons
// are in docs/adr/0018.
type policed struct {
	namespace string
	labels    map[string]string            // of the namespace
	owners    []networkingv1.NetworkPolicy // what others than the platform wrote, by name
	services  []policedService             // by name
	api       []networkingv1.NetworkPolicyPeer
	apiPorts  []networkingv1.NetworkPolicyPort
}

// policedService is a routed service with the pods behind it.
type policedService struct {
	name     string
	selector map[string]string // of its pods, whatever their track
	ports    []policedPort
	shapes   []podShape // one for each Deployment
}

// policedPort is one port: where the router listens for it, and where the pods do.
type policedPort struct {
	listen int
	target intstr.IntOrString
}

// podShape is what policies see of a Deployment's pods.
type podShape struct {
	labels labels.Set
	ports  []corev1.ContainerPort
}

// derive returns the platform's policies of a namespace, by name, and the services whose
// callers they cannot admit exactly and therefore keep out, with the reason.
//
// Where no owner's policy is in force there is none for the router either: a policy isolates
// whom it selects.
func (p policed) derive() (list []*networkingv1.NetworkPolicy, closed []Unrouted) {
	list = append(list, p.sessions()...)
	if len(p.owners) == 0 {
		return list, nil
	}
	router := p.policy(routerName, metav1.LabelSelector{MatchLabels: routerLabels()}, networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress)
	router.Spec.Ingress = append(router.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: p.api, Ports: tcp(routerAdmin)})
	if len(p.api) == 0 {
		router.Spec.Ingress = nil // without a peer the rule would admit everybody
	}
	router.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{
		resolver(), {To: p.api, Ports: p.apiPorts},
		{To: []networkingv1.NetworkPolicyPeer{podsWith(sessionLabel)}},
	}
	if len(p.api) == 0 {
		router.Spec.Egress = slices.Delete(router.Spec.Egress, 1, 2)
	}
	for _, s := range p.services {
		admitted, isolated, why := p.callers(s)
		if why != "" {
			closed = append(closed, Unrouted{Service: s.name, Why: why})
			continue
		}
		router.Spec.Ingress = append(router.Spec.Ingress, admitted...)
		router.Spec.Egress = append(router.Spec.Egress, networkingv1.NetworkPolicyEgressRule{
			To: []networkingv1.NetworkPolicyPeer{{PodSelector: s.pods()}}, Ports: s.targets(),
		})
		if !isolated {
			continue
		}
		behind := p.policy(routedPolicy+"-"+s.name, *s.pods(), networkingv1.PolicyTypeIngress)
		behind.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{routerPods()}, Ports: s.targets()}}
		list = append(list, behind)
	}
	list = append(list, router)
	return append(list, p.leaving()...), closed
}

// callers returns the ingress rules of the router that admit, at the ports of a service,
// whom its pods admit at theirs, and whether they are isolated at all. Why is not empty when
// that cannot be told for all of its pods alike.
func (p policed) callers(s policedService) (rules []networkingv1.NetworkPolicyIngressRule, isolated bool, why string) {
	set, alike := p.isolation(s, networkingv1.PolicyTypeIngress)
	if !alike {
		return nil, false, "network policies select some of its pods and not others, so nobody is let through the router to it"
	}
	if len(set) == 0 {
		return []networkingv1.NetworkPolicyIngressRule{{Ports: s.listens()}}, false, ""
	}
	if name := p.leak(s, set); name != "" {
		return nil, true, fmt.Sprintf("network policy %s opens the router to callers whom the pods do not admit, so the router is not let through to them", name)
	}
	for _, i := range set {
		for _, rule := range p.owners[i].Spec.Ingress {
			ports := s.covered(rule.Ports)
			if len(ports) == 0 {
				continue
			}
			from := slices.Clone(rule.From)
			if len(from) > 0 {
				from = append(from, p.standIns(rule.From)...)
			}
			rules = append(rules, networkingv1.NetworkPolicyIngressRule{From: from, Ports: ports})
		}
	}
	return rules, true, ""
}

// leak names an owner's policy that selects the router's pods and admits somebody at a port
// of the service, without being one that admits the same at the service's own pods.
func (p policed) leak(s policedService, set []int) string {
	router := labels.Set(routerLabels())
	for i, owner := range p.owners {
		if !isolates(owner, networkingv1.PolicyTypeIngress) || !selects(&owner.Spec.PodSelector, router) {
			continue
		}
		for _, rule := range owner.Spec.Ingress {
			for _, port := range s.ports {
				at := policedService{ports: []policedPort{port}, shapes: s.shapes}
				if coversNumber(rule.Ports, port.listen, nil) && (!slices.Contains(set, i) || len(at.covered(rule.Ports)) == 0) {
					return owner.Name
				}
			}
		}
	}
	return ""
}

// leaving returns, for each owner's policy that lets pods out to the pods of routed services,
// the policy that lets the same pods out to the router's ports for them. It selects whom the
// owner's selects, who is isolated already.
func (p policed) leaving() (list []*networkingv1.NetworkPolicy) {
	for _, owner := range p.owners {
		if !isolates(owner, networkingv1.PolicyTypeEgress) {
			continue
		}
		if ports := p.reached(owner.Spec.Egress); len(ports) > 0 {
			out := p.policy(egressName(owner.Name), owner.Spec.PodSelector, networkingv1.PolicyTypeEgress)
			out.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{routerPods()}, Ports: ports}}
			list = append(list, out)
		}
	}
	return list
}

// sessions returns what lets the pods of sessions out: where the pods of the service that
// they stand in for may go, and the router's ports for routed services among it. Those of a
// service whose pods nobody isolates reach the namespace and the resolver, and nothing else.
func (p policed) sessions() (list []*networkingv1.NetworkPolicy) {
	var free []string
	for _, s := range p.services {
		set, alike := p.isolation(s, networkingv1.PolicyTypeEgress)
		switch {
		case !alike:
			continue // no way out is the only one that is right for all of its pods
		case len(set) == 0:
			free = append(free, s.name)
			continue
		}
		out := p.policy(sessionsPolicy+"-"+s.name, metav1.LabelSelector{MatchLabels: map[string]string{sessionOfLabel: s.name}}, networkingv1.PolicyTypeEgress)
		for _, i := range set {
			out.Spec.Egress = append(out.Spec.Egress, p.owners[i].Spec.Egress...)
			if ports := p.reached(p.owners[i].Spec.Egress); len(ports) > 0 {
				out.Spec.Egress = append(out.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{routerPods()}, Ports: ports})
			}
		}
		list = append(list, out)
	}
	if len(free) == 0 {
		return list
	}
	out := p.policy(sessionsPolicy, metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: sessionOfLabel, Operator: metav1.LabelSelectorOpIn, Values: free},
	}}, networkingv1.PolicyTypeEgress)
	out.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}}, resolver()}
	return append(list, out)
}

// standIns are the sessions' pods of services whose own pods are all among the peers.
func (p policed) standIns(peers []networkingv1.NetworkPolicyPeer) (list []networkingv1.NetworkPolicyPeer) {
	for _, s := range p.services {
		if p.amongAll(s, peers) {
			list = append(list, networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{sessionOfLabel: s.name}}})
		}
	}
	return list
}

// reached are the router's ports for what egress rules let out to pods of routed services.
func (p policed) reached(rules []networkingv1.NetworkPolicyEgressRule) (ports []networkingv1.NetworkPolicyPort) {
	for _, s := range p.services {
		for _, port := range s.ports {
			at := policedService{ports: []policedPort{port}, shapes: s.shapes}
			if slices.ContainsFunc(rules, func(r networkingv1.NetworkPolicyEgressRule) bool {
				return (len(r.To) == 0 || p.amongAll(s, r.To)) && len(at.covered(r.Ports)) > 0
			}) {
				ports = append(ports, tcp(port.listen)...)
			}
		}
	}
	return ports
}

// amongAll reports whether all pods of a service are peers. Blocks of addresses do not
// count: which pods are in one changes with each rollout.
func (p policed) amongAll(s policedService, peers []networkingv1.NetworkPolicyPeer) bool {
	return len(s.shapes) > 0 && !slices.ContainsFunc(s.shapes, func(shape podShape) bool {
		return !slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
			return peer.IPBlock == nil && (peer.NamespaceSelector == nil || selects(peer.NamespaceSelector, p.labels)) &&
				(peer.PodSelector == nil || selects(peer.PodSelector, shape.labels))
		})
	})
}

// isolation returns the owners' policies that select the pods of a service for a direction,
// as indexes, and whether they are the same for all of its pods. A service without pods has
// none that are known.
func (p policed) isolation(s policedService, direction networkingv1.PolicyType) (set []int, alike bool) {
	for n, shape := range s.shapes {
		var here []int
		for i, owner := range p.owners {
			if isolates(owner, direction) && selects(&owner.Spec.PodSelector, shape.labels) {
				here = append(here, i)
			}
		}
		if n > 0 && !slices.Equal(set, here) {
			return nil, false
		}
		set = here
	}
	return set, len(s.shapes) > 0
}

func isolates(policy networkingv1.NetworkPolicy, direction networkingv1.PolicyType) bool {
	if len(policy.Spec.PolicyTypes) == 0 {
		return direction == networkingv1.PolicyTypeIngress || len(policy.Spec.Egress) > 0
	}
	return slices.Contains(policy.Spec.PolicyTypes, direction)
}

// selects tells whether a selector of an object that the API server took matches labels.
func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(set)
}

// covered are the router's ports for those ports of a service whose target is among ports
// for all of its pods.
func (s policedService) covered(ports []networkingv1.NetworkPolicyPort) (out []networkingv1.NetworkPolicyPort) {
	for _, port := range s.ports {
		if !slices.ContainsFunc(s.shapes, func(shape podShape) bool {
			number, known := shape.number(port.target)
			return !known || !coversNumber(ports, number, shape.ports)
		}) {
			out = append(out, tcp(port.listen)...)
		}
	}
	return out
}

// number is the port of a pod that a Service's target port stands for.
func (shape podShape) number(target intstr.IntOrString) (int, bool) {
	if target.Type == intstr.Int {
		return int(target.IntVal), true
	}
	for _, p := range shape.ports {
		if p.Name == target.StrVal {
			return int(p.ContainerPort), true
		}
	}
	return 0, false
}

// coversNumber tells whether a rule's ports have a TCP port of a pod that gives names to
// some; no ports are all.
func coversNumber(ports []networkingv1.NetworkPolicyPort, number int, names []corev1.ContainerPort) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		switch {
		case p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP:
			return false
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			return slices.ContainsFunc(names, func(c corev1.ContainerPort) bool {
				return c.Name == p.Port.StrVal && int(c.ContainerPort) == number && (c.Protocol == "" || c.Protocol == corev1.ProtocolTCP)
			})
		case p.EndPort != nil:
			return p.Port.IntValue() <= number && number <= int(*p.EndPort)
		}
		return p.Port.IntValue() == number
	})
}

// pods selects the pods of a service, those of every track.
func (s policedService) pods() *metav1.LabelSelector {
	return &metav1.LabelSelector{
		MatchLabels:      maps.Clone(s.selector),
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: route.Label, Operator: metav1.LabelSelectorOpExists}},
	}
}

// targets are the ports of a service's pods.
func (s policedService) targets() (out []networkingv1.NetworkPolicyPort) {
	protocol := corev1.ProtocolTCP
	for _, port := range s.ports {
		target := port.target
		if !slices.ContainsFunc(out, func(p networkingv1.NetworkPolicyPort) bool { return *p.Port == target }) {
			out = append(out, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &target})
		}
	}
	return out
}

// listens are the router's ports for a service.
func (s policedService) listens() (out []networkingv1.NetworkPolicyPort) {
	for _, port := range s.ports {
		out = append(out, tcp(port.listen)...)
	}
	return out
}

func tcp(number int) []networkingv1.NetworkPolicyPort {
	protocol, port := corev1.ProtocolTCP, intstr.FromInt(number)
	return []networkingv1.NetworkPolicyPort{{Protocol: &protocol, Port: &port}}
}

// resolver admits cluster DNS.
func resolver() networkingv1.NetworkPolicyEgressRule {
	udp, port := corev1.ProtocolUDP, intstr.FromInt32(53)
	return networkingv1.NetworkPolicyEgressRule{
		To: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "kube-system"}},
		}},
		Ports: append(tcp(53), networkingv1.NetworkPolicyPort{Protocol: &udp, Port: &port}),
	}
}

// routerLabels are the labels of the router's pods that policies of others may select by.
func routerLabels() map[string]string {
	return map[string]string{routerApp: routerName, managedBy: "towpath"}
}

func routerPods() networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{routerApp: routerName}}}
}

func podsWith(label string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: label, Operator: metav1.LabelSelectorOpExists}}}}
}

// egressName names the policy that leads out to the router beside an owner's.
func egressName(owner string) string {
	const longest = 200
	if len(owner) > longest {
		owner = fmt.Sprintf("%x", sha256.Sum256([]byte(owner)))
	}
	return egressPolicy + "-" + owner
}

func (p policed) policy(name string, pods metav1.LabelSelector, types ...networkingv1.PolicyType) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name, Labels: map[string]string{managedBy: "towpath", policyLabel: policyRouting}},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: pods, PolicyTypes: types},
	}
}

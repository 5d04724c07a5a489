package netpolicy

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Sources are the objects that a Ruleset is made from. They are not changed.
type Sources struct {
	Policies   []*networkingv1.NetworkPolicy
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
}

const (
	dnsNamespace = "kube-system"
	dnsPort      = 53
	lastPort     = 65535
)

// dnsLabels are what cluster DNS is selected by on every cluster.
var dnsLabels = labels.Set{"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}

// endpoint is a pod with the one address that it has.
type endpoint struct {
	address netip.Addr
	pod     *corev1.Pod
}

// compiler holds the sources of one compilation, by what they are looked up by.
type compiler struct {
	node       Node
	endpoints  []endpoint // in the order of their addresses
	namespaces map[string]labels.Set
}

// Compile resolves the policies of a cluster. Pods that have ended, have no address yet or are of the host's network are left
// out.
func Compile(node Node, s Sources) Ruleset {
	c := compiler{node: node, endpoints: endpoints(s.Pods), namespaces: map[string]labels.Set{dnsNamespace: {corev1.LabelMetadataName: dnsNamespace}}}
	for _, namespace := range s.Namespaces {
		c.namespaces[namespace.Name] = namespace.Labels
	}
	policies := slices.Clone(s.Policies)
	slices.SortFunc(policies, func(a, b *networkingv1.NetworkPolicy) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	rules := Ruleset{Node: node, Ingress: Direction{Pods: map[netip.Addr][]int{}}, Egress: Direction{Pods: map[netip.Addr][]int{}}}
	for _, policy := range policies {
		selected := c.selected(policy)
		if len(selected) == 0 {
			continue
		}
		name := policy.Namespace + "/" + policy.Name
		ingress, egress := directions(policy)
		if ingress {
			made := Policy{Name: name}
			for _, rule := range policy.Spec.Ingress {
				made.Rules = append(made.Rules, c.rule(policy.Namespace, rule.From, rule.Ports, selected))
			}
			rules.Ingress.add(made, selected)
		}
		if egress {
			made := Policy{Name: name}
			for _, rule := range policy.Spec.Egress {
				out := c.rule(policy.Namespace, rule.To, rule.Ports, c.endpoints)
				out.DNS = c.dns(policy.Namespace, rule)
				made.Rules = append(made.Rules, out)
			}
			rules.Egress.add(made, selected)
		}
	}
	return rules
}

func (d *Direction) add(policy Policy, selected []endpoint) {
	for _, e := range selected {
		d.Pods[e.address] = append(d.Pods[e.address], len(d.Policies))
	}
	d.Policies = append(d.Policies, policy)
}

// endpoints gives each address to one pod. Two can claim it for a moment, when one is going and its address is in use again:
// the one that stays has it, or else the newer.
func endpoints(pods []*corev1.Pod) []endpoint {
	owners := map[netip.Addr]*corev1.Pod{}
	for _, pod := range pods {
		address, err := netip.ParseAddr(pod.Status.PodIP)
		if err != nil || !address.Is4() || pod.Spec.HostNetwork || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if other := owners[address]; other == nil || newer(pod, other) {
			owners[address] = pod
		}
	}
	list := make([]endpoint, 0, len(owners))
	for address, pod := range owners {
		list = append(list, endpoint{address, pod})
	}
	slices.SortFunc(list, func(a, b endpoint) int { return a.address.Compare(b.address) })
	return list
}

func newer(a, b *corev1.Pod) bool {
	if going := a.DeletionTimestamp != nil; going != (b.DeletionTimestamp != nil) {
		return !going
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return b.CreationTimestamp.Before(&a.CreationTimestamp)
	}
	return a.UID > b.UID
}

// directions says for which directions a policy isolates; the API server fills policyTypes in, so the rule for none is for
// objects that it has not seen.
func directions(policy *networkingv1.NetworkPolicy) (ingress, egress bool) {
	if len(policy.Spec.PolicyTypes) == 0 {
		return true, len(policy.Spec.Egress) > 0
	}
	return slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeIngress), slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
}

func (c compiler) selected(policy *networkingv1.NetworkPolicy) []endpoint {
	selector := selectorOf(&policy.Spec.PodSelector)
	return filter(c.endpoints, func(e endpoint) bool {
		return e.pod.Namespace == policy.Namespace && selector.Matches(labels.Set(e.pod.Labels))
	})
}

// selectorOf is a selector that the API server has validated; one that it would refuse selects nothing.
func selectorOf(selector *metav1.LabelSelector) labels.Selector {
	made, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return labels.Nothing()
	}
	return made
}

func filter(list []endpoint, keep func(endpoint) bool) []endpoint {
	var kept []endpoint
	for _, e := range list {
		if keep(e) {
			kept = append(kept, e)
		}
	}
	return kept
}

// rule resolves one rule of a policy of a namespace. Destinations are the pods whose ports its names may stand for.
func (c compiler) rule(namespace string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, destinations []endpoint) Rule {
	out := Rule{Anyone: len(peers) == 0, AnyPort: len(ports) == 0}
	for _, peer := range peers {
		if peer.IPBlock != nil {
			if block, valid := blockOf(peer.IPBlock); valid {
				out.Blocks = append(out.Blocks, block)
			}
			continue
		}
		for _, e := range filter(c.endpoints, func(e endpoint) bool { return c.matches(namespace, peer, e.pod.Namespace, e.pod.Labels) }) {
			out.Peers = append(out.Peers, e.address)
		}
	}
	slices.SortFunc(out.Peers, netip.Addr.Compare)
	out.Peers = slices.Compact(out.Peers)
	for _, port := range ports {
		if port.Port != nil && port.Port.Type == intstr.String {
			out.Named = append(out.Named, named(port, destinations)...)
			continue
		}
		if numbers, valid := portsOf(port); valid {
			out.Ports = append(out.Ports, numbers)
		}
	}
	return out
}

// matches tells whether a peer that a policy of a namespace names by selectors is a pod with these labels in another.
func (c compiler) matches(namespace string, peer networkingv1.NetworkPolicyPeer, podNamespace string, podLabels map[string]string) bool {
	switch {
	case peer.NamespaceSelector == nil && peer.PodSelector == nil:
		return false
	case peer.NamespaceSelector == nil && podNamespace != namespace:
		return false
	case peer.NamespaceSelector != nil:
		namespaceLabels, known := c.namespaces[podNamespace]
		if !known || !selectorOf(peer.NamespaceSelector).Matches(namespaceLabels) {
			return false
		}
	}
	return peer.PodSelector == nil || selectorOf(peer.PodSelector).Matches(labels.Set(podLabels))
}

// blockOf parses a range of addresses; it is not valid when it is not of IPv4. An exception of another family excepts nothing.
func blockOf(from *networkingv1.IPBlock) (block Block, valid bool) {
	whole, err := netip.ParsePrefix(from.CIDR)
	if err != nil || !whole.Addr().Is4() {
		return Block{}, false
	}
	block.Range = whole.Masked()
	for _, text := range from.Except {
		except, err := netip.ParsePrefix(text)
		if err != nil {
			return Block{}, false // what was to be kept out is not known: let nobody in
		}
		if except.Addr().Is4() {
			block.Except = append(block.Except, except.Masked())
		}
	}
	return block, true
}

func (b Block) contains(address netip.Addr) bool {
	return b.Range.Contains(address) && !slices.ContainsFunc(b.Except, func(e netip.Prefix) bool { return e.Contains(address) })
}

// portsOf turns a port that is no name into a range; it is not valid for a protocol that there is not.
func portsOf(port networkingv1.NetworkPolicyPort) (ports Ports, valid bool) {
	protocol := protocolOf(port.Protocol)
	switch {
	case protocol == "":
		return Ports{}, false
	case port.Port == nil:
		return Ports{protocol, 0, lastPort}, true
	}
	ports = Ports{protocol, port.Port.IntValue(), port.Port.IntValue()}
	if port.EndPort != nil {
		ports.Last = int(*port.EndPort)
	}
	return ports, ports.First >= 0 && ports.First <= ports.Last && ports.Last <= lastPort
}

func protocolOf(protocol *corev1.Protocol) string {
	if protocol == nil {
		return TCP
	}
	switch *protocol {
	case corev1.ProtocolTCP:
		return TCP
	case corev1.ProtocolUDP:
		return UDP
	case corev1.ProtocolSCTP:
		return SCTP
	}
	return ""
}

// named lists the places that a port's name stands for: each pod decides for itself.
func named(port networkingv1.NetworkPolicyPort, destinations []endpoint) []Place {
	protocol := protocolOf(port.Protocol)
	var places []Place
	for _, e := range destinations {
		for _, container := range slices.Concat(e.pod.Spec.InitContainers, e.pod.Spec.Containers) {
			for _, p := range container.Ports {
				wire := p.Protocol
				if p.Name == port.Port.StrVal && (wire == "" && protocol == TCP || wire != "" && protocolOf(&wire) == protocol) {
					places = append(places, Place{e.address, protocol, int(p.ContainerPort)})
				}
			}
		}
	}
	return places
}

// dns lists the protocols by which an egress rule admits cluster DNS: as the pod that it is elsewhere, or by the node's address.
func (c compiler) dns(namespace string, rule networkingv1.NetworkPolicyEgressRule) []string {
	admitted := len(rule.To) == 0 || slices.ContainsFunc(rule.To, func(peer networkingv1.NetworkPolicyPeer) bool {
		if peer.IPBlock == nil {
			return c.matches(namespace, peer, dnsNamespace, dnsLabels)
		}
		block, valid := blockOf(peer.IPBlock)
		return valid && block.contains(c.node.Address)
	})
	if !admitted {
		return nil
	}
	if len(rule.Ports) == 0 {
		return []string{TCP, UDP}
	}
	names := map[string]string{UDP: "dns", TCP: "dns-tcp"}
	var protocols []string
	for _, port := range rule.Ports {
		protocol := protocolOf(port.Protocol)
		if names[protocol] == "" {
			continue
		}
		if port.Port != nil && port.Port.Type == intstr.String {
			if port.Port.StrVal != names[protocol] {
				continue
			}
		} else if ports, valid := portsOf(port); !valid || dnsPort < ports.First || dnsPort > ports.Last {
			continue
		}
		protocols = append(protocols, protocol)
	}
	slices.Sort(protocols)
	return slices.Compact(protocols)
}

package netpolicy_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"towpath.dev/towpath/kube/internal/netpolicy"
)

// The addresses of the test cluster: two namespaces, shop (web, api, db) and team (web with the label tier=gold), the node and
// the world.
const (
	shopWeb = "10.42.0.2"
	shopAPI = "10.42.0.3"
	shopDB  = "10.42.0.4"
	teamWeb = "10.42.0.5"
	theNode = "10.41.0.1"
	world   = "203.0.113.9"
	block10 = "203.0.113.10"
)

var node = netpolicy.Node{Address: netip.MustParseAddr(theNode), DNSPort: 10053}

func pod(namespace, name, address string, labels map[string]string, ports ...corev1.ContainerPort) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: ports}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address},
	}
}

func cluster() netpolicy.Sources {
	namespace := func(name string, labels map[string]string) *corev1.Namespace {
		labels[corev1.LabelMetadataName] = name
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	http := func(port int32) corev1.ContainerPort {
		return corev1.ContainerPort{Name: "http", ContainerPort: port, Protocol: corev1.ProtocolTCP}
	}
	return netpolicy.Sources{
		Namespaces: []*corev1.Namespace{namespace("shop", map[string]string{}), namespace("team", map[string]string{"tier": "gold"}), namespace("kube-system", map[string]string{})},
		Pods: []*corev1.Pod{
			pod("shop", "web", shopWeb, map[string]string{"app": "web"}, http(8080)),
			pod("shop", "api", shopAPI, map[string]string{"app": "api"}, http(9090)),
			pod("shop", "db", shopDB, map[string]string{"app": "db"}, corev1.ContainerPort{Name: "http", ContainerPort: 5432, Protocol: corev1.ProtocolUDP}),
			pod("team", "web", teamWeb, map[string]string{"app": "web"}, http(8081)),
		},
	}
}

// connection is a first packet.
type connection struct {
	from, to, protocol string
	port               int
}

// passes is what the rules in the kernel do, for a packet that is no answer and that the node has not sent.
func passes(r netpolicy.Ruleset, c connection) bool {
	from, to := netip.MustParseAddr(c.from), netip.MustParseAddr(c.to)
	if from == to {
		return true
	}
	return admits(r.Egress, from, to, c, r.Node) && admits(r.Ingress, to, from, c, netpolicy.Node{})
}

func admits(d netpolicy.Direction, pod, peer netip.Addr, c connection, node netpolicy.Node) bool {
	policies, isolated := d.Pods[pod]
	if !isolated {
		return true
	}
	return slices.ContainsFunc(policies, func(i int) bool {
		return slices.ContainsFunc(d.Policies[i].Rules, func(rule netpolicy.Rule) bool {
			if c.to == node.Address.String() && c.port == node.DNSPort && slices.Contains(rule.DNS, c.protocol) {
				return true
			}
			return peerOf(rule, peer) && portOf(rule, c)
		})
	})
}

func peerOf(rule netpolicy.Rule, peer netip.Addr) bool {
	return rule.Anyone || slices.Contains(rule.Peers, peer) || slices.ContainsFunc(rule.Blocks, func(b netpolicy.Block) bool {
		return b.Range.Contains(peer) && !slices.ContainsFunc(b.Except, func(e netip.Prefix) bool { return e.Contains(peer) })
	})
}

func portOf(rule netpolicy.Rule, c connection) bool {
	return rule.AnyPort ||
		slices.ContainsFunc(rule.Ports, func(p netpolicy.Ports) bool { return p.Protocol == c.protocol && p.First <= c.port && c.port <= p.Last }) ||
		slices.Contains(rule.Named, netpolicy.Place{Address: netip.MustParseAddr(c.to), Protocol: c.protocol, Port: c.port})
}

const denyAll = "metadata: {namespace: shop, name: deny}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n"

func TestPolicies(t *testing.T) {
	webToAPI := connection{shopWeb, shopAPI, "tcp", 9090}
	for _, test := range []struct {
		name         string
		policies     string // YAML documents
		pass, refuse []connection
	}{
		{name: "without a policy everything passes", pass: []connection{webToAPI, {world, shopDB, "sctp", 1}, {shopWeb, theNode, "tcp", 6443}}},
		{
			name: "default deny stops both directions of its namespace and nothing else", policies: denyAll,
			pass: []connection{{teamWeb, world, "tcp", 443}, {world, teamWeb, "tcp", 8081}, {shopWeb, shopWeb, "tcp", 8080}},
			refuse: []connection{
				webToAPI, {teamWeb, shopWeb, "tcp", 8080}, {shopWeb, teamWeb, "tcp", 8081}, {shopWeb, theNode, "udp", 10053},
				{shopWeb, theNode, "tcp", 6443}, {world, shopWeb, "tcp", 8080},
			},
		},
		{
			name: "policy types are guessed from the rules", policies: "metadata: {namespace: shop, name: a}\nspec: {podSelector: {matchLabels: {app: web}}}",
			pass: []connection{webToAPI}, refuse: []connection{{shopAPI, shopWeb, "tcp", 8080}},
		},
		{
			name: "an ingress rule needs the egress too",
			policies: denyAll + `---
metadata: {namespace: shop, name: api}
spec: {podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
`,
			refuse: []connection{webToAPI},
		},
		{
			name: "policies add up",
			policies: denyAll + `---
metadata: {namespace: shop, name: api}
spec: {podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 9090}]}]}
---
metadata: {namespace: shop, name: web}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: api}}}]}]}
`,
			pass:   []connection{webToAPI},
			refuse: []connection{{shopWeb, shopAPI, "tcp", 9091}, {shopWeb, shopAPI, "udp", 9090}, {shopAPI, shopWeb, "tcp", 8080}, {teamWeb, shopAPI, "tcp", 9090}},
		},
		{
			name:     "a pod selector is of the policy's own namespace",
			policies: "metadata: {namespace: shop, name: a}\nspec: {podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}",
			pass:     []connection{webToAPI}, refuse: []connection{{teamWeb, shopAPI, "tcp", 9090}},
		},
		{
			name:     "a namespace selector takes all of its pods, and with a pod selector those that both select",
			policies: "metadata: {namespace: shop, name: a}\nspec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {tier: gold}}}], ports: [{port: 1}]}, {from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}], ports: [{port: 2}]}]}",
			pass:     []connection{{teamWeb, shopAPI, "tcp", 1}, {teamWeb, shopAPI, "tcp", 2}, {shopWeb, shopAPI, "tcp", 2}},
			refuse:   []connection{{shopWeb, shopAPI, "tcp", 1}, {shopDB, shopAPI, "tcp", 2}, {world, shopAPI, "tcp", 1}},
		},
		{
			name:     "expressions select",
			policies: "metadata: {namespace: shop, name: a}\nspec: {podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [db]}]}, ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, db]}]}}]}]}",
			pass:     []connection{webToAPI, {shopAPI, shopDB, "tcp", 1}}, refuse: []connection{{shopAPI, shopWeb, "tcp", 1}},
		},
		{
			name:     "blocks with exceptions",
			policies: "metadata: {namespace: shop, name: a}\nspec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.10/32]}}]}]}",
			pass:     []connection{{shopWeb, world, "tcp", 443}}, refuse: []connection{{shopWeb, block10, "tcp", 443}, webToAPI, {shopWeb, theNode, "udp", 10053}},
		},
		{
			name:     "a block of another family matches nobody",
			policies: "metadata: {namespace: shop, name: a}\nspec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: \"::/0\"}}]}]}",
			refuse:   []connection{webToAPI, {world, shopWeb, "tcp", 1}},
		},
		{
			name:     "ranges of ports and protocols",
			policies: "metadata: {namespace: shop, name: a}\nspec: {podSelector: {}, ingress: [{ports: [{port: 100, endPort: 200}, {protocol: SCTP, port: 7}, {protocol: UDP}]}]}",
			pass:     []connection{{world, shopWeb, "tcp", 100}, {world, shopWeb, "tcp", 200}, {world, shopWeb, "sctp", 7}, {world, shopWeb, "udp", 9}},
			refuse:   []connection{{world, shopWeb, "tcp", 99}, {world, shopWeb, "tcp", 201}, {world, shopWeb, "sctp", 8}},
		},
		{
			name:     "a port's name is each pod's own",
			policies: "metadata: {namespace: shop, name: a}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: http}]}], egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}]}]}",
			pass:     []connection{webToAPI, {shopAPI, shopWeb, "tcp", 8080}, {shopWeb, teamWeb, "tcp", 8081}},
			refuse:   []connection{{shopAPI, shopWeb, "tcp", 9090}, {shopWeb, shopDB, "tcp", 5432}, {shopWeb, teamWeb, "tcp", 8080}},
		},
		{
			name:     "cluster DNS is the pod that it is elsewhere",
			policies: denyAll + "---\nmetadata: {namespace: shop, name: dns}\nspec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{protocol: UDP, port: 53}]}]}",
			pass:     []connection{{shopWeb, theNode, "udp", 10053}},
			refuse:   []connection{{shopWeb, theNode, "tcp", 10053}, {shopWeb, theNode, "tcp", 6443}, {shopAPI, theNode, "udp", 10053}, {shopWeb, theNode, "udp", 53}},
		},
		{
			name:     "cluster DNS by port alone, by its port's name, and by address",
			policies: "metadata: {namespace: shop, name: a}\nspec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{protocol: UDP, port: 53}]}]}\n---\nmetadata: {namespace: shop, name: b}\nspec: {podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: dns-tcp}]}]}\n---\nmetadata: {namespace: shop, name: c}\nspec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.41.0.1/32}}]}]}",
			pass:     []connection{{shopWeb, theNode, "udp", 10053}, {shopAPI, theNode, "tcp", 10053}, {shopDB, theNode, "udp", 10053}, {shopDB, theNode, "tcp", 6443}},
			refuse:   []connection{{shopWeb, theNode, "tcp", 10053}, {shopAPI, theNode, "udp", 10053}, {shopWeb, theNode, "tcp", 6443}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			sources := cluster()
			sources.Policies = parse(t, test.policies)
			rules := netpolicy.Compile(node, sources)
			for _, c := range test.pass {
				if !passes(rules, c) {
					t.Errorf("%v is refused", c)
				}
			}
			for _, c := range test.refuse {
				if passes(rules, c) {
					t.Errorf("%v passes", c)
				}
			}
			slices.Reverse(sources.Pods)
			slices.Reverse(sources.Policies)
			if again := netpolicy.Compile(node, sources).Script("t"); again != rules.Script("t") {
				t.Errorf("the order of the sources counts:\n%s\n%s", rules.Script("t"), again)
			}
		})
	}
}

func parse(t *testing.T, documents string) (policies []*networkingv1.NetworkPolicy) {
	t.Helper()
	for _, document := range strings.Split(documents, "---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var policy networkingv1.NetworkPolicy
		if err := yaml.UnmarshalStrict([]byte(document), &policy); err != nil {
			t.Fatal(err)
		}
		policies = append(policies, &policy)
	}
	return policies
}

// TestAddresses has pods that are no endpoints: an address belongs to the pod that stays.
func TestAddresses(t *testing.T) {
	going := pod("shop", "old", shopWeb, map[string]string{"app": "old"})
	going.DeletionTimestamp = &metav1.Time{Time: time.Unix(100, 0)}
	ended := pod("shop", "ended", shopAPI, map[string]string{"app": "old"})
	ended.Status.Phase = corev1.PodSucceeded
	host := pod("shop", "host", theNode, map[string]string{"app": "old"})
	host.Spec.HostNetwork = true
	sources := netpolicy.Sources{
		Pods:     []*corev1.Pod{pod("team", "new", shopWeb, nil), going, ended, host, pod("shop", "unborn", "", map[string]string{"app": "old"})},
		Policies: parse(t, denyAll),
	}
	if rules := netpolicy.Compile(node, sources); !rules.Empty() {
		t.Errorf("isolated: %v", rules)
	}
}

package deploy

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/deploy/route"
)

// someone is who opens a connection or takes it.
type someone struct {
	namespace string
	labels    map[string]string
	names     []corev1.ContainerPort
}

var (
	theRouter = someone{"shop", routerLabels(), nil}
	callers   = map[string]someone{
		"front":            {"shop", map[string]string{"app": "front", route.Label: route.Stable}, nil},
		"other":            {"shop", map[string]string{"app": "other"}, nil},
		"cart":             {"shop", map[string]string{"app": "cart", route.Label: route.Stable}, nil},
		"neighbour":        {"team", map[string]string{"app": "front"}, nil},
		"session of front": {"shop", map[string]string{sessionLabel: "1", sessionOfLabel: "front"}, nil},
	}
	web = []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}
)

// routedShop has two routed services: cart, by its port's name, at 20000, and front at 20001.
func routedShop(owners []networkingv1.NetworkPolicy) policed {
	service := func(name string, listen int) policedService {
		return policedService{
			name: name, selector: map[string]string{"app": name}, ports: []policedPort{{listen, intstr.FromString("web")}},
			shapes: []podShape{{map[string]string{"app": name, route.Label: route.Stable}, web}, {map[string]string{"app": name, route.Label: route.Canary}, web}},
		}
	}
	return policed{
		namespace: "shop", labels: map[string]string{"kubernetes.io/metadata.name": "shop"}, owners: owners,
		services: []policedService{service("cart", 20000), service("front", 20001)},
	}
}

// admitted is Kubernetes' rule for one connection between pods.
func admitted(policies []networkingv1.NetworkPolicy, from, to someone, port int) bool {
	var out, in []networkingv1.NetworkPolicy
	for _, p := range policies {
		if p.Namespace == from.namespace && isolates(p, networkingv1.PolicyTypeEgress) && selects(&p.Spec.PodSelector, from.labels) {
			out = append(out, p)
		}
		if p.Namespace == to.namespace && isolates(p, networkingv1.PolicyTypeIngress) && selects(&p.Spec.PodSelector, to.labels) {
			in = append(in, p)
		}
	}
	among := func(peers []networkingv1.NetworkPolicyPeer, who someone) bool {
		return len(peers) == 0 || slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
			if peer.IPBlock != nil || peer.NamespaceSelector == nil && who.namespace != "shop" ||
				peer.NamespaceSelector != nil && !selects(peer.NamespaceSelector, map[string]string{"kubernetes.io/metadata.name": who.namespace}) {
				return false
			}
			return peer.PodSelector == nil || selects(peer.PodSelector, who.labels)
		})
	}
	leaves := len(out) == 0 || slices.ContainsFunc(out, func(p networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
			return among(r.To, to) && coversNumber(r.Ports, port, to.names)
		})
	})
	return leaves && (len(in) == 0 || slices.ContainsFunc(in, func(p networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
			return among(r.From, from) && coversNumber(r.Ports, port, to.names)
		})
	}))
}

const (
	closedShop = "metadata: {name: deny}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n"
	frontOut   = "---\nmetadata: {name: front}\nspec: {podSelector: {matchLabels: {app: front}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: cart}}}], ports: [{port: web}]}]}\n"
	cartIn     = "---\nmetadata: {name: cart}\nspec: {podSelector: {matchLabels: {app: cart}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: front}}}], ports: [{port: 8080}]}]}\n"
)

// TestRouterAdmitsWhomThePodsAdmit compares, for each caller, what the owner's policies alone
// let reach a pod with what all policies let reach it through the router.
func TestRouterAdmitsWhomThePodsAdmit(t *testing.T) {
	for _, test := range []struct {
		name, owners string
		pass         []string // caller of cart
		closed       string   // why cart is closed
	}{
		{name: "no policies", owners: "", pass: []string{"front", "other", "cart", "neighbour", "session of front"}},
		{name: "default deny", owners: closedShop},
		{name: "default deny and one way through", owners: closedShop + frontOut + cartIn, pass: []string{"front", "session of front"}},
		{name: "the way in without the way out", owners: closedShop + cartIn},
		{name: "the way out without the way in", owners: closedShop + frontOut},
		{name: "only the callee is isolated", owners: cartIn, pass: []string{"front", "session of front"}},
		{name: "only the caller is isolated", owners: frontOut, pass: []string{"front", "other", "cart", "neighbour", "session of front"}},
		{
			name:   "the whole namespace may",
			owners: "metadata: {name: here}\nspec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}\n",
			pass:   []string{"front", "other", "cart", "session of front"},
		},
		{
			name:   "another namespace may",
			owners: closedShop + "---\nmetadata: {name: cart}\nspec: {podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: team}}}]}]}\n",
			pass:   []string{"neighbour"},
		},
		{
			name:   "another port",
			owners: "metadata: {name: cart}\nspec: {podSelector: {matchLabels: {app: cart}}, ingress: [{ports: [{port: 9090}]}, {ports: [{port: 8080, protocol: UDP}]}]}\n",
		},
		{
			name:   "a range of ports",
			owners: "metadata: {name: cart}\nspec: {podSelector: {matchLabels: {app: cart}}, ingress: [{ports: [{port: 8000, endPort: 9000}]}]}\n",
			pass:   []string{"front", "other", "cart", "neighbour", "session of front"},
		},
		{
			name:   "blocks are copied and admit no pod of the table",
			owners: "metadata: {name: cart}\nspec: {podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}\n",
		},
		{
			name:   "a policy of all but cart opens the router too",
			owners: cartIn[4:] + "---\nmetadata: {name: open}\nspec: {podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [cart]}]}, ingress: [{}]}\n",
			closed: "network policy open opens the router",
		},
		{
			name:   "a policy that selects only the canary",
			owners: "metadata: {name: canary}\nspec: {podSelector: {matchLabels: {" + route.Label + ": canary}}, ingress: [{}]}\n",
			closed: "select some of its pods and not others",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			owners := parsePolicies(t, test.owners)
			derived, closed := routedShop(owners).derive()
			all := slices.Clone(owners)
			for _, p := range derived {
				all = append(all, *p)
			}
			if len(owners) == 0 && (len(derived) != 1 || derived[0].Name != sessionsPolicy) {
				t.Errorf("without an owner's policy there are %v", derived)
			}
			cart := someone{"shop", map[string]string{"app": "cart", route.Label: route.Canary}, web}
			for name, caller := range callers {
				through := admitted(all, caller, theRouter, 20000) && admitted(all, theRouter, cart, 8080)
				if want := slices.Contains(test.pass, name); through != want {
					t.Errorf("%s reaches cart through the router: %v, want %v", name, through, want)
				}
				stands := caller
				if caller.labels[sessionOfLabel] != "" {
					stands = callers["front"] // a session may what its service may
				}
				if direct := admitted(owners, stands, cart, 8080); through && !direct {
					t.Errorf("%s reaches cart through the router, and may not reach it", name)
				} else if test.closed == "" && direct && !through && name != "cart" {
					t.Errorf("%s may reach cart, and does not through the router", name)
				}
			}
			i := slices.IndexFunc(closed, func(u Unrouted) bool { return u.Service == "cart" })
			if (i >= 0) != (test.closed != "") || i >= 0 && !strings.Contains(closed[i].Why, test.closed) {
				t.Errorf("closed are %v, want cart because of %q", closed, test.closed)
			}
		})
	}
}

// TestRouterStaysWithinItsWork wants that a policed router reaches nothing but the pods of
// routed services, sessions, the resolver and the API server, and nobody its admin port.
func TestRouterStaysWithinItsWork(t *testing.T) {
	p := routedShop(parsePolicies(t, closedShop+frontOut+cartIn))
	p.api, p.apiPorts = []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.41.0.1/32"}}}, tcp(6443)
	derived, _ := p.derive()
	all := slices.Clone(p.owners)
	for _, d := range derived {
		all = append(all, *d)
	}
	session := callers["session of front"]
	if admitted(all, theRouter, callers["other"], 8080) || admitted(all, theRouter, callers["cart"], 9090) {
		t.Error("the router reaches what is not its work")
	}
	for name, caller := range callers {
		if admitted(all, caller, theRouter, routerAdmin) {
			t.Errorf("%s reaches the router's admin port", name)
		}
	}
	if admitted(all, session, callers["other"], 8080) {
		t.Error("a session reaches what the service that it stands in for may not")
	}
}

func parsePolicies(t *testing.T, documents string) (list []networkingv1.NetworkPolicy) {
	t.Helper()
	for _, document := range strings.Split(documents, "---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{}}
		if err := yaml.UnmarshalStrict([]byte(document), &p); err != nil {
			t.Fatal(err)
		}
		p.Namespace = "shop"
		list = append(list, p)
	}
	return list
}

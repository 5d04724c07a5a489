package deploy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/deploy/route"
)

// TestEdges finds the Services that requests from outside reach, and by which hosts.
func TestEdges(t *testing.T) {
	const ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front}\nspec:\n  rules:\n  - "
	const to = "http: {paths: [{backend: {service: {name: cart}}}]}\n"
	for _, c := range []struct {
		name, objects string
		want          edges
	}{
		{"inside only", plainShop, edges{}},
		{"an Ingress", ingress + "host: shop.example\n    " + to, edges{"cart": {Hosts: []string{"shop.example"}}}},
		{"two hosts", ingress + "host: shop.example\n    " + to + "---\n" + ingress + "host: buy.example\n    " + to, edges{"cart": {Hosts: []string{"buy.example", "shop.example"}}}},
		{"an Ingress of every host", ingress + to, edges{"cart": {}}},
		{"a host and every host", ingress + "host: shop.example\n    " + to + "---\n" + ingress + to, edges{"cart": {}}},
		{"a default backend", "kind: Ingress\nmetadata: {name: front}\nspec: {defaultBackend: {service: {name: cart}}}\n", edges{"cart": {}}},
		{"a port of the node", "kind: Service\nmetadata: {name: cart}\nspec: {type: NodePort}\n", edges{"cart": {}}},
		{"an address of its own", "kind: Service\nmetadata: {name: cart}\nspec: {type: LoadBalancer}\n", edges{"cart": {}}},
		{"an external address", "kind: Service\nmetadata: {name: cart}\nspec: {externalIPs: [192.0.2.1]}\n", edges{"cart": {}}},
		{"the Gateway API", "kind: HTTPRoute\nmetadata: {name: r}\nspec: {hostnames: [shop.example], rules: [{backendRefs: [{name: cart, port: 80}]}]}\n", edges{"cart": {Hosts: []string{"shop.example"}}}},
		{"the Gateway API, every host", "kind: GRPCRoute\nmetadata: {name: r}\nspec: {rules: [{backendRefs: [{name: cart, port: 80}]}]}\n", edges{"cart": {}}},
	} {
		if diff := cmp.Diff(c.want, edgesOf(objectsOf(t, c.objects))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestKeepEdges marks the services of a table by the Ingresses of all releases, and holds
// those of the revision before while that still serves.
func TestKeepEdges(t *testing.T) {
	table := table{Table: route.Table{Services: []route.Service{{Name: "cart"}, {Name: "web"}}}}
	marks := func() (out []string) {
		for _, v := range table.Services {
			if v.Edge {
				out = append(out, v.Name+"="+strings.Join(v.EdgeHosts, ","))
			}
		}
		return out
	}
	for _, c := range []struct {
		release string
		now     edges
		still   bool
		want    []string
	}{
		{"shop", edges{"web": {Hosts: []string{"a.example"}}}, false, []string{"web=a.example"}},
		{"front", edges{"cart": {}}, false, []string{"cart=", "web=a.example"}},
		{"shop", edges{"web": {Hosts: []string{"b.example"}}}, true, []string{"cart=", "web=a.example,b.example"}},
		{"shop", edges{"web": {Hosts: []string{"b.example"}}}, false, []string{"cart=", "web=b.example"}},
		{"front", nil, false, []string{"web=b.example"}},
	} {
		table.keepEdges(c.release, c.now, c.still)
		if diff := cmp.Diff(c.want, marks()); diff != "" {
			t.Errorf("after %s %v (-want +got):\n%s", c.release, c.now, diff)
		}
	}
}

// canaryShop is the canary of KubernetesManifest@1 beside the shop that lives.
func canaryShop(t *testing.T) []map[string]any {
	t.Helper()
	plain := objectsOf(t, plainShop)
	out, err := manifest.Split(plain, 25, func(kind, name string) (map[string]any, error) { return byKind(plain)[object{kind, name}], nil })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCanaryByPodsBehindTheRouter wants that on a routed environment the pods of canary,
// baseline and what serves are all behind the stable Service, so that the share follows the
// pods there as it does without a router.
func TestCanaryByPodsBehindTheRouter(t *testing.T) {
	live, _ := swapOf(t, plainShop, false)
	next, err := carry(canaryShop(t), live, func(kind, name string) (map[string]any, error) { return byKind(live)[object{kind, name}], nil })
	if err != nil {
		t.Fatal(err)
	}
	w := &swapper{listen: func(string, int) (int, error) { return firstListen, nil }}
	out, err := w.run(next)
	if err != nil {
		t.Fatal(err)
	}
	stable := find(t, out, "Service", "cart-stable")
	var behind []string
	for _, i := range selected(out, stable) {
		behind = append(behind, nameOf(out[i]))
	}
	slices.Sort(behind)
	if diff := cmp.Diff([]string{"cart", "cart-baseline", "cart-canary"}, behind); diff != "" {
		t.Errorf("behind the stable Service (-want +got):\n%s", diff)
	}
	for _, track := range []string{manifest.Canary, manifest.Baseline} {
		spec := mapOf(find(t, out, "Deployment", "cart-"+track), "spec")
		if mapOf(spec, "selector")["matchLabels"].(map[string]any)[route.Label] != nil {
			t.Errorf("the selector of the %s has a track: it could not be changed when routing ends", track)
		}
	}
	// Routing is turned on while such a canary is under way, and off again.
	between, last, names, err := unswapRounds(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"cart"}, names); diff != "" {
		t.Errorf("routed: %s", diff)
	}
	find(t, between, "Service", "cart-stable")
	find(t, last, "Deployment", "cart")
}

// TestCarry keeps what a release of plain manifests brought before and the files do not have:
// only what lives, as large as it lives, as its files wrote it, and no copy of a canary.
func TestCarry(t *testing.T) {
	was, _ := swapOf(t, plainShop+"---\nkind: Deployment\nmetadata: {name: cart-canary, labels: {azure-pipelines/version: canary}}\n", false)
	live := func(kind, name string) (map[string]any, error) {
		if name == "cart-raw" {
			return nil, nil // somebody deleted it
		}
		return map[string]any{"spec": map[string]any{"replicas": int64(7)}}, nil
	}
	got, err := carry(objectsOf(t, "kind: Service\nmetadata: {name: cart-all}\nspec: {clusterIP: None}\n"), was, live)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range got {
		names = append(names, kindOf(o)+" "+nameOf(o))
	}
	if diff := cmp.Diff([]string{"Service cart-all", "Deployment cart", "Service cart"}, names); diff != "" {
		t.Fatalf("the release has (-want +got):\n%s", diff)
	}
	if n := number(mapOf(got[1], "spec")["replicas"]); n != 7 {
		t.Errorf("the Deployment is put back to %d pods", n)
	}
	if sel := mapOf(mapOf(got[2], "spec"), "selector"); sel["app"] != "cart" || swapped(got) {
		t.Errorf("the Service is not as its file wrote it: %v", sel)
	}
}

// TestUnswapRounds takes releases from behind the router: in the first round each Service
// leads to its pods while the router's way to them stays, in the second nothing of it is left.
func TestUnswapRounds(t *testing.T) {
	noPods := plainShop[strings.Index(plainShop, "---\napiVersion: v1\nkind: ConfigMap"):]
	for name, text := range map[string]string{"a release": plainShop, "one whose Deployments went with its canary": noPods} {
		t.Run(name, func(t *testing.T) {
			want := objectsOf(t, text)
			swappedOut, _ := swapOf(t, plainShop, false)
			if text == noPods {
				swappedOut = slices.DeleteFunc(swappedOut, func(o map[string]any) bool { return kindOf(o) == "Deployment" })
			}
			swappedOut, err := copyObjects(swappedOut) // as it is read from Helm
			if err != nil {
				t.Fatal(err)
			}
			before, err := copyObjects(swappedOut)
			if err != nil {
				t.Fatal(err)
			}
			between, last, names, err := unswapRounds(swappedOut)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, swappedOut); diff != "" {
				t.Errorf("what lives was changed: %s", diff)
			}
			if diff := cmp.Diff(want, last); diff != "" {
				t.Errorf("the second round is not the chart's own: %s", diff)
			}
			if diff := cmp.Diff([]string{"cart"}, names); diff != "" {
				t.Errorf("routed: %s", diff)
			}
			if swapped(between) {
				t.Error("a Service still leads to the router")
			}
			if diff := cmp.Diff(find(t, before, "Service", "cart-stable"), find(t, between, "Service", "cart-stable")); diff != "" {
				t.Errorf("the router's way to the pods changes while it still gets requests: %s", diff)
			}
			for _, service := range []string{"cart", "cart-raw", "cart-all"} {
				if diff := cmp.Diff(find(t, want, "Service", service), find(t, between, "Service", service)); diff != "" {
					t.Errorf("Service %s does not lead to its pods in the first round: %s", service, diff)
				}
			}
			if text == plainShop {
				template := mapOf(mapOf(find(t, between, "Deployment", "cart"), "spec"), "template")
				if mapOf(mapOf(template, "metadata"), "labels")[route.Label] != route.Stable {
					t.Error("the pods lose their track while the router still looks for it")
				}
			}
		})
	}
}

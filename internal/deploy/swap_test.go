package deploy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/deploy/route"
)

const plainShop = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, labels: {app: cart}}
spec:
  replicas: 4
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      containers: [{name: cart, image: "shop/cart@sha256:1", envFrom: [{configMapRef: {name: settings}}]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: hello}
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec:
  selector: {app: cart}
  ports:
    - {name: http, port: 8080, targetPort: web}
    - {name: grpc, port: 9090, targetPort: 9090, appProtocol: kubernetes.io/h2c}
---
apiVersion: v1
kind: Service
metadata: {name: cart-raw}
spec:
  selector: {app: cart}
  ports: [{name: tcp, port: 5000}]
---
apiVersion: v1
kind: Service
metadata: {name: cart-all}
spec:
  clusterIP: None
  selector: {app: cart}
  ports: [{name: http, port: 80}]
`

func objectsOf(t *testing.T, text string) []map[string]any {
	t.Helper()
	out, err := decode(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func swapOf(t *testing.T, text string, prepare bool) ([]map[string]any, *swapper) {
	t.Helper()
	next := firstListen
	w := &swapper{prepare: prepare, listen: func(string, int) (int, error) { next++; return next - 1, nil }}
	out, err := w.run(objectsOf(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return out, w
}

func find(t *testing.T, list []map[string]any, kind, name string) map[string]any {
	t.Helper()
	o := byKind(list)[object{kind, name}]
	if o == nil {
		t.Fatalf("there is no %s %s", kind, name)
	}
	return o
}

// TestSwap turns a release to the router: only Services whose ports all speak HTTP, and the
// others see no canary.
func TestSwap(t *testing.T) {
	out, w := swapOf(t, plainShop, false)
	spec := mapOf(find(t, out, "Service", "cart"), "spec")
	if diff := cmp.Diff(routerSelector, mapOf(spec, "selector")); diff != "" {
		t.Errorf("the Service does not lead to the router: %s", diff)
	}
	for i, want := range []int{firstListen, firstListen + 1} {
		if got := number(listOf(spec, "ports")[i].(map[string]any)["targetPort"]); got != want {
			t.Errorf("port %d leads to %d, want %d", i, got, want)
		}
	}
	stable := mapOf(find(t, out, "Service", "cart-stable"), "spec")
	if got := mapOf(stable, "selector"); got["app"] != "cart" || got[route.Label] != route.Stable {
		t.Errorf("the stable track selects %v", got)
	}
	if got := listOf(stable, "ports")[0].(map[string]any)["targetPort"]; got != "web" {
		t.Errorf("the stable track leads to port %v", got)
	}
	template := mapOf(mapOf(find(t, out, "Deployment", "cart"), "spec"), "template")
	if got := mapOf(mapOf(template, "metadata"), "labels")[route.Label]; got != route.Stable {
		t.Errorf("the pods have track %v", got)
	}
	for _, name := range []string{"cart-raw", "cart-all"} {
		if got := mapOf(mapOf(find(t, out, "Service", name), "spec"), "selector"); got["app"] != "cart" || got[route.Label] != route.Stable {
			t.Errorf("%s selects %v", name, got)
		}
		if !slices.ContainsFunc(w.unrouted, func(u Unrouted) bool { return u.Service == name && u.Why != "" }) {
			t.Errorf("nothing says why %s is not routed: %v", name, w.unrouted)
		}
	}
	if len(w.services) != 1 || w.services[0].Ports[1].Protocol != route.H2C {
		t.Errorf("routed: %+v", w.services)
	}
	table := route.Table{Version: 1, Project: "shop", Environment: "production", Services: w.services}
	if err := table.Check(); err != nil {
		t.Errorf("the router would refuse the table: %v", err)
	}
}

// TestSwapPrepares changes no Service in the first round, and unswap undoes both rounds.
func TestSwapPrepares(t *testing.T) {
	want := objectsOf(t, plainShop)
	out, _ := swapOf(t, plainShop, true)
	for _, name := range []string{"cart", "cart-raw", "cart-all"} {
		if diff := cmp.Diff(find(t, want, "Service", name), find(t, out, "Service", name)); diff != "" {
			t.Errorf("the first round changes Service %s: %s", name, diff)
		}
	}
	find(t, out, "Service", "cart-stable")
	for _, prepare := range []bool{true, false} {
		out, _ := swapOf(t, plainShop, prepare)
		if diff := cmp.Diff(want, unswap(out)); diff != "" {
			t.Errorf("unswap (prepare %t) leaves a difference: %s", prepare, diff)
		}
	}
}

// TestProtocolOf holds the order in which a port says what it speaks.
func TestProtocolOf(t *testing.T) {
	for _, c := range []struct {
		port  map[string]any
		notes string
		want  string
	}{
		{map[string]any{"name": "http"}, "", route.HTTP},
		{map[string]any{"name": "http-web"}, "", route.HTTP},
		{map[string]any{"name": "grpc-web"}, "", route.H2C},
		{map[string]any{"name": "http2"}, "", route.H2C},
		{map[string]any{"name": "https"}, "", ""},
		{map[string]any{"name": "http", "appProtocol": "https"}, "", ""},
		{map[string]any{"name": "x", "appProtocol": "kubernetes.io/h2c"}, "", route.H2C},
		{map[string]any{"name": "http", "protocol": "UDP"}, "", ""},
		{map[string]any{"name": "x", "port": 80}, "", ""},
		{map[string]any{"name": "x", "port": 80}, "http", route.HTTP},
		{map[string]any{"name": "x", "port": 80}, "81=http, 80=h2c", route.H2C},
		{map[string]any{"name": "x", "port": 80}, "81=http", ""},
		{map[string]any{"name": "x", "port": 80}, "80=ftp", ""},
	} {
		if got := protocolOf(c.port, c.notes); got != c.want {
			t.Errorf("%v with %q speaks %q, want %q", c.port, c.notes, got, c.want)
		}
	}
}

// TestPlanTrial compares two releases: what a canary adds, and that its configuration is
// its own.
func TestPlanTrial(t *testing.T) {
	live, _ := swapOf(t, plainShop, false)
	for _, c := range []struct {
		name, old, new string
		workloads      []string
		configs        int
	}{
		{"nothing", "", "", nil, 0},
		{"another image", "cart@sha256:1", "cart@sha256:2", []string{"cart"}, 0},
		{"another setting", "hello", "goodbye", []string{"cart"}, 1},
		{"another size", "replicas: 4", "replicas: 5", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			next, _ := swapOf(t, strings.ReplaceAll(plainShop, c.old, c.new), false)
			p, err := planTrial(live, next, 25)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, w := range p.workloads {
				names = append(names, w.Name)
			}
			if diff := cmp.Diff(c.workloads, names); diff != "" {
				t.Errorf("tried: %s", diff)
			}
			if len(p.configs) != c.configs {
				t.Errorf("%d copies of configuration, want %d", len(p.configs), c.configs)
			}
			if len(names) == 0 {
				return
			}
			for _, track := range []string{route.Canary, route.Baseline} {
				d := find(t, p.objects, "Deployment", "cart-"+track)
				spec := mapOf(d, "spec")
				if number(spec["replicas"]) != 1 || mapOf(mapOf(spec, "selector"), "matchLabels")[route.Label] != track {
					t.Errorf("%s is %v", track, spec)
				}
				if got := mapOf(mapOf(find(t, p.objects, "Service", "cart-"+track), "spec"), "selector")[route.Label]; got != track {
					t.Errorf("Service of %s selects track %v", track, got)
				}
				text, err := encode([]map[string]any{d})
				if err != nil {
					t.Fatal(err)
				}
				own := strings.Contains(text.String(), "settings-canary-")
				if want := track == route.Canary && c.configs > 0; own != want {
					t.Errorf("%s has its own configuration: %t, want %t\n%s", track, own, want, text)
				}
			}
		})
	}
}

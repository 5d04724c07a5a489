package router_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"towpath.dev/towpath/internal/deploy/route"
)

// hop answers with its build and with what the next service of the chain says, to which it
// passes the baggage on.
func hop(build, next string, c *http.Client) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if next == "" {
			fmt.Fprint(w, build)
			return
		}
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+next+r.URL.Path, nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		req.Header["Baggage"] = r.Header["Baggage"]
		resp, err := c.Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		fmt.Fprintf(w, "%s>%s", build, body)
	})
}

// TestChainAndNoCrossing sends a thousand concurrent requests of two developers and of
// nobody through a chain of three services, whose middle one both developers work on.
func TestChainAndNoCrossing(t *testing.T) {
	web, cart, pricing := one(t, "web", route.HTTP), one(t, "cart", route.HTTP), one(t, "pricing", route.HTTP)
	start(t, route.Table{Version: 1, Services: []route.Service{web, cart, pricing}, Sessions: []route.Session{
		session("s1", "anna-1a2b", "cart", hostAnna), session("s2", "bert-3c4d", "cart", hostBert),
	}})
	c := client(t, false)
	backend(t, hostStable, web.Ports[0].Port, hop("web", front(cart), c))
	backend(t, hostStable, cart.Ports[0].Port, hop("cart", front(pricing), c))
	backend(t, hostAnna, cart.Ports[0].Port, hop("anna", front(pricing), c))
	backend(t, hostBert, cart.Ports[0].Port, hop("bert", front(pricing), c))
	backend(t, hostStable, pricing.Ports[0].Port, hop("pricing", "", c))

	kinds := []struct{ baggage, want string }{
		{"", "web>cart>pricing"}, {"theme=dark, route-as=anna-1a2b;p=1", "web>anna>pricing"},
		{"route-as=unknown-0000", "web>cart>pricing"}, {"route-as=bert-3c4d", "web>bert>pricing"},
	}
	var crossed, failed atomic.Int64
	var wg sync.WaitGroup
	gate := make(chan struct{}, 64)
	for i := range 1000 {
		kind := kinds[i%len(kinds)]
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			req, _ := http.NewRequest(http.MethodGet, "http://"+front(web)+"/", nil)
			if kind.baggage != "" {
				req.Header.Set("Baggage", kind.baggage)
			}
			resp, err := c.Do(req)
			if err != nil {
				failed.Add(1)
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			switch {
			case err != nil || resp.StatusCode != http.StatusOK:
				failed.Add(1)
			case string(body) != kind.want:
				crossed.Add(1)
			}
		})
	}
	wg.Wait()
	if crossed.Load() != 0 || failed.Load() != 0 {
		t.Errorf("%d requests crossed and %d failed of 1000, want none", crossed.Load(), failed.Load())
	}
}

func TestMatchOrderAndExpiry(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	r, now := start(t, route.Table{Version: 1, Services: []route.Service{cart}, Sessions: []route.Session{
		session("s1", "anna-1a2b", "cart", hostAnna), session("s2", "bert-3c4d", "cart", hostBert),
	}})
	port := cart.Ports[0].Port
	backend(t, hostStable, port, says("stable"))
	backend(t, hostAnna, port, says("anna"))
	backend(t, hostBert, port, says("bert"))
	c, url := client(t, false), "http://"+front(cart)+"/"
	tests := []struct {
		name    string
		headers []string
		want    string
		header  string
	}{
		{"nothing", nil, "stable", ""},
		{"baggage", []string{"Baggage", "route-as=anna-1a2b"}, "anna", "s1"},
		{"kubernetes", []string{"Kubernetes-Route-As", "bert-3c4d"}, "bert", "s2"},
		{"azds", []string{"Azds-Route-As", "bert-3c4d"}, "bert", "s2"},
		{"baggage wins", []string{"Baggage", "route-as=anna-1a2b", "Kubernetes-Route-As", "bert-3c4d"}, "anna", "s1"},
		{"kubernetes wins", []string{"Azds-Route-As", "anna-1a2b", "Kubernetes-Route-As", "bert-3c4d"}, "bert", "s2"},
		{"unknown", []string{"Baggage", "route-as=carl-5e6f"}, "stable", ""},
	}
	for _, tt := range tests {
		resp, got := fetch(t, c, url, tt.headers...)
		if got != tt.want || resp.Header.Get("X-Route-Session") != tt.header {
			t.Errorf("%s: %s answered with session %q, want %s, %q", tt.name, got, resp.Header.Get("X-Route-Session"), tt.want, tt.header)
		}
	}
	now.pass(2 * time.Minute)
	if _, got := fetch(t, c, url, "Baggage", "route-as=anna-1a2b"); got != "stable" {
		t.Errorf("after the session's time %s answered, want stable", got)
	}
	now.pass(-2 * time.Minute)
	if err := r.Apply(route.Table{Version: 2, Production: true, Services: []route.Service{cart}}); err != nil {
		t.Fatal(err)
	}
	resp, got := fetch(t, c, url, "Baggage", "route-as=anna-1a2b")
	if got != "stable" || resp.Header.Get("X-Route-Track") != "" {
		t.Errorf("in production %s answered and said %q", got, resp.Header.Get("X-Route-Track"))
	}
}

func TestSessionAway(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	lax := session("s2", "bert-3c4d", "cart", hostNobody)
	lax.Fallback = true
	laptop := session("s3", "carl-5e6f", "cart", hostBert)
	laptop.Fallback = true
	start(t, route.Table{Version: 1, Services: []route.Service{cart}, Sessions: []route.Session{session("s1", "anna-1a2b", "cart", hostNobody), lax, laptop}})
	port := cart.Ports[0].Port
	backend(t, hostStable, port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "stable %s", body)
	}))
	backend(t, hostBert, port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Towpath-Reason", "the laptop is away")
		w.WriteHeader(http.StatusBadGateway)
	}))
	c, url := client(t, false), "http://"+front(cart)+"/"
	resp, body := fetch(t, c, url, "Baggage", "route-as=anna-1a2b", "Accept", "text/html")
	if resp.StatusCode != 502 || !strings.Contains(resp.Header.Get("X-Towpath-Reason"), "session s1 is away") || !strings.Contains(body, "towpath dev stop") {
		t.Errorf("a session that is away answers %d %q %q", resp.StatusCode, resp.Header, body)
	}
	if resp, _ := fetch(t, c, url, "Baggage", "route-as=anna-1a2b", "Content-Type", "application/grpc"); resp.StatusCode != 200 || resp.Header.Get("Grpc-Status") != "14" {
		t.Errorf("to gRPC it answers %d %q", resp.StatusCode, resp.Header)
	}
	for _, key := range []string{"bert-3c4d", "carl-5e6f"} {
		req, _ := http.NewRequest(http.MethodPost, url, strings.NewReader("order"))
		req.Header.Set("Baggage", "route-as="+key)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(got) != "stable order" || resp.Header.Get("X-Route-Track") != "stable" {
			t.Errorf("with fallback and key %s %q answers", key, got)
		}
	}
}

func TestWeightsStickyAndMirror(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	cart.Tracks = []route.Track{{Name: route.Stable, Host: hostStable, Weight: 60}, {Name: route.Baseline, Host: hostBaseline, Weight: 20}, {Name: route.Canary, Host: hostCanary, Weight: 20}}
	r, _ := start(t, route.Table{Version: 1, Services: []route.Service{cart}})
	port := cart.Ports[0].Port
	copies := make(chan string, 10)
	backend(t, hostStable, port, says("stable"))
	backend(t, hostBaseline, port, says("baseline"))
	backend(t, hostCanary, port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Towpath-Mirror") != "" {
			body, _ := io.ReadAll(r.Body)
			copies <- r.Method + " " + r.URL.Path + " " + string(body)
		}
		fmt.Fprint(w, "canary")
	}))
	c, url := client(t, false), "http://"+front(cart)+"/"
	seen := map[string]int{}
	for range 500 {
		_, got := fetch(t, c, url)
		seen[got]++
	}
	// Eight standard deviations of the share that each should have.
	if seen["canary"] < 30 || seen["canary"] > 180 || seen["baseline"] < 30 || seen["baseline"] > 180 || seen["stable"] < 200 {
		t.Errorf("of 500 requests with weights 60, 20, 20 there came %v", seen)
	}
	for sticky, header := range map[string]string{route.StickyKey: "Kubernetes-Route-As", route.StickyTrace: "Traceparent"} {
		cart.Sticky = sticky
		if err := r.Apply(route.Table{Version: 2, Services: []route.Service{cart}}); err != nil {
			t.Fatal(err)
		}
		value := map[string]string{route.StickyKey: "anna-1a2b", route.StickyTrace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}[sticky]
		_, first := fetch(t, c, url, header, value)
		for range 30 {
			if _, got := fetch(t, c, url, header, value); got != first {
				t.Fatalf("sticky by %s went from %s to %s", sticky, first, got)
			}
		}
	}
	cart.Sticky = route.StickyCookie
	cart.Tracks = []route.Track{{Name: route.Stable, Host: hostStable, Weight: 100}, {Name: route.Canary, Host: hostCanary}}
	cart.Mirror = route.Canary
	if err := r.Apply(route.Table{Version: 3, Services: []route.Service{cart}}); err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodPost, url+"buy", strings.NewReader("two"))
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if len(resp.Cookies()) != 1 || resp.Cookies()[0].Name != "towpath-sticky" || resp.Header.Get("X-Route-Track") != "stable" {
		t.Errorf("the answer's headers are %v", resp.Header)
	}
	if got := <-copies; got != "POST /buy two" {
		t.Errorf("the mirror got %q", got)
	}
}

func TestPortsComeAndGo(t *testing.T) {
	cart, web := one(t, "cart", route.HTTP), one(t, "web", route.HTTP)
	r, _ := start(t, route.Table{Version: 1, Services: []route.Service{cart}})
	backend(t, hostStable, cart.Ports[0].Port, says("cart"))
	backend(t, hostStable, web.Ports[0].Port, says("web"))
	c := client(t, false)
	if err := r.Apply(route.Table{Version: 2, Services: []route.Service{web}}); err != nil {
		t.Fatal(err)
	}
	if _, got := fetch(t, c, "http://"+front(web)+"/"); got != "web" {
		t.Errorf("the new port answers %q", got)
	}
	for range 1000 {
		if _, err := c.Get("http://" + front(cart) + "/"); err != nil {
			break
		}
		time.Sleep(5 * time.Millisecond) // A listener shuts beside Apply: only asking tells that it has.
	}
	if _, err := c.Get("http://" + front(cart) + "/"); err == nil {
		t.Error("the port that left the table still answers")
	}
	bad := route.Table{Version: 3, Services: []route.Service{{Name: "web"}}}
	if err := r.Apply(bad); err == nil {
		t.Error("a table without ports was taken")
	}
	if _, got := fetch(t, c, "http://"+front(web)+"/"); got != "web" {
		t.Errorf("after a refused table the port answers %q", got)
	}
}

func TestAdmin(t *testing.T) {
	web, cart := one(t, "web", route.HTTP), one(t, "cart", route.HTTP)
	r, _ := start(t, route.Table{Version: 7, Services: []route.Service{web, cart}, Sessions: []route.Session{session("s1", "anna-1a2b", "cart", hostAnna)}})
	backend(t, hostStable, web.Ports[0].Port, says("web"))
	backend(t, hostStable, cart.Ports[0].Port, says("cart"))
	backend(t, hostAnna, cart.Ports[0].Port, http.NotFoundHandler())
	c := client(t, false)
	trace := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	fetch(t, c, "http://"+front(cart)+"/a", "Baggage", "route-as=anna-1a2b", "Traceparent", trace)
	fetch(t, c, "http://"+front(web)+"/b", "Traceparent", trace)
	fetch(t, c, "http://"+front(web)+"/c")
	for path, wants := range map[string][]string{
		"/healthz": {"ok"}, "/readyz": {"ok"},
		"/routes": {`"version":7`, `"live":true`, `"id":"s1"`, `"key":"sha256:`},
		"/metrics": {
			`towpath_router_requests_total{service="cart",track="session",code="404"} 1`,
			`towpath_router_requests_total{service="web",track="stable",code="200"} 2`,
			`towpath_router_request_seconds_count{service="web",track="stable"} 2`,
			`towpath_router_request_seconds_bucket{service="web",track="stable",le="+Inf"} 2`,
		},
		"/access?key=anna-1a2b": {`"session":"s1"`, `"path":"/a"`, `"status":404`, `"path":"/b"`},
		"/access?key=other":     {"[]"},
		"/access":               {"name the key"},
	} {
		shows(t, r, path, wants...)
	}
	// Every pod of the namespace may ask: none learns the key of a session.
	for _, path := range []string{"/routes", "/access", "/metrics"} {
		w := httptest.NewRecorder()
		r.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if strings.Contains(w.Body.String(), "anna-1a2b") {
			t.Errorf("%s gives the key away: %s", path, w.Body)
		}
	}
}

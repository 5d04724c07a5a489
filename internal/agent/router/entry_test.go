package router_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/agent/router"
	"towpath.dev/towpath/internal/deploy/route"
)

func TestPreview(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	web := one(t, "web", route.HTTP)
	web.Edge = true
	_, now := start(t, route.Table{Version: 1, PreviewKey: public, Services: []route.Service{web}, Sessions: []route.Session{session("s1", "anna-1a2b", "web", hostAnna)}})
	backend(t, hostStable, web.Ports[0].Port, repeats("stable"))
	backend(t, hostAnna, web.Ports[0].Port, repeats("anna"))
	c, url := client(t, false), "http://"+front(web)
	host := "ANNA-1a2b.shop.example:8080"
	sign := func(p route.Preview) string {
		token, err := route.Sign(private, p)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := sign(route.Preview{Session: "s1", Key: "anna-1a2b", Expires: now.Now().Add(30 * time.Second)})
	for name, token := range map[string]string{
		"no token": "", "another session": sign(route.Preview{Session: "s9", Key: "anna-1a2b", Expires: now.Now().Add(time.Minute)}),
		"another key": sign(route.Preview{Session: "s1", Key: "bert-1a2b", Expires: now.Now().Add(time.Minute)}),
		"expired":     sign(route.Preview{Session: "s1", Key: "anna-1a2b", Expires: now.Now().Add(-time.Minute)}), "changed": good[:len(good)-4] + "AAAA",
	} {
		resp, body := fetch(t, c, url+"/?towpath-preview="+token, "Host", host, "Baggage", "route-as=anna-1a2b")
		if resp.StatusCode != 403 || resp.Header.Get("X-Towpath-Reason") == "" || strings.Contains(body, "anna ") {
			t.Errorf("%s: %d %q", name, resp.StatusCode, body)
		}
	}
	resp, _ := fetch(t, c, url+"//evil.example/x?a=1&towpath-preview="+good+"&b=2", "Host", host)
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/evil.example/x?a=1&b=2" || len(resp.Cookies()) != 1 || !resp.Cookies()[0].HttpOnly {
		t.Fatalf("the link is answered %d %v", resp.StatusCode, resp.Header)
	}
	cookie := "theme=dark; towpath-preview=" + resp.Cookies()[0].Value
	resp, body := fetch(t, c, url+"/x?a=1", "Host", host, "Cookie", cookie, "Baggage", "a=b")
	want := `anna shop.example:8080 /x?a=1 ["route-as=anna-1a2b,a=b"] anna-1a2b anna-1a2b theme=dark`
	if body != want || resp.Header.Get("Location") != "http://"+host+"/login" {
		t.Errorf("the preview answers %q, Location %q, want %q", body, resp.Header.Get("Location"), want)
	}
	if _, body := fetch(t, c, url+"/", "Host", "shop.example", "Baggage", "route-as=anna-1a2b"); !strings.HasPrefix(body, "stable ") {
		t.Errorf("an edge let a key in: %q", body)
	}
	ended := sign(route.Preview{Session: "s7", Key: "carl-5e6f", Expires: now.Now().Add(30 * time.Second)})
	if resp, _ := fetch(t, c, url+"/", "Host", "carl-5e6f.shop.example", "Cookie", "towpath-preview="+ended); resp.StatusCode != 403 {
		t.Errorf("the preview of a session that has ended is answered %d", resp.StatusCode)
	}
	now.pass(45 * time.Second)
	if resp, _ := fetch(t, c, url+"/", "Host", host, "Cookie", cookie); resp.StatusCode != 403 {
		t.Errorf("after its time the cookie is answered %d", resp.StatusCode)
	}
}

// repeats answers with what it was asked, and redirects to its own host.
func repeats(build string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://"+r.Host+"/login")
		fmt.Fprintf(w, "%s %s %s %q %s %s %s", build, r.Host, r.RequestURI, r.Header["Baggage"], r.Header.Get("Kubernetes-Route-As"), r.Header.Get("Azds-Route-As"), r.Header.Get("Cookie"))
	})
}

// TestStopFinishesWhatIsUnderWay stops a router while a request runs: it is answered, and
// no other is taken then.
func TestStopFinishesWhatIsUnderWay(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	r, err := router.New(router.Config{Source: none{}, Admin: "127.0.0.1:0", Host: "127.0.0.1", Grace: 50 * time.Millisecond, Drain: time.Minute, Now: time.Now, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	if err := r.Apply(route.Table{Version: 1, Services: []route.Service{cart}}); err != nil {
		t.Fatal(err)
	}
	arrived, answer := make(chan struct{}), make(chan struct{})
	backend(t, hostStable, cart.Ports[0].Port, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-answer
		fmt.Fprint(w, "late")
	}))
	c := client(t, false)
	got := make(chan string, 1)
	go func() {
		resp, err := c.Get("http://" + front(cart) + "/")
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	<-arrived
	cancel()
	for {
		conn, err := net.Dial("tcp", front(cart))
		if err != nil {
			break // it has stopped to accept
		}
		_ = conn.Close()
		time.Sleep(5 * time.Millisecond) // Only asking tells that a port is shut; the test ends by its own timeout.
	}
	if r.Ready() == nil {
		t.Error("a router that was told to stop says that it is ready")
	}
	close(answer)
	if body := <-got; body != "late" {
		t.Errorf("the request that was under way got %q", body)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

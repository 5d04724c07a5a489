package router_test

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"towpath.dev/towpath/internal/agent/router"
	"towpath.dev/towpath/internal/deploy/route"
)

// TestAPodOnItsWayOut: the end of a pod must not be a caller's error. A connection that
// breaks before an answer is made again for what may be asked twice, and a track that has
// gone leaves its requests to the stable one.
func TestAPodOnItsWayOut(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	cart.Tracks = []route.Track{{Name: route.Stable, Host: hostStable, Weight: 0}, {Name: route.Canary, Host: hostCanary, Weight: 100}}
	r, _ := start(t, route.Table{Version: 1, Services: []route.Service{cart}})
	backend(t, hostStable, cart.Ports[0].Port, says("stable"))
	c := client(t, false)
	if resp, got := fetch(t, c, "http://"+front(cart)+"/"); got != "stable" || resp.Header.Get(router.HeaderTrack) != route.Stable {
		t.Errorf("while the canary is gone, %d %q answers", resp.StatusCode, got)
	}
	// The canary takes requests and breaks their connections. It has read something before: a
	// connection that breaks earlier can fail while it is made, and then nothing was asked.
	ln, err := net.Listen("tcp", net.JoinHostPort(hostCanary, strconv.Itoa(cart.Ports[0].Port)))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var taken atomic.Int64
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}()
	if resp, got := fetch(t, c, "http://"+front(cart)+"/"); got != "stable" || taken.Load() == 0 {
		t.Errorf("while the canary breaks connections, %d %q answers after it took %d", resp.StatusCode, got, taken.Load())
	}
	// What changes something is asked once only.
	before := taken.Load()
	resp, err := c.Post("http://"+front(cart)+"/", "text/plain", strings.NewReader("once"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway || taken.Load() != before+1 {
		t.Errorf("a request that was cut is answered %d after %d connections", resp.StatusCode, taken.Load()-before)
	}
	shows(t, r, "/metrics", `towpath_router_requests_total{service="cart",track="stable",code="200"} 2`)
}

// TestAPodThatComesUp: while the addresses of a service point to a pod that has gone, its
// callers wait a moment for the next one.
func TestAPodThatComesUp(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	start(t, route.Table{Version: 1, Services: []route.Service{cart}})
	late := time.AfterFunc(100*time.Millisecond, func() { backend(t, hostStable, cart.Ports[0].Port, says("late")) })
	defer late.Stop()
	resp, err := client(t, false).Post("http://"+front(cart)+"/", "text/plain", strings.NewReader("order"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "late" {
		t.Errorf("the caller is answered %d %q, %v", resp.StatusCode, got, err)
	}
}

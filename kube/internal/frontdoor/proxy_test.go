package frontdoor_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"towpath.dev/towpath/kube/internal/frontdoor"
)

// open serves a Door whose host "app.localhost" leads to the given addresses (host:port).
func open(t *testing.T, addresses ...string) *httptest.Server {
	t.Helper()
	sources := frontdoor.Sources{
		Ingresses: []*networkingv1.Ingress{ingress("app", 0, "app.localhost", "/", networkingv1.PathTypePrefix, "web")},
		Services:  map[string]*corev1.Service{"shop/web": service(nil)},
		Slices:    map[string][]*discoveryv1.EndpointSlice{},
	}
	for _, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		made := slice(endpoint(host, true, true, false))
		made[0].Ports[1].Port = pointer(int32(number))
		sources.Slices["shop/web"] = append(sources.Slices["shop/web"], made...)
	}
	door := frontdoor.NewDoor(slog.New(slog.DiscardHandler))
	door.Replace(frontdoor.NewTable(sources))
	server := httptest.NewServer(door)
	t.Cleanup(server.Close)
	return server
}

func ask(t *testing.T, server *httptest.Server, method, host, accept, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, server.URL+"/path?q=1", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	request.Header.Set("Accept", accept)
	request.Header.Set("X-Forwarded-For", "6.6.6.6")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// closed is an address at which nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestForwardsWithTheHostAndTheCaller(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s host=%s for=%s xhost=%s proto=%s body=%s", r.Method, r.URL, r.Host, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Host"), r.Header.Get("X-Forwarded-Proto"), body)
	}))
	defer pod.Close()
	_, got := ask(t, open(t, pod.Listener.Addr().String()), http.MethodPost, "app.localhost", "", "hello")
	want := "POST /path?q=1 host=app.localhost for=127.0.0.1 xhost=app.localhost proto=http body=hello"
	if got != want {
		t.Errorf("the pod saw %q, want %q", got, want)
	}
}

func TestRouteHeadersFromOutsideAreRemoved(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q %q %q", r.Header.Values("baggage"), r.Header.Values("kubernetes-route-as"), r.Header.Values("azds-route-as"))
	}))
	defer pod.Close()
	door := open(t, pod.Listener.Addr().String())
	for _, test := range []struct {
		baggage []string
		want    string
	}{
		{nil, `[] [] []`},
		{[]string{"route-as=ada-1f3a9c"}, `[] [] []`},
		{[]string{"tenant=7, route-as = ada-1f3a9c;ttl=1 ,user=b"}, `["tenant=7,user=b"] [] []`},
		{[]string{"a=1", "route-as=x,b=2"}, `["a=1,b=2"] [] []`},
		{[]string{"route-as-not=1"}, `["route-as-not=1"] [] []`},
	} {
		request, err := http.NewRequest(http.MethodGet, door.URL+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "app.localhost"
		request.Header["Baggage"] = test.baggage
		request.Header.Set("Kubernetes-Route-As", "ada-1f3a9c")
		request.Header.Set("azds-route-as", "ada-1f3a9c")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(got) != test.want {
			t.Errorf("with baggage %q the pod saw %s, %v; want %s", test.baggage, got, err, test.want)
		}
	}
}

func TestDeadEndpointIsPassedOver(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "body=%s", body)
	}))
	defer pod.Close()
	server := open(t, closed(t), pod.Listener.Addr().String(), closed(t))
	for range 6 { // whoever's turn it is
		if status, got := ask(t, server, http.MethodPost, "app.localhost", "", "hello"); status != http.StatusOK || got != "body=hello" {
			t.Errorf("status %d, body %q", status, got)
		}
	}
}

func TestRequestThatMayHaveBeenSeenIsNotRepeated(t *testing.T) {
	seen := make(chan string, 8)
	hangUp := func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Method
		connection, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			connection.Close()
		}
	}
	one, two := httptest.NewServer(http.HandlerFunc(hangUp)), httptest.NewServer(http.HandlerFunc(hangUp))
	defer one.Close()
	defer two.Close()
	server := open(t, one.Listener.Addr().String(), two.Listener.Addr().String())
	for _, test := range []struct {
		method string
		want   int
	}{{http.MethodPost, 1}, {http.MethodGet, 2}} {
		body := ""
		if test.method == http.MethodPost {
			body = "order"
		}
		status, _ := ask(t, server, test.method, "app.localhost", "", body)
		if status != http.StatusBadGateway || len(seen) != test.want {
			t.Errorf("%s: status %d, seen by %d pods, want 502 and %d", test.method, status, len(seen), test.want)
		}
		for len(seen) > 0 {
			<-seen
		}
	}
}

func TestStreamsAndUpgrades(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		connection, buffer, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer connection.Close()
		fmt.Fprint(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := buffer.ReadString('\n')
		fmt.Fprint(connection, "echo "+line)
	}))
	defer pod.Close()
	server := open(t, pod.Listener.Addr().String())
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprint(connection, "GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("response %v, err %v", response, err)
	}
	fmt.Fprint(connection, "hello\n")
	if line, err := reader.ReadString('\n'); err != nil || line != "echo hello\n" {
		t.Errorf("got %q, err %v", line, err)
	}
}

func TestPagesExplain(t *testing.T) {
	server := open(t)
	status, page := ask(t, server, http.MethodGet, "<script>.localhost", "text/html", "")
	if status != http.StatusNotFound || strings.Contains(page, "<script>") || !strings.Contains(page, "app.localhost") {
		t.Errorf("status %d; the page must name the known hosts and escape what the request says:\n%s", status, page)
	}
	if status, _ := ask(t, server, http.MethodGet, frontdoor.HealthHost, "", ""); status != http.StatusOK {
		t.Errorf("health is answered with %d", status)
	}
}

func TestDoorWithoutRoutesIsNotReady(t *testing.T) {
	server := httptest.NewServer(frontdoor.NewDoor(slog.New(slog.DiscardHandler)))
	defer server.Close()
	for _, host := range []string{frontdoor.HealthHost, "app.localhost"} {
		if status, _ := ask(t, server, http.MethodGet, host, "", ""); status != http.StatusServiceUnavailable {
			t.Errorf("%s is answered with %d", host, status)
		}
	}
}

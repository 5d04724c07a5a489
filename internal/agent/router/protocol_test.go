package router_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"towpath.dev/towpath/internal/deploy/route"
)

// chat answers each message of a gRPC stream with the build and the message, and fails
// with DataLoss at "fail".
func chat(build string) *grpc.Server {
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Chat", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Talk", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
			stream.SetTrailer(metadata.Pairs("x-build", build))
			for {
				in := &wrapperspb.StringValue{}
				if err := stream.RecvMsg(in); err != nil {
					if errors.Is(err, io.EOF) {
						return nil
					}
					return err
				}
				if in.Value == "fail" {
					return status.Error(codes.DataLoss, "as you wish")
				}
				if err := stream.SendMsg(wrapperspb.String(build + " " + in.Value)); err != nil {
					return err
				}
			}
		}}},
	}, nil)
	return s
}

func talk(t *testing.T, address, key string, messages ...string) (answers []string, trailer metadata.MD, err error) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "baggage", "route-as="+key)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Chat/Talk")
	if err != nil {
		return nil, nil, err
	}
	for _, m := range messages {
		if err := stream.SendMsg(wrapperspb.String(m)); err != nil {
			return answers, nil, err
		}
		out := &wrapperspb.StringValue{}
		// Each answer comes before the next message goes: nothing is held back.
		if err := stream.RecvMsg(out); err != nil {
			return answers, stream.Trailer(), err
		}
		answers = append(answers, out.Value)
	}
	if err := stream.CloseSend(); err != nil {
		return answers, nil, err
	}
	if err := stream.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
		return answers, stream.Trailer(), err
	}
	return answers, stream.Trailer(), nil
}

func TestGRPC(t *testing.T) {
	catalog := one(t, "catalog", route.H2C)
	r, _ := start(t, route.Table{Version: 1, Services: []route.Service{catalog}, Sessions: []route.Session{
		session("s1", "anna-1a2b", "catalog", hostAnna), session("s2", "bert-3c4d", "catalog", hostNobody),
	}})
	for host, build := range map[string]string{hostStable: "stable", hostAnna: "anna"} {
		ln, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, catalog.Ports[0].Port))
		if err != nil {
			t.Fatal(err)
		}
		s := chat(build)
		go func() { _ = s.Serve(ln) }()
		t.Cleanup(s.Stop)
	}
	for key, build := range map[string]string{"anna-1a2b": "anna", "nobody-0000": "stable"} {
		answers, trailer, err := talk(t, front(catalog), key, "one", "two", "three")
		want := fmt.Sprintf("[%[1]s one %[1]s two %[1]s three]", build)
		if err != nil || fmt.Sprint(answers) != want || fmt.Sprint(trailer["x-build"]) != "["+build+"]" {
			t.Errorf("key %s: %v, trailer %v, %v; want %s", key, answers, trailer, err, want)
		}
	}
	// Its status comes in the header: often, because a header that goes alone is a race.
	for range 50 {
		if _, _, err := talk(t, front(catalog), "x", "fail"); status.Code(err) != codes.DataLoss {
			t.Fatalf("a failing stream ends with %v, want DataLoss", err)
		}
	}
	_, _, err := talk(t, front(catalog), "bert-3c4d", "hello")
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "session s2 is away") {
		t.Errorf("a session that is away ends a stream with %v", err)
	}
	shows(t, r, "/metrics", `towpath_router_requests_total{service="catalog",track="stable",code="500"} 50`)
}

func TestWebSocket(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	start(t, route.Table{Version: 1, Services: []route.Service{cart}, Sessions: []route.Session{session("s1", "anna-1a2b", "cart", hostAnna)}})
	for host, build := range map[string]string{hostStable: "stable", hostAnna: "anna"} {
		backend(t, host, cart.Ports[0].Port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer c.CloseNow()
			for {
				kind, data, err := c.Read(r.Context())
				if err != nil {
					return
				}
				_ = c.Write(r.Context(), kind, append([]byte(build+" "), data...))
			}
		}))
	}
	for key, build := range map[string]string{"anna-1a2b": "anna", "": "stable"} {
		h := http.Header{}
		if key != "" {
			h.Set("Baggage", "route-as="+key)
		}
		c, _, err := websocket.Dial(t.Context(), "ws://"+front(cart)+"/ws", &websocket.DialOptions{HTTPHeader: h})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []string{"one", "two"} {
			if err := c.Write(t.Context(), websocket.MessageText, []byte(m)); err != nil {
				t.Fatal(err)
			}
			_, data, err := c.Read(t.Context())
			if err != nil || string(data) != build+" "+m {
				t.Errorf("key %q: %q, %v", key, data, err)
			}
		}
		_ = c.Close(websocket.StatusNormalClosure, "")
	}
}

// TestEventsComeAtOnce reads each event before the next is sent, and sees that the backend
// learns when the client goes.
func TestEventsComeAtOnce(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		cart := one(t, "cart", route.HTTP)
		start(t, route.Table{Version: 1, Services: []route.Service{cart}})
		next, gone := make(chan string), make(chan struct{})
		backend(t, hostStable, cart.Ports[0].Port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for {
				select {
				case e := <-next:
					fmt.Fprintf(w, "data: %s\n\n", e)
					_ = http.NewResponseController(w).Flush()
				case <-r.Context().Done():
					close(gone)
					return
				}
			}
		}))
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+front(cart)+"/", nil)
		go func() { next <- "0" }()
		resp, err := client(t, http2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(resp.Body)
		for i := range 5 {
			if i > 0 {
				next <- fmt.Sprint(i)
			}
			line, err := lines.ReadString('\n')
			if err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("event %d came as %q, %v", i, line, err)
			}
			_, _ = lines.ReadString('\n')
		}
		cancel()
		<-gone
		_ = resp.Body.Close()
	}
}

func TestTrailersAndTransparency(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	start(t, route.Table{Version: 1, Services: []route.Service{cart}})
	backend(t, hostStable, cart.Ports[0].Port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-End")
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %s %s", r.Proto, r.Host, r.RequestURI, r.Trailer.Get("X-Sum"), r.Header.Get("X-Forwarded-For")))
		_, _ = w.Write(body)
		w.Header().Set("X-End", "of it")
	}))
	for _, http2 := range []bool{false, true} {
		req, _ := http.NewRequest(http.MethodPost, "http://"+front(cart)+"/a%2Fb//c?x=1;y&z=%zz", io.MultiReader(strings.NewReader("hello")))
		req.Host, req.Trailer = "cart.shop:80", http.Header{"X-Sum": {"5"}}
		req.Header.Set("X-Forwarded-For", "192.0.2.1")
		resp, err := client(t, http2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		proto := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]
		want := proto + " cart.shop:80 /a%2Fb//c?x=1;y&z=%zz 5 192.0.2.1, 127.0.0.1"
		if string(body) != "hello" || resp.Trailer.Get("X-End") != "of it" || resp.Header.Get("X-Seen") != want {
			t.Errorf("HTTP/2 %t: body %q, trailer %v, seen %q, want %q", http2, body, resp.Trailer, resp.Header.Get("X-Seen"), want)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestLargeUpload sends a GiB, 64 MiB with -short, and sees that the process does not hold
// it: router, client and backend are all in it.
func TestLargeUpload(t *testing.T) {
	size := int64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	cart := one(t, "cart", route.HTTP)
	start(t, route.Table{Version: 1, Services: []route.Service{cart}})
	backend(t, hostStable, cart.Ports[0].Port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	}))
	for _, http2 := range []bool{false, true} {
		resp, err := client(t, http2).Post("http://"+front(cart)+"/", "application/octet-stream", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != fmt.Sprint(size, " <nil>") {
			t.Errorf("HTTP/2 %t: the backend says %q of %d bytes", http2, body, size)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapSys > 200<<20 {
		t.Errorf("the heap took %d MiB: bodies are kept", m.HeapSys>>20)
	}
}

// TestAnswerBeforeTheBody gets a refusal while its body has not gone up, and with Expect
// sends no body at all.
func TestAnswerBeforeTheBody(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	start(t, route.Table{Version: 1, Services: []route.Service{cart}})
	backend(t, hostStable, cart.Ports[0].Port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/take" {
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
			return
		}
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_ = http.NewResponseController(w).Flush()
	}))
	c := client(t, false)
	body, hold := io.Pipe()
	defer hold.Close()
	resp, err := c.Post("http://"+front(cart)+"/refuse", "text/plain", body)
	if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatalf("an early answer: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	for path, want := range map[string]int{"/take": 200, "/refuse": 413} {
		sent := &counted{Reader: strings.NewReader("hello")}
		req, _ := http.NewRequest(http.MethodPost, "http://"+front(cart)+path, sent)
		req.ContentLength = 5
		req.Header.Set("Expect", "100-continue")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want || (want == 200) != (string(got) == "hello") || (want == 413) != (sent.n == 0) {
			t.Errorf("%s: status %d, body %q, %d bytes sent", path, resp.StatusCode, got, sent.n)
		}
	}
}

type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// TestOldClients speaks HTTP/1.0, and offers to go on in h2c by Upgrade.
func TestOldClients(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	start(t, route.Table{Version: 1, Services: []route.Service{cart}})
	backend(t, hostStable, cart.Ports[0].Port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		fmt.Fprintf(w, "upgrade %q", r.Header.Get("Upgrade")+r.Header.Get("HTTP2-Settings"))
	}))
	for _, request := range []string{
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: cart\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: cart\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", front(cart))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, request)
		got, err := io.ReadAll(conn)
		_ = conn.Close()
		if err != nil || !bytes.Contains(got, []byte(" 200 OK\r\n")) || !bytes.Contains(got, []byte(`upgrade ""`)) {
			t.Errorf("%q is answered %q, %v", request, got, err)
		}
		if strings.Contains(request, "HTTP/1.0") && bytes.Contains(got, []byte("chunked")) {
			t.Errorf("HTTP/1.0 is answered in chunks: %q", got)
		}
	}
}

func TestRetryOnce(t *testing.T) {
	cart := one(t, "cart", route.HTTP)
	start(t, route.Table{Version: 1, Services: []route.Service{cart}})
	c := client(t, false)
	resp, body := fetch(t, c, "http://"+front(cart)+"/")
	if resp.StatusCode != 502 || !strings.Contains(body, "stable of service cart does not answer (it refuses connections)") {
		t.Errorf("a service without a pod answers %d %q", resp.StatusCode, body)
	}
	// A backend that resets a connection after it has read the request is not asked again.
	ln, err := net.Listen("tcp", fmt.Sprintf("%s:%d", hostStable, cart.Ports[0].Port))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	asked := make(chan struct{}, 10)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<10))
			asked <- struct{}{}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}()
	resp, err = c.Post("http://"+front(cart)+"/", "text/plain", strings.NewReader("order"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 502 || len(asked) != 1 {
		t.Errorf("an order was answered %d and sent %d times, want 502 and once", resp.StatusCode, len(asked))
	}
}

package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"towpath.dev/towpath/internal/agent/router"
	"towpath.dev/towpath/internal/agent/session"
	"towpath.dev/towpath/internal/deploy/route"
)

// tables is a router's Source with one table.
type tables struct{ table route.Table }

func (s tables) Watch(ctx context.Context, apply func(route.Table)) error {
	apply(s.table)
	<-ctx.Done()
	return nil
}

// whole joins a router, a session pod and a developer's program, and returns the router's
// address and a session's tunnel end.
func whole(t *testing.T, protocol, program string) string {
	t.Helper()
	var ports []int
	s := stand(t, func(c *session.Config) { ports = c.Ports })
	connect(t, s, laptop{program})
	listen := port(t)
	r, err := router.New(router.Config{
		Admin: "127.0.0.1:0", Host: "127.0.0.1", Drain: time.Second, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Source: tables{route.Table{
			Version:  1,
			Services: []route.Service{{Name: "cart", Ports: []route.Port{{Port: ports[0], Listen: listen, Protocol: protocol}}, Tracks: []route.Track{{Name: route.Stable, Host: "127.0.0.9", Weight: 100}}}},
			Sessions: []route.Session{{ID: "s1", Key: "anna-1a2b", User: "anna", Service: "cart", Host: "127.0.0.1", Expires: time.Now().Add(time.Hour)}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	waitFor(t, func() bool { return r.Ready() == nil })
	return fmt.Sprintf("127.0.0.1:%d", listen)
}

// keyed adds the session's key to each request.
type keyed struct{ http.RoundTripper }

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Baggage", "route-as=anna-1a2b")
	return k.RoundTripper.RoundTrip(r)
}

// TestUploadAndWebSocketThroughAll sends a GiB (64 MiB with -short) and a conversation
// through router, session pod and tunnel.
func TestUploadAndWebSocketThroughAll(t *testing.T) {
	program := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
			return
		}
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
			_ = c.Write(r.Context(), kind, append([]byte("laptop "), data...))
		}
	})
	front := whole(t, route.HTTP, program)
	size := int64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	c := &http.Client{Transport: keyed{http.DefaultTransport}}
	resp, err := c.Post("http://"+front+"/", "application/octet-stream", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(body) != fmt.Sprint(size, " <nil>") || resp.Header.Get("X-Route-Session") != "s1" {
		t.Errorf("of %d bytes the laptop says %q, by %v", size, body, resp.Header)
	}
	ws, _, err := websocket.Dial(t.Context(), "ws://"+front+"/", &websocket.DialOptions{HTTPClient: c})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"one", "two"} {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(m)); err != nil {
			t.Fatal(err)
		}
		if _, data, err := ws.Read(t.Context()); err != nil || string(data) != "laptop "+m {
			t.Errorf("the laptop says %q, %v", data, err)
		}
	}
	_ = ws.Close(websocket.StatusNormalClosure, "")
}

// TestGRPCThroughAll talks with a gRPC server on the developer's machine, each answer
// before the next message.
func TestGRPCThroughAll(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Chat", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "Talk", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			s.SetTrailer(metadata.Pairs("x-end", "of it"))
			for {
				in := &wrapperspb.StringValue{}
				if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(wrapperspb.String("laptop " + in.Value)); err != nil {
					return err
				}
			}
		},
	}}}, nil)
	go func() { _ = server.Serve(ln) }()
	defer server.Stop()
	front := whole(t, route.H2C, ln.Addr().String())
	conn, err := grpc.NewClient("passthrough:///"+front, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "baggage", "route-as=anna-1a2b")
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Chat/Talk")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"one", "two", "three"} {
		out := &wrapperspb.StringValue{}
		if err := stream.SendMsg(wrapperspb.String(m)); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(out); err != nil || out.Value != "laptop "+m {
			t.Fatalf("the laptop says %q, %v", out.Value, err)
		}
	}
	_ = stream.CloseSend()
	if err := stream.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) || fmt.Sprint(stream.Trailer()["x-end"]) != "[of it]" {
		t.Errorf("the stream ends with %v, trailer %v", err, stream.Trailer())
	}
}

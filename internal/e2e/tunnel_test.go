//go:build prove

package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TestTunnel takes what is no short request through router and tunnel: gRPC with streams
// both ways, a WebSocket, and much data up and down.
func TestTunnel(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "pipes")
	p.chained()
	// The pods of cart answer gRPC too, by a Service that says so.
	file := filepath.Join(p.dir, "chart/templates/cart.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p.write("chart/templates/cart.yaml", strings.TrimRight(string(b), "\n-")+`
---
apiVersion: v1
kind: Service
metadata:
  name: calls
spec:
  selector: {app: cart}
  ports: [{port: 80, targetPort: http, appProtocol: kubernetes.io/h2c}]
`)
	run := p.deployed("First", p.imageStage(), p.toDevelopment())
	ada := p.person("ada-of-pipes", "maintain")
	p.calls(ada, run.Commit)

	l := newLocal(t, ada.name)
	v := p.attach(ada, "app", l)
	p.messages(v)
	p.carriesMuch(v)
	v.end()
	p.gone(v)
}

// answering is a gRPC service that says whose it is.
type answering struct {
	grpc_testing.UnimplementedTestServiceServer
	who string
}

func (s *answering) payload() *grpc_testing.Payload {
	return &grpc_testing.Payload{Body: []byte(s.who)}
}

func (s *answering) UnaryCall(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return &grpc_testing.SimpleResponse{Payload: s.payload()}, nil
}

func (s *answering) StreamingOutputCall(r *grpc_testing.StreamingOutputCallRequest, stream grpc_testing.TestService_StreamingOutputCallServer) error {
	for range r.ResponseParameters {
		if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: s.payload()}); err != nil {
			return err
		}
	}
	return status.Error(codes.DataLoss, "a trailer of "+s.who)
}

func (s *answering) FullDuplexCall(stream grpc_testing.TestService_FullDuplexCallServer) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: r.Payload}); err != nil {
			return err
		}
	}
}

// calls makes calls of each kind over one connection, with the key and without one.
func (p *project) calls(ada person, build string) {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(server, &answering{who: ada.name})
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	v := p.develop(ada, 0, p.t.TempDir(), "calls", "--attach", l.Addr().String())
	v.await("attached")
	v.open()
	ip, err := p.kubectl("-n", p.name, "get", "service", "calls", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		p.t.Fatal(err)
	}
	conn, err := grpc.NewClient(net.JoinHostPort(strings.TrimSpace(ip), "80"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	client := grpc_testing.NewTestServiceClient(conn)
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	keyed := metadata.AppendToOutgoingContext(ctx, "baggage", "route-as="+v.session.Key)
	for range 20 {
		got, err := client.UnaryCall(keyed, &grpc_testing.SimpleRequest{})
		if err != nil || string(got.GetPayload().GetBody()) != ada.name {
			p.t.Errorf("the keyed call got %v, %v", got, err)
		}
		if _, err := client.UnaryCall(ctx, &grpc_testing.SimpleRequest{}); status.Code(err) != codes.NotFound || status.Convert(err).Message() != build {
			p.t.Errorf("the call without a key got %v, want the words of build %s", err, build)
		}
	}
	p.streamsDown(keyed, client, ada.name)
	p.streamsBoth(keyed, client)
	v.end()
	p.gone(v)
}

func (p *project) streamsDown(ctx context.Context, client grpc_testing.TestServiceClient, who string) {
	p.t.Helper()
	const n = 1000
	stream, err := client.StreamingOutputCall(ctx, &grpc_testing.StreamingOutputCallRequest{ResponseParameters: make([]*grpc_testing.ResponseParameters, n)})
	if err != nil {
		p.t.Error(err)
		return
	}
	for i := range n {
		if got, err := stream.Recv(); err != nil || string(got.GetPayload().GetBody()) != who {
			p.t.Errorf("answer %d of the stream is %v, %v", i, got, err)
			return
		}
	}
	if _, err := stream.Recv(); status.Code(err) != codes.DataLoss || status.Convert(err).Message() != "a trailer of "+who {
		p.t.Errorf("the stream ended with %v", err)
	}
}

// streamsBoth wants each answer before it sends the next message: nothing on the way may
// wait for more.
func (p *project) streamsBoth(ctx context.Context, client grpc_testing.TestServiceClient) {
	p.t.Helper()
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		p.t.Error(err)
		return
	}
	for i := range 300 {
		want := fmt.Appendf(nil, "message %d", i)
		if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{Payload: &grpc_testing.Payload{Body: want}}); err != nil {
			p.t.Error(err)
			return
		}
		if got, err := stream.Recv(); err != nil || !bytes.Equal(got.GetPayload().GetBody(), want) {
			p.t.Errorf("message %d came back as %v, %v", i, got, err)
			return
		}
	}
	if err := stream.CloseSend(); err != nil {
		p.t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		p.t.Errorf("the stream ended with %v", err)
	}
}

// messages sends small and large messages over one WebSocket and wants them back.
func (p *project) messages(v *developer) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, v.address("/socket"), &websocket.DialOptions{HTTPClient: v.front})
	if err != nil {
		p.t.Errorf("a WebSocket through the preview: %v", err)
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(16 << 20)
	large := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(large) // It does not fail.
	for i := range 200 {
		want := fmt.Appendf(nil, "message %d", i)
		if i%50 == 49 {
			want = large
		}
		if err := conn.Write(ctx, websocket.MessageBinary, want); err != nil {
			p.t.Errorf("writing message %d: %v", i, err)
			return
		}
		if _, got, err := conn.Read(ctx); err != nil || !bytes.Equal(got, want) {
			p.t.Errorf("message %d of %d bytes came back with %d, %v", i, len(want), len(got), err)
			return
		}
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		p.t.Errorf("closing the WebSocket: %v", err)
	}
}

// parts are the processes on the way through the tunnel.
func (p *project) parts(v *developer) map[string]int {
	p.t.Helper()
	parts := map[string]int{"towpath dev": v.cmd.Process.Pid, "server": p.running.Process.Pid}
	for uid, name := range p.pods(p.name) {
		what := ""
		switch {
		case strings.HasPrefix(name, "towpath-router"):
			what = name
		case strings.HasSuffix(name, strings.ToLower(v.session.ID)):
			what = "session pod"
		default:
			continue
		}
		pid, err := processOf(uid)
		if err != nil {
			p.t.Fatal(err)
		}
		parts[what] = pid
	}
	return parts
}

// carriesMuch sends much up and has as much come down, and looks at what the parts on the
// way keep of it.
func (p *project) carriesMuch(v *developer) {
	p.t.Helper()
	size := *uploadFlag << 20
	want, err := sumOfNoise(size)
	if err != nil {
		p.t.Fatal(err)
	}
	parts := p.parts(v)
	before := p.peaks(parts)
	client := &http.Client{Jar: v.front.Jar, Transport: p.toDoor()} // without a bound of its time
	start := time.Now()
	resp, err := client.Post(v.address("/sum"), "application/octet-stream", io.NopCloser(noise(size)))
	if err != nil {
		p.t.Fatal(err)
	}
	if got, err := said(resp); err != nil || got != want {
		p.t.Errorf("%d MiB went up as %q, %v; want %q", *uploadFlag, got, err, want)
	}
	up := time.Since(start)
	start = time.Now()
	if resp, err = client.Get(v.address(fmt.Sprintf("/much?bytes=%d", size))); err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, resp.Body)
	if got := fmt.Sprintf("%d %x", n, sum.Sum(nil)); err != nil || got != want {
		p.t.Errorf("%d MiB came down as %q, %v; want %q", *uploadFlag, got, err, want)
	}
	down := time.Since(start)
	p.t.Logf("%d MiB up in %.1f s, down in %.1f s", *uploadFlag, up.Seconds(), down.Seconds())
	for name, after := range p.peaks(parts) {
		p.t.Logf("most memory of %s: %.0f MiB before, %.0f MiB after", name, before[name], after)
		// The server does other things too.
		if grown := after - before[name]; name != "server" && grown > 32 {
			p.t.Errorf("%s kept %.0f MiB of what went through it", name, grown)
		}
	}
}

func (p *project) peaks(parts map[string]int) map[string]float64 {
	p.t.Helper()
	out := map[string]float64{}
	for name, pid := range parts {
		m, err := peak(pid)
		if err != nil {
			p.t.Fatal(err)
		}
		out[name] = m
	}
	return out
}

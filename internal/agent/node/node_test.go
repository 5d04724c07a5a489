package node_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/agent/node"
)

func tokenFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startNode runs a node without a tailer whose relay goes to these addresses.
func startNode(t *testing.T, toHTTP, toGRPC string) (http, grpc string) {
	t.Helper()
	n, err := node.New(t.Context(), node.Config{
		Server: "http://127.0.0.1:1", TokenFile: tokenFile(t, "agent-token"), Name: "node-1", Log: slog.New(slog.DiscardHandler),
		Relay: node.RelayConfig{HTTP: []string{"127.0.0.1:0"}, GRPC: []string{"127.0.0.1:0"}, ToHTTP: toHTTP, ToGRPC: toGRPC},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	h, g := n.OTLP()
	return h[0], g[0]
}

// upstream is the server's HTTP listener: it keeps what reached it.
type upstream struct {
	*httptest.Server
	path   string
	header http.Header
	body   string
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		u.path, u.header, u.body = r.URL.RequestURI(), r.Header.Clone(), string(body)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "the server's words")
	}))
	t.Cleanup(u.Close)
	return u
}

func TestHTTPPassesAndNoHeaderPassesAsOurs(t *testing.T) {
	u := newUpstream(t)
	relay, _ := startNode(t, strings.TrimPrefix(u.URL, "http://"), "127.0.0.1:1")
	req, err := http.NewRequest(http.MethodPost, "http://"+relay+"/v1/traces?x=1", strings.NewReader("bytes"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer stolen", "X-Towpath-Peer": "10.0.0.9", "X-Towpath-Project": "other", "X-Forwarded-For": "10.0.0.9", "Forwarded": "for=10.0.0.9",
		"Cookie": "session=1", "Connection": "Authorization, X-Towpath-Peer", "Content-Encoding": "gzip", "Content-Type": "application/x-protobuf", "User-Agent": "sdk",
	} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 429 || res.Header.Get("Retry-After") != "7" || string(body) != "the server's words" {
		t.Errorf("the pod got %d %v %s %v", res.StatusCode, res.Header, body, err)
	}
	u.header.Del("Accept-Encoding")
	want := http.Header{
		"Authorization": {"Bearer agent-token"}, "X-Towpath-Peer": {"127.0.0.1"}, "Content-Encoding": {"gzip"},
		"Content-Type": {"application/x-protobuf"}, "User-Agent": {"sdk"}, "Content-Length": {"5"},
	}
	if diff := cmp.Diff(want, u.header); diff != "" || u.path != "/v1/traces" || u.body != "bytes" {
		t.Errorf("the server got %s %q with the headers (-want +got):\n%s", u.path, u.body, diff)
	}
}

func TestOnlyExportsPass(t *testing.T) {
	u := newUpstream(t)
	relay, _ := startNode(t, strings.TrimPrefix(u.URL, "http://"), "127.0.0.1:1")
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"POST", "/api/v1/projects", 404}, {"POST", "/v1/traces/../../api", 404}, {"POST", "/v1/%74races", 404}, {"POST", "//v1/traces", 404},
		{"GET", "/v1/traces", 405}, {"POST", "/agent/v1/telemetry", 404},
	} {
		req, err := http.NewRequest(tt.method, "http://"+relay+tt.path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.want {
			t.Errorf("%s %s was answered with %d, want %d", tt.method, tt.path, res.StatusCode, tt.want)
		}
	}
	if u.path != "" {
		t.Errorf("%s reached the server", u.path)
	}
}

func TestAServerThatIsAwayIsToldInOTLP(t *testing.T) {
	relay, grpcRelay := startNode(t, "127.0.0.1:1", "127.0.0.1:1")
	for kind, want := range map[string]string{
		"application/json": `{"message":"the Towpath server`, "application/x-protobuf": "\x12", "": "the Towpath server does not answer",
	} {
		res, err := http.Post("http://"+relay+"/v1/logs", kind, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.HasPrefix(string(body), want) {
			t.Errorf("%q got %d, %v, %q", kind, res.StatusCode, res.Header, body)
		}
	}
	_, err := ptraceotlp.NewGRPCClient(dial(t, grpcRelay)).Export(t.Context(), spans("x"))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "does not answer; the export") {
		t.Errorf("the gRPC client got %v", err)
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	u := newUpstream(t)
	relay, _ := startNode(t, strings.TrimPrefix(u.URL, "http://"), "127.0.0.1:1")
	res, err := http.Post("http://"+relay+"/v1/logs", "application/json", bytes.NewReader(make([]byte, 33<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("33 MiB were answered with %d", res.StatusCode)
	}
}

// collector is the server's gRPC listener.
type collector struct {
	ptraceotlp.UnimplementedGRPCServer
	got    metadata.MD
	spans  int
	answer error
}

func (c *collector) Export(ctx context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	c.got, _ = metadata.FromIncomingContext(ctx)
	c.spans = r.Traces().SpanCount()
	out := ptraceotlp.NewExportResponse()
	out.PartialSuccess().SetErrorMessage("taken")
	return out, c.answer
}

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func spans(name string) ptraceotlp.ExportRequest {
	td := ptrace.NewTraces()
	td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName(name)
	return ptraceotlp.NewExportRequestFromTraces(td)
}

func TestGRPCPassesWithItsTrailers(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, s := &collector{}, grpc.NewServer()
	ptraceotlp.RegisterGRPCServer(s, c)
	go func() { _ = s.Serve(lis) }()
	t.Cleanup(s.Stop)
	_, relay := startNode(t, "127.0.0.1:1", lis.Addr().String())
	client := ptraceotlp.NewGRPCClient(dial(t, relay))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer stolen", "x-towpath-peer", "10.0.0.9", "x-towpath-project", "other")
	res, err := client.Export(ctx, spans("checkout"))
	if err != nil || res.PartialSuccess().ErrorMessage() != "taken" || c.spans != 1 {
		t.Fatalf("the export ended with %v, %v, %d spans", err, res, c.spans)
	}
	got := map[string][]string{}
	for _, k := range []string{"authorization", "x-towpath-peer", "x-towpath-project"} {
		got[k] = c.got.Get(k)
	}
	want := map[string][]string{"authorization": {"Bearer agent-token"}, "x-towpath-peer": {"127.0.0.1"}, "x-towpath-project": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the server saw (-want +got):\n%s", diff)
	}
	c.answer = status.Error(codes.ResourceExhausted, "too fast")
	for range 100 { // whether the status comes with the headers or behind them
		if _, err = client.Export(ctx, spans("x")); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "too fast") {
			t.Fatalf("the pod got %v", err)
		}
	}
	if err := dial(t, relay).Invoke(t.Context(), "/other.Service/Do", spans("x"), spans("y")); status.Code(err) == codes.OK {
		t.Error("another service was reached")
	}
}

func TestManifest(t *testing.T) {
	out, err := node.Manifest(node.ManifestOptions{
		Image: "registry.example/towpath-agent@sha256:0123", Server: "https://towpath.example", OTLPHTTP: "towpath.example:4318", OTLPGRPC: "towpath.example:4317",
		Exclude: []string{"kube-system"},
	})
	if err != nil {
		t.Fatal(err)
	}
	docs := strings.Split(string(out), "---\n")
	if len(docs) != 3 {
		t.Fatalf("%d documents", len(docs)-1)
	}
	var ns corev1.Namespace
	var set appsv1.DaemonSet
	if err := errors.Join(yaml.UnmarshalStrict([]byte(docs[1]), &ns), yaml.UnmarshalStrict([]byte(docs[2]), &set)); err != nil {
		t.Fatal(err)
	}
	if ns.Name != "towpath-system" || set.Namespace != ns.Name || set.Kind != "DaemonSet" {
		t.Errorf("got %s/%s in %s", set.Kind, set.Name, ns.Name)
	}
	pod := set.Spec.Template.Spec
	c := pod.Containers[0]
	sc := c.SecurityContext
	if !*sc.ReadOnlyRootFilesystem || *sc.AllowPrivilegeEscalation || len(sc.Capabilities.Drop) != 1 || sc.Privileged != nil || pod.HostNetwork || *pod.AutomountServiceAccountToken {
		t.Errorf("the container may do more than it needs: %+v", sc)
	}
	for _, m := range c.VolumeMounts {
		if m.Name != "state" && !m.ReadOnly {
			t.Errorf("%s can be written", m.Name)
		}
	}
	if len(c.Ports) != 2 || c.Ports[1].HostPort != 4318 || len(pod.Tolerations) != 1 || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("ports %v, tolerations %v, limits %v", c.Ports, pod.Tolerations, c.Resources.Limits)
	}
	for k, v := range set.Spec.Selector.MatchLabels {
		if set.Spec.Template.Labels[k] != v {
			t.Errorf("the selector wants %s=%s", k, v)
		}
	}
	// The arguments are ones that the command takes.
	args := append([]string{}, c.Args[1:]...)
	if c.Args[0] != "node" {
		t.Errorf("the first argument is %s", c.Args[0])
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := node.Command(ctx, args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "token file") {
		t.Errorf("the command says %v; it should miss the token file only", err)
	}
}

func TestManifestRefuses(t *testing.T) {
	good := node.ManifestOptions{Image: "x", Server: "http://towpath.example"}
	for name, change := range map[string]func(*node.ManifestOptions){
		"no image":  func(o *node.ManifestOptions) { o.Image = "" },
		"no URL":    func(o *node.ManifestOptions) { o.Server = "towpath" },
		"namespace": func(o *node.ManifestOptions) { o.Namespace = "A b" },
		"exclude":   func(o *node.ManifestOptions) { o.Exclude = []string{"--x"} },
		"logs":      func(o *node.ManifestOptions) { o.Logs = "var" },
	} {
		o := good
		change(&o)
		if _, err := node.Manifest(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestTheTokenFileMustBePrivate(t *testing.T) {
	path := tokenFile(t, "x")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := node.New(t.Context(), node.Config{Server: "http://x", TokenFile: path, Name: "n", Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v", err)
	}
}

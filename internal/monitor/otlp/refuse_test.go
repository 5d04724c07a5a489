package otlp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/otlp"
	"towpath.dev/towpath/internal/monitor/table"
)

// said makes a request with one record per project attribute; "" sets none.
func said(projects ...string) plogotlp.ExportRequest {
	ld := plog.NewLogs()
	for _, project := range projects {
		rl := ld.ResourceLogs().AppendEmpty()
		if project != "" {
			rl.Resource().Attributes().PutStr("towpath.project", project)
		}
		r := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		r.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		r.Body().SetStr("hello of " + project)
	}
	return plogotlp.NewExportRequestFromLogs(ld)
}

func proto(t testing.TB, r plogotlp.ExportRequest) []byte {
	t.Helper()
	b, err := r.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// post sends a body of log records.
func post(t *testing.T, w *world, body []byte, headers map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(soon(t), http.MethodPost, w.http+"/v1/logs", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header(headers)
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-protobuf")
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func with(headers map[string]string, more ...string) map[string]string {
	out := map[string]string{}
	for k, v := range headers {
		out[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// projects lists whose rows were stored.
func (m *store) projects() []string {
	var out []string
	for _, r := range m.rows(table.AppTraces) {
		p, _ := r["Project"].(string)
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

func TestNobodyWritesIntoAnothersRows(t *testing.T) {
	tests := []struct {
		name    string
		body    plogotlp.ExportRequest
		headers map[string]string
		status  int
		stored  []string
	}{
		{"a pod that claims another project", said("blog"), pod(shop()), 200, []string{"shop"}},
		{"a pod with another project's header", said(""), with(pod(shop()), "X-Towpath-Project", "blog"), 200, []string{"shop"}},
		{"a pod nobody knows", said(""), map[string]string{"authorization": "Bearer agent", "x-towpath-peer": "10.88.0.77"}, 503, nil},
		{"an agent that names no pod", said("shop"), map[string]string{"authorization": "Bearer agent"}, 400, nil},
		{"an agent with nonsense for an address", said("shop"), map[string]string{"authorization": "Bearer agent", "x-towpath-peer": "10.88.0.5, 10.88.0.6"}, 400, nil},
		{"a user who speaks for a pod", said(""), with(user("user:shop", "shop"), "X-Towpath-Peer", "10.88.0.6"), 403, nil},
		{"nobody", said("shop"), nil, 401, nil},
		{"a wrong token", said("shop"), user("wrong", "shop"), 401, nil},
		{"a user of another project", said(""), user("user:blog", "shop"), 404, nil},
		{"a reader", said(""), user("reader:shop", "shop"), 403, nil},
		{"a user without a project", said(""), user("user:shop", ""), 400, nil},
		{"a user by the header", said(""), user("user:shop", "shop"), 200, []string{"shop"}},
		{"a user by the attribute", said("shop"), user("user:shop", ""), 200, []string{"shop"}},
		{"the header wins over the attribute", said("blog"), user("user:shop", "shop"), 200, []string{"shop"}},
		{"a user by two attributes, one of them not his", said("shop", "blog"), user("user:shop", ""), 200, []string{"shop"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := build(t, nil)
			res, text := post(t, w, proto(t, tt.body), tt.headers)
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", res.StatusCode, tt.status, text)
			}
			if got := w.projects(); !slices.Equal(got, tt.stored) {
				t.Errorf("rows of %q, want %q", got, tt.stored)
			}
		})
	}
}

func TestAPartIsRejectedInThePartialSuccess(t *testing.T) {
	w := build(t, nil)
	_, text := post(t, w, proto(t, said("shop", "blog", "blog")), user("user:shop", ""))
	res := plogotlp.NewExportResponse()
	if err := res.UnmarshalProto([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if got := res.PartialSuccess(); got.RejectedLogRecords() != 2 || !strings.Contains(got.ErrorMessage(), `no project "blog"`) {
		t.Errorf("rejected %d: %s", got.RejectedLogRecords(), got.ErrorMessage())
	}
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(b, nil)
}

func TestBodies(t *testing.T) {
	good := proto(t, said(""))
	asJSON, err := said("").MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 5<<20)
	tests := []struct {
		name    string
		body    []byte
		headers []string
		status  int
	}{
		{"plain", good, nil, 200},
		{"identity", good, []string{"Content-Encoding", "identity"}, 200},
		{"gzip", gzipped(t, good), []string{"Content-Encoding", "gzip"}, 200},
		{"zstd", zstded(t, good), []string{"Content-Encoding", "zstd"}, 200},
		{"JSON", asJSON, []string{"Content-Type", "application/json; charset=utf-8"}, 200},
		{"JSON with zstd", zstded(t, asJSON), []string{"Content-Type", "application/json", "Content-Encoding", "zstd"}, 200},
		{"nothing", nil, nil, 200},
		{"no protobuf", []byte("hello"), nil, 400},
		{"cut off", good[:len(good)-2], nil, 400},
		{"no JSON", []byte("{"), []string{"Content-Type", "application/json"}, 400},
		{"no gzip", good, []string{"Content-Encoding", "gzip"}, 400},
		{"no zstd", good, []string{"Content-Encoding", "zstd"}, 400},
		{"an encoding that is not known", good, []string{"Content-Encoding", "br"}, 400},
		{"a type that is not known", good, []string{"Content-Type", "text/plain"}, 415},
		{"too large", large, nil, 413},
		{"a bomb of gzip", gzipped(t, large), []string{"Content-Encoding", "gzip"}, 413},
		{"a bomb of zstd", zstded(t, large), []string{"Content-Encoding", "zstd"}, 413},
		{"nested without end", nested(250_000), nil, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := build(t, nil)
			res, text := post(t, w, tt.body, with(pod(shop()), tt.headers...))
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %.200s", res.StatusCode, tt.status, text)
			}
			if res.Header.Get("Retry-After") != "" {
				t.Error("the sender is told to send the same again")
			}
			if want := map[bool]int{true: 1}[tt.status == 200 && tt.body != nil]; len(w.batches) != want {
				t.Errorf("%d batches were stored", len(w.batches))
			}
		})
	}
}

// nested makes a record whose body is a list in a list in a list…, depth times: as deep as
// a request of the largest size can be.
func nested(depth int) []byte {
	// Around what is inside: a field with its length. AnyValue.array_value is field 5,
	// ArrayValue.values field 1; then body (5), log_records (2), scope_logs (2) and
	// resource_logs (1).
	tags := bytes.Repeat([]byte{0x2a, 0x0a}, depth)
	tags = append(tags, 0x2a, 0x12, 0x12, 0x0a)
	size, heads := 0, make([][]byte, len(tags))
	for i, tag := range tags {
		heads[i] = binary.AppendUvarint([]byte{tag}, uint64(size))
		size += len(heads[i])
	}
	out := make([]byte, 0, size)
	for _, head := range slices.Backward(heads) {
		out = append(out, head...)
	}
	return out
}

func TestDeepValuesAreCutOff(t *testing.T) {
	w := build(t, nil)
	req := said("")
	v := req.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body()
	for range 2000 {
		v = v.SetEmptySlice().AppendEmpty()
	}
	v.SetStr("deep")
	if res, text := post(t, w, proto(t, req), pod(shop())); res.StatusCode != 200 {
		t.Fatalf("status %d: %s", res.StatusCode, text)
	}
	if got := w.rows(table.AppTraces)[0]["Message"]; got != strings.Repeat("[", 12)+"null"+strings.Repeat("]", 12) {
		t.Errorf("message %.100q", got)
	}
}

func TestBackPressureIsToldWithARetry(t *testing.T) {
	w := build(t, nil)
	w.fail = fault.New(fault.Unavailable, "The lake is away.")
	res, text := post(t, w, proto(t, said("")), pod(shop()))
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q: %s", res.StatusCode, res.Header.Get("Retry-After"), text)
	}
	w.fail = nil
	for i, want := range []int{200, 429} {
		res, text := post(t, w, proto(t, said("small", "small")), user("user:small", ""))
		if res.StatusCode != want || (want == 429) != (res.Header.Get("Retry-After") != "") {
			t.Errorf("request %d: status %d, want %d, Retry-After %q: %s", i, res.StatusCode, want, res.Header.Get("Retry-After"), text)
		}
	}
}

// dial returns a client of the gRPC listener.
func dial(t testing.TB, w *world, opts ...grpc.DialOption) plogotlp.GRPCClient {
	t.Helper()
	conn, err := grpc.NewClient(w.grpc, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return plogotlp.NewGRPCClient(conn)
}

// zstdSender compresses what a client sends, as the Collector does with "zstd".
type zstdSender struct{ t testing.TB }

func (zstdSender) Type() string { return "zstd" }

func (z zstdSender) Do(w io.Writer, p []byte) error {
	_, err := w.Write(zstded(z.t, p))
	return err
}

func TestStatusesOfGRPC(t *testing.T) {
	big := said("")
	big.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().SetStr(strings.Repeat("x", 5<<20))
	away := fault.New(fault.Unavailable, "The lake is away.")
	tests := []struct {
		name    string
		req     plogotlp.ExportRequest
		headers map[string]string
		fail    error
		opts    []grpc.DialOption
		code    codes.Code
		retry   bool
	}{
		{name: "stored", req: said(""), headers: pod(shop()), code: codes.OK},
		{name: "stored with zstd", req: said(""), headers: pod(shop()), opts: []grpc.DialOption{grpc.WithCompressor(zstdSender{t})}, code: codes.OK},
		{name: "too large", req: big, headers: pod(shop()), code: codes.ResourceExhausted},
		{name: "a bomb", req: big, headers: pod(shop()), opts: []grpc.DialOption{grpc.WithCompressor(zstdSender{t})}, code: codes.ResourceExhausted},
		{name: "nobody", req: said("shop"), code: codes.Unauthenticated},
		{name: "a reader", req: said(""), headers: user("reader:shop", "shop"), code: codes.PermissionDenied},
		{name: "no project", req: said(""), headers: user("user:shop", ""), code: codes.InvalidArgument},
		{name: "a pod that is not known yet", req: said(""), headers: map[string]string{"authorization": "Bearer agent", "x-towpath-peer": "10.9.9.9"}, code: codes.Unavailable, retry: true},
		{name: "the lake is away", req: said(""), headers: pod(shop()), fail: away, code: codes.Unavailable, retry: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := build(t, nil)
			w.fail = tt.fail
			client := dial(t, w, tt.opts...)
			_, err := client.Export(metadata.NewOutgoingContext(soon(t), metadata.New(tt.headers)), tt.req)
			s := status.Convert(err)
			if s.Code() != tt.code {
				t.Fatalf("status %v, want %v", s, tt.code)
			}
			retry := slices.ContainsFunc(s.Details(), func(d any) bool {
				info, ok := d.(*errdetails.RetryInfo)
				return ok && info.RetryDelay.AsDuration() > 0
			})
			if retry != tt.retry {
				t.Errorf("retry %v, want %v", retry, tt.retry)
			}
			if stored := len(w.batches) > 0; stored != (tt.code == codes.OK) {
				t.Errorf("stored %v", stored)
			}
		})
	}
}

func TestAQuotaOverGRPCNamesThePause(t *testing.T) {
	w := build(t, nil)
	client := dial(t, w)
	ctx := metadata.NewOutgoingContext(soon(t), metadata.New(user("user:small", "")))
	if _, err := client.Export(ctx, said("small", "small")); err != nil {
		t.Fatal(err)
	}
	_, err := client.Export(ctx, said("small"))
	if s := status.Convert(err); s.Code() != codes.ResourceExhausted || len(s.Details()) != 1 {
		t.Errorf("status %v with %v", s, s.Details())
	}
}

func TestWhatIsSentAgainIsStoredOnce(t *testing.T) {
	w := build(t, nil)
	body := proto(t, said(""))
	for range 3 {
		if res, text := post(t, w, body, pod(shop())); res.StatusCode != 200 {
			t.Fatalf("status %d: %s", res.StatusCode, text)
		}
	}
	if got := len(w.rows(table.AppTraces)); got != 1 {
		t.Errorf("%d rows", got)
	}
}

// TestPointsOfAnotherTimeAreRejected: a resource with points of 1970 and of today would
// become millions of samples of target_info.
func TestPointsOfAnotherTimeAreRejected(t *testing.T) {
	w := build(t, nil)
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("g")
	for _, at := range []time.Time{time.Unix(1, 0), time.Now().Add(-3 * time.Hour), time.Now(), time.Now().Add(time.Hour)} {
		p := m.SetEmptyGauge
		if m.Type() == pmetric.MetricTypeGauge {
			p = m.Gauge
		}
		d := p().DataPoints().AppendEmpty()
		d.SetTimestamp(pcommon.NewTimestampFromTime(at))
		d.SetDoubleValue(1)
	}
	conn, err := grpc.NewClient(w.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	res, err := pmetricotlp.NewGRPCClient(conn).Export(metadata.NewOutgoingContext(soon(t), metadata.New(pod(shop()))), pmetricotlp.NewExportRequestFromMetrics(md))
	if err != nil {
		t.Fatal(err)
	}
	if got := res.PartialSuccess().RejectedDataPoints(); got != 3 || w.metrics[0].DataPointCount() != 1 {
		t.Errorf("%d rejected, %d stored", got, w.metrics[0].DataPointCount())
	}
}

// TestAReceiverThatIsBusyWaits: more requests than may be worked on at a time are all answered.
func TestAReceiverThatIsBusyWaits(t *testing.T) {
	w := build(t, func(p *otlp.Parts) { p.Concurrency = 1 })
	client := dial(t, w)
	errs := make(chan error)
	for range 20 {
		go func() {
			_, err := client.Export(metadata.NewOutgoingContext(context.Background(), metadata.New(pod(shop()))), said(""))
			errs <- err
		}()
	}
	for range 20 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := len(w.rows(table.AppTraces)); got != 20 {
		t.Errorf("%d rows of 20", got)
	}
}

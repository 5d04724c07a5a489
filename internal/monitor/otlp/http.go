package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/ingest"
)

// message is a request or response of pdata.
type message interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

// request is a request of pdata.
type request interface {
	UnmarshalProto(data []byte) error
	UnmarshalJSON(data []byte) error
}

// export stores what a body holds and returns the response.
type export func(ctx context.Context, s Sender, decode func(request) error) (message, error)

// HTTP serves OTLP over HTTP: POST of /v1/traces, /v1/logs and /v1/metrics, as protobuf or
// JSON, plain or compressed with gzip or zstd.
func (r *Receiver) HTTP() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/traces", r.endpoint(SignalTraces, r.exportTraces))
	mux.Handle("POST /v1/logs", r.endpoint(SignalLogs, r.exportLogs))
	mux.Handle("POST /v1/metrics", r.endpoint(ingest.SignalMetrics, r.exportMetrics))
	return mux
}

func (r *Receiver) exportTraces(ctx context.Context, s Sender, decode func(request) error) (message, error) {
	req := ptraceotlp.NewExportRequest()
	if err := decode(req); err != nil {
		return nil, err
	}
	return r.answerTraces(ctx, s, req)
}

func (r *Receiver) answerTraces(ctx context.Context, s Sender, req ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	res := ptraceotlp.NewExportResponse()
	lost, err := r.traces(ctx, s, req.Traces())
	if lost.items > 0 {
		res.PartialSuccess().SetRejectedSpans(lost.items)
		res.PartialSuccess().SetErrorMessage(lost.message)
	}
	return res, err
}

func (r *Receiver) exportLogs(ctx context.Context, s Sender, decode func(request) error) (message, error) {
	req := plogotlp.NewExportRequest()
	if err := decode(req); err != nil {
		return nil, err
	}
	return r.answerLogs(ctx, s, req)
}

func (r *Receiver) answerLogs(ctx context.Context, s Sender, req plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	res := plogotlp.NewExportResponse()
	lost, err := r.logs(ctx, s, req.Logs())
	if lost.items > 0 {
		res.PartialSuccess().SetRejectedLogRecords(lost.items)
		res.PartialSuccess().SetErrorMessage(lost.message)
	}
	return res, err
}

func (r *Receiver) exportMetrics(ctx context.Context, s Sender, decode func(request) error) (message, error) {
	req := pmetricotlp.NewExportRequest()
	if err := decode(req); err != nil {
		return nil, err
	}
	return r.answerMetrics(ctx, s, req)
}

func (r *Receiver) answerMetrics(ctx context.Context, s Sender, req pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	res := pmetricotlp.NewExportResponse()
	lost, err := r.metrics(ctx, s, req.Metrics())
	if lost.items > 0 {
		res.PartialSuccess().SetRejectedDataPoints(lost.items)
		res.PartialSuccess().SetErrorMessage(lost.message)
	}
	return res, err
}

// endpoint serves one signal.
func (r *Receiver) endpoint(signal string, do export) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asJSON, err := r.kind(req)
		if err == nil {
			err = r.serve(w, req, signal, asJSON, do)
		}
		if err != nil {
			r.refuse(w, req, asJSON, err)
		}
	})
}

// kind says in which of the two encodings the body is; the answer has the same.
func (r *Receiver) kind(req *http.Request) (asJSON bool, err error) {
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/x-protobuf":
		return false, nil
	case err == nil && kind == "application/json":
		return true, nil
	}
	return false, errMedia
}

// errMedia is answered with 415.
var errMedia = fault.New(fault.Invalid, "The body is neither application/x-protobuf nor application/json.").WithNext("set Content-Type")

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request, signal string, asJSON bool, do export) error {
	sender := senderOf(func(name string) string { return req.Header.Get(name) }, req.RemoteAddr)
	// A stranger's body is not read.
	if err := r.Resolver.Admit(req.Context(), sender); err != nil {
		return err
	}
	done, err := r.slot(req.Context())
	if err != nil {
		return err
	}
	defer done()
	// A slot is not for those who send a byte a minute. Where there is no deadline to set,
	// there is no connection that could be slow.
	slow := http.NewResponseController(w)
	_ = slow.SetReadDeadline(time.Now().Add(bodyTime))
	defer func() { _ = slow.SetReadDeadline(time.Time{}) }()
	res, err := do(req.Context(), sender, func(into request) error {
		body, err := r.body(w, req)
		if err == nil {
			err = decode(into, body, asJSON)
		}
		if err != nil {
			r.Rows.Drop("", signal, "malformed", 1)
		}
		return err
	})
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, asJSON, res.MarshalProto, res.MarshalJSON)
}

// bodyTime is how long the body of a request may take to arrive.
const bodyTime = 30 * time.Second

// body reads and decompresses a body within its bounds.
func (r *Receiver) body(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	large := fault.New(fault.TooLarge, "A request has at most %d bytes, also when it is decompressed.", r.MaxBody).WithNext("export in smaller batches")
	packed, err := io.ReadAll(http.MaxBytesReader(w, req.Body, int64(r.MaxBody)))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, large
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, err, "The body ended before its end.")
	}
	var plain []byte
	switch enc := req.Header.Get("Content-Encoding"); enc {
	case "", "identity":
		return packed, nil
	case "gzip":
		plain, err = gunzip(packed, r.MaxBody)
	case "zstd":
		plain, err = r.unzstd(packed)
	default:
		return nil, fault.New(fault.Invalid, "The encoding %.20q is not known.", enc).WithNext("compress with gzip or zstd, or not at all")
	}
	switch {
	case errors.Is(err, errBomb):
		return nil, large
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, err, "The body cannot be decompressed.")
	}
	return plain, nil
}

// errBomb is a body that is larger than allowed once it is decompressed.
var errBomb = errors.New("the decompressed body is too large")

func (r *Receiver) unzstd(packed []byte) ([]byte, error) {
	plain, err := r.unpack.DecodeAll(packed, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || len(plain) > r.MaxBody {
		return nil, errBomb
	}
	return plain, err
}

// decode reads a request. A library that gives up on foreign input must not take the
// server with it.
func decode(into request, body []byte, asJSON bool) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = internalFault(reason)
		}
	}()
	switch {
	case asJSON && nestedJSON(body, maxNesting), !asJSON && nested(body, maxNesting):
		return errNesting
	case asJSON:
		err = into.UnmarshalJSON(body)
	default:
		err = into.UnmarshalProto(body)
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The body is not what the OpenTelemetry protocol describes.")
	}
	return nil
}

// refuse answers with an error: a google.rpc.Status, with Retry-After for one that ends.
func (r *Receiver) refuse(w http.ResponseWriter, req *http.Request, asJSON bool, err error) {
	status := fault.KindOf(err).Status()
	if errors.Is(err, errMedia) {
		status = http.StatusUnsupportedMediaType
	}
	after, again := fault.RetryAfter(err)
	if again {
		w.Header().Set("Retry-After", fault.Seconds(after))
	}
	if fault.Is(err, fault.Internal) && req.Context().Err() == nil {
		r.Logger.Error("taking telemetry", "path", req.URL.Path, "error", err)
	}
	st := &spb.Status{Code: int32(code(err)), Message: words(err)}
	marshal := func() ([]byte, error) { return proto.Marshal(st) }
	// That the sender is gone is its own trouble.
	_ = write(w, status, asJSON, marshal, func() ([]byte, error) { return protojson.Marshal(st) })
}

// words returns what a sender may see of an error.
func words(err error) string {
	message, next := fault.Public(err)
	if next == "" {
		return message
	}
	return fmt.Sprintf("%s (%s)", message, next)
}

func write(w http.ResponseWriter, status int, asJSON bool, asProto, json func() ([]byte, error)) error {
	kind, marshal := "application/x-protobuf", asProto
	if asJSON {
		kind, marshal = "application/json", json
	}
	body, err := marshal()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	// That the sender is gone is its own trouble.
	_, _ = w.Write(body)
	return nil
}

// gunzip decompresses at most limit bytes.
func gunzip(packed []byte, limit int) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(plain) > limit {
		return nil, errBomb
	}
	return plain, z.Close()
}

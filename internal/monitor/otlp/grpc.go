package otlp

import (
	"context"
	"io"
	"net"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // The compressor "gzip".
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/types/known/durationpb"

	"towpath.dev/towpath/internal/fault"
)

// maxStreams is how many requests one connection may have open.
const maxStreams = 64

// GRPC returns a server with the three Export services, for messages that are plain or
// compressed with gzip or zstd.
func (r *Receiver) GRPC() *grpc.Server {
	s := grpc.NewServer(
		grpc.MaxRecvMsgSize(r.MaxBody),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(64<<10),
		grpc.ConnectionTimeout(20*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 15 * time.Minute, Time: time.Minute}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(r.intercept),
		grpc.InTapHandle(r.admit),
		grpc.ForceServerCodecV2(bounded{encoding.GetCodecV2("proto")}),
		// The registry of compressors is one for the whole process; this option is for
		// this server alone.
		grpc.RPCDecompressor(zstdMessages{r}),
	)
	ptraceotlp.RegisterGRPCServer(s, &traceServer{r: r})
	plogotlp.RegisterGRPCServer(s, &logServer{r: r})
	pmetricotlp.RegisterGRPCServer(s, &metricServer{r: r})
	return s
}

// ServeGRPC serves on a listener until ctx ends; requests under way are answered.
func (r *Receiver) ServeGRPC(ctx context.Context, l net.Listener) error {
	s := r.GRPC()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(10*time.Second, s.Stop)
		defer timer.Stop()
		s.GracefulStop()
	})
	defer stop()
	return s.Serve(l)
}

// zstdMessages decompresses messages of the encoding "zstd".
type zstdMessages struct{ r *Receiver }

// Type is the name of the encoding.
func (zstdMessages) Type() string { return "zstd" }

// Do decompresses a message; one larger than allowed comes out one byte too large, so
// that gRPC refuses it in its own words.
func (z zstdMessages) Do(in io.Reader) ([]byte, error) {
	packed, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	plain, err := z.r.unzstd(packed)
	if err == errBomb {
		return make([]byte, z.r.MaxBody+1), nil
	}
	return plain, err
}

// admit lets a request in before its message is read.
func (r *Receiver) admit(ctx context.Context, info *tap.Info) (context.Context, error) {
	remote := ""
	if p, ok := peer.FromContext(ctx); ok {
		remote = p.Addr.String()
	}
	asked, cancel := context.WithTimeout(ctx, admitTime)
	defer cancel()
	if err := r.Resolver.Admit(asked, senderOf(header(info.Header), remote)); err != nil {
		return nil, statusOf(err)
	}
	return ctx, nil
}

// admitTime bounds the look at a token: a connection has to wait for it.
const admitTime = 5 * time.Second

// header gives the first value of a name.
func header(md metadata.MD) func(name string) string {
	return func(name string) string {
		if v := md.Get(name); len(v) > 0 {
			return v[0]
		}
		return ""
	}
}

// intercept turns errors into the statuses of the protocol.
func (r *Receiver) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (res any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			r.Logger.Error("taking telemetry", "method", info.FullMethod, "panic", reason)
			res, err = nil, statusOf(internalFault(reason))
		}
	}()
	done, err := r.slot(ctx)
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	defer done()
	res, err = next(ctx, req)
	if err == nil {
		return res, nil
	}
	if fault.Is(err, fault.Internal) && ctx.Err() == nil {
		r.Logger.Error("taking telemetry", "method", info.FullMethod, "error", err)
	}
	return nil, statusOf(err)
}

// statusOf says an error in gRPC's words, with RetryInfo when the request may be sent again.
func statusOf(err error) error {
	s := status.New(code(err), words(err))
	if after, again := fault.RetryAfter(err); again {
		if with, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)}); err == nil {
			s = with
		}
	}
	return s.Err()
}

// code returns the gRPC code of an error. The retryable ones are those of the protocol
// specification, "Failures".
func code(err error) codes.Code {
	switch fault.KindOf(err) {
	case "":
		return codes.OK
	case fault.Invalid, fault.TooLarge:
		return codes.InvalidArgument
	case fault.NotFound:
		return codes.NotFound
	case fault.Denied:
		return codes.PermissionDenied
	case fault.Unauthentic:
		return codes.Unauthenticated
	case fault.Throttled:
		return codes.ResourceExhausted
	case fault.Unavailable:
		return codes.Unavailable
	}
	return codes.Internal
}

// caller reads the sender of a gRPC request.
func caller(ctx context.Context) Sender {
	md, _ := metadata.FromIncomingContext(ctx)
	remote := ""
	if p, ok := peer.FromContext(ctx); ok {
		remote = p.Addr.String()
	}
	return senderOf(header(md), remote)
}

type traceServer struct {
	ptraceotlp.UnimplementedGRPCServer
	r *Receiver
}

// Export stores spans.
func (s *traceServer) Export(ctx context.Context, req ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	return s.r.answerTraces(ctx, caller(ctx), req)
}

type logServer struct {
	plogotlp.UnimplementedGRPCServer
	r *Receiver
}

// Export stores log records.
func (s *logServer) Export(ctx context.Context, req plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	return s.r.answerLogs(ctx, caller(ctx), req)
}

type metricServer struct {
	pmetricotlp.UnimplementedGRPCServer
	r *Receiver
}

// Export stores data points.
func (s *metricServer) Export(ctx context.Context, req pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	return s.r.answerMetrics(ctx, caller(ctx), req)
}

package otlp

import (
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"towpath.dev/towpath/internal/monitor/table"
)

// maxHops is how far the ancestor is looked for that gives an operation its name.
const maxHops = 64

// parents knows the spans of a resource by their ids, to find the request that a span
// belongs to.
type parents map[pcommon.SpanID]ptrace.Span

// operations gathers the spans of a resource.
func operations(rs ptrace.ResourceSpans) parents {
	p := parents{}
	for _, ss := range rs.ScopeSpans().All() {
		for _, s := range ss.Spans().All() {
			p[s.SpanID()] = s
		}
	}
	return p
}

// operation returns the name of the request that a span is part of, "" when that is not
// among the spans that came together.
func (p parents) operation(s ptrace.Span) string {
	for range maxHops {
		if serves(s.Kind()) {
			var ignored bag
			f := gather(s.Attributes(), &ignored)
			return requestName(s, &f)
		}
		next, ok := p[s.ParentSpanID()]
		if !ok || next.TraceID() != s.TraceID() {
			return ""
		}
		s = next
	}
	return ""
}

func serves(k ptrace.SpanKind) bool {
	return k == ptrace.SpanKindServer || k == ptrace.SpanKindConsumer
}

// requestName is "GET /cart/{id}" for HTTP, else the span's name.
func requestName(s ptrace.Span, f *facts) string {
	if f.method != "" && f.route != "" {
		return table.Clip(f.method+" "+f.route, 1024)
	}
	return table.Clip(s.Name(), 1024)
}

// span adds the rows of a span and of its events.
func (in *into) span(s ptrace.Span, all parents) {
	props := in.props()
	f := gather(s.Attributes(), props)
	start, end := moment(s.StartTimestamp()), moment(s.EndTimestamp())
	duration := end.Sub(start)
	if start.IsZero() || duration < 0 {
		duration = 0
	}
	weight := itemCount(s.TraceState().AsRaw(), f.rate, f.probability)
	props.text("otel.status_description", s.Status().Message())
	if links := linksOf(s); links != "" && props.name("_MS.links") {
		props.quote(links)
	}
	v := view{span: s, facts: &f, code: resultCode(&f), weight: weight}
	v.success = succeeded(s, &f)
	sheet := in.dependencies
	if serves(s.Kind()) {
		sheet = in.requests
		v.operation = requestName(s, &f)
	} else {
		v.operation = all.operation(s)
	}
	sheet.Next()
	in.shape(sheet, v, duration)
	if serves(s.Kind()) {
		in.request(v, props)
	} else {
		in.dependency(v, props)
	}
	in.common(sheet, start, props)
	for i, e := range s.Events().All() {
		if i >= maxAttributes {
			break
		}
		in.spanEvent(v, e)
	}
}

// view is a span with what was found out of it.
type view struct {
	span      ptrace.Span
	facts     *facts
	operation string
	code      string
	success   bool
	weight    int64
}

// shape sets the columns that requests and dependencies share.
func (in *into) shape(t *sheet, v view, duration time.Duration) {
	ms := float64(duration) / float64(time.Millisecond)
	t.set("Id", v.span.SpanID().String())
	t.set("OperationId", v.span.TraceID().String())
	t.set("ParentId", v.span.ParentSpanID().String())
	t.set("OperationName", v.operation)
	t.set("ResultCode", v.code)
	t.Bool(t.Place("Success"), v.success)
	t.Real(t.Place("DurationMs"), ms)
	t.set("PerformanceBucket", bucket(duration))
	t.Int(t.Place("ItemCount"), v.weight)
	in.visitor(t, v.facts)
}

// visitor sets what is known of who asked.
func (in *into) visitor(t *sheet, f *facts) {
	t.set("ClientIP", f.client)
	t.set("SyntheticSource", f.synthetic)
	t.set("UserAuthenticatedId", f.user)
	t.set("UserId", f.pseudo)
	t.set("SessionId", f.session)
}

// request sets the columns of AppRequests alone.
func (in *into) request(v view, props *bag) {
	f := v.facts
	in.requests.set("Name", v.operation)
	in.requests.set("Url", urlOf(f))
	source := f.peer
	if source == "" && f.messaging != "" {
		source = f.destination
	}
	in.requests.set("Source", source)
	props.text("http.request.method", f.method)
	props.text("user_agent.original", f.agent)
	props.text("messaging.system", f.messaging)
	props.text("rpc.system", f.rpcSystem)
}

// dependency sets the columns of AppDependencies alone.
func (in *into) dependency(v view, props *bag) {
	f := v.facts
	kind, target, data := dependencyOf(v.span, f)
	t := in.dependencies
	t.set("Name", table.Clip(v.span.Name(), 1024))
	t.set("DependencyType", kind)
	t.set("Target", table.Clip(target, 1024))
	t.set("Data", data)
	props.text("http.request.method", f.method)
	props.text("db.operation.name", f.dbOperation)
	props.text("messaging.operation.name", f.messageOp)
	props.text("peer.service", f.peer)
}

// dependencyOf says of what type a call was, whom it called, and with what.
func dependencyOf(s ptrace.Span, f *facts) (kind, target, data string) {
	host := hostOf(f)
	switch {
	case f.dbSystem != "":
		target = first(f.peer, host)
		if f.dbName != "" {
			target = strings.TrimPrefix(target+"|"+f.dbName, "|")
		}
		return sqlType(f.dbSystem), first(target, f.dbSystem), first(f.dbText, f.dbOperation)
	case f.messaging != "":
		kind = f.messaging
		if s.Kind() == ptrace.SpanKindProducer {
			kind = "Queue Message | " + f.messaging
		}
		return kind, strings.Trim(first(f.peer, host)+"/"+f.destination, "/"), f.destination
	case f.rpcSystem != "":
		return strings.ToUpper(f.rpcSystem), first(f.peer, host, f.rpcService), strings.Trim(f.rpcService+"/"+f.rpcMethod, "/")
	case f.method != "":
		return "HTTP", first(f.peer, host), urlOf(f)
	case s.Kind() == ptrace.SpanKindInternal || s.Kind() == ptrace.SpanKindUnspecified:
		return "InProc", "", ""
	}
	return "", first(f.peer, host), urlOf(f)
}

// sqlType is "SQL" for SQL Server as Azure Monitor has it, else the name of the system.
func sqlType(system string) string {
	if system == "mssql" || system == "microsoft.sql_server" {
		return "SQL"
	}
	return system
}

// hostOf is the address of the server, with its port when the scheme does not imply it.
func hostOf(f *facts) string {
	host := f.host
	if host == "" && f.url != "" {
		_, rest, _ := strings.Cut(f.url, "://")
		host, _, _ = strings.Cut(rest, "/")
		host, _, _ = strings.Cut(host, "?")
		// A URL may hold a name and a password: they are nobody's target.
		if i := strings.LastIndexByte(host, '@'); i >= 0 {
			host = host[i+1:]
		}
		return host
	}
	scheme := f.scheme
	if scheme == "" {
		scheme, _, _ = strings.Cut(f.url, "://")
	}
	if f.port == "" || strings.Contains(host, ":") || (f.port == "80" && scheme != "https") || (f.port == "443" && scheme != "http") {
		return host
	}
	return host + ":" + f.port
}

// urlOf puts a URL together; a password in one is taken out.
func urlOf(f *facts) string {
	if f.url != "" {
		return withoutPassword(f.url)
	}
	if f.path == "" {
		if f.rpcMethod != "" {
			return strings.Trim(f.rpcService+"/"+f.rpcMethod, "/")
		}
		return f.destination
	}
	url := f.path
	if f.query != "" && !strings.Contains(url, "?") {
		url += "?" + strings.TrimPrefix(f.query, "?")
	}
	if host := hostOf(f); host != "" {
		url = first(f.scheme, "http") + "://" + host + url
	}
	return url
}

// withoutPassword takes name and password out of a URL.
func withoutPassword(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if i := strings.LastIndexByte(rest[:end], '@'); i >= 0 {
		return scheme + "://" + rest[i+1:]
	}
	return url
}

// first returns the first text that is not "".
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// resultCode is the status of HTTP or gRPC, "0" when there is none, as in Application Insights.
func resultCode(f *facts) string { return first(f.status, f.rpcStatus, "0") }

// succeeded says whether a span was a success. The status that the program set decides;
// without one the semantic conventions do: an HTTP server fails with 5xx, a client with
// 4xx too; a gRPC server fails with the codes that blame it, a client with any but 0.
func succeeded(s ptrace.Span, f *facts) bool {
	switch s.Status().Code() {
	case ptrace.StatusCodeError:
		return false
	case ptrace.StatusCodeOk:
		return true
	}
	server := serves(s.Kind())
	if len(f.status) == 3 {
		return f.status < "400" || (server && f.status < "500")
	}
	switch f.rpcStatus {
	case "", "0", "OK":
		return true
	case "2", "4", "12", "13", "14", "15", "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS":
		return false
	}
	return server
}

// bucket is the range that a duration lies in, as PerformanceBucket has it.
func bucket(d time.Duration) string {
	for _, b := range []struct {
		below time.Duration
		name  string
	}{
		{250 * time.Millisecond, "<250ms"}, {500 * time.Millisecond, "250ms-500ms"}, {time.Second, "500ms-1sec"}, {3 * time.Second, "1sec-3sec"},
		{7 * time.Second, "3sec-7sec"}, {15 * time.Second, "7sec-15sec"}, {30 * time.Second, "15sec-30sec"}, {time.Minute, "30sec-1min"},
		{2 * time.Minute, "1min-2min"}, {5 * time.Minute, "2min-5min"},
	} {
		if d < b.below {
			return b.name
		}
	}
	return ">=5min"
}

// linksOf writes the links of a span as Azure Monitor's exporters do.
func linksOf(s ptrace.Span) string {
	if s.Links().Len() == 0 {
		return ""
	}
	b := bag{buf: []byte{'['}}
	for i, l := range s.Links().All() {
		if i >= maxAttributes {
			break
		}
		if i > 0 {
			b.buf = append(b.buf, ',')
		}
		b.buf = append(b.buf, `{"operation_Id":"`+l.TraceID().String()+`","id":"`+l.SpanID().String()+`"}`...)
	}
	return string(append(b.buf, ']'))
}

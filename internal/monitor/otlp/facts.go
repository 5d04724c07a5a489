package otlp

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"towpath.dev/towpath/internal/monitor/table"
)

// facts are the attributes of a span, an event or a log record that have a meaning for the
// columns, under today's names of the semantic conventions and those before them. The
// rest is for Properties.
type facts struct {
	method, status, url, scheme, host, port, path, query, route string // HTTP
	client, agent, synthetic                                    string
	peer                                                        string // peer.service
	dbSystem, dbName, dbText, dbOperation                       string
	rpcSystem, rpcService, rpcMethod, rpcStatus                 string
	messaging, destination, messageOp                           string
	exceptionType, exceptionMessage, exceptionStack             string
	escaped, fingerprint                                        string
	user, pseudo, session                                       string
	event                                                       string // microsoft.custom_event.name
	rate, probability                                           string // of sampling
}

// slot returns where an attribute belongs, nil for one that is a property.
func (f *facts) slot(name string) *string {
	if p := f.network(name); p != nil {
		return p
	}
	switch name {
	case "db.system.name", "db.system":
		return &f.dbSystem
	case "db.namespace", "db.name":
		return &f.dbName
	case "db.query.text", "db.statement":
		return &f.dbText
	case "db.operation.name", "db.operation":
		return &f.dbOperation
	case "rpc.system.name", "rpc.system":
		return &f.rpcSystem
	case "rpc.service":
		return &f.rpcService
	case "rpc.method":
		return &f.rpcMethod
	case "rpc.response.status_code", "rpc.grpc.status_code":
		return &f.rpcStatus
	case "messaging.system":
		return &f.messaging
	case "messaging.destination.name", "messaging.destination":
		return &f.destination
	case "messaging.operation.name", "messaging.operation":
		return &f.messageOp
	case "exception.type":
		return &f.exceptionType
	case "exception.message":
		return &f.exceptionMessage
	case "exception.stacktrace":
		return &f.exceptionStack
	case "exception.escaped":
		return &f.escaped
	case "exception.fingerprint", "error.fingerprint":
		return &f.fingerprint
	case "enduser.id":
		return &f.user
	case "enduser.pseudo.id", "user.id":
		return &f.pseudo
	case "session.id":
		return &f.session
	case "microsoft.custom_event.name":
		return &f.event
	case "microsoft.sample_rate":
		return &f.rate
	case "sampling.probability":
		return &f.probability
	}
	return nil
}

// network is the part of slot that tells of the other side.
func (f *facts) network(name string) *string {
	switch name {
	case "http.request.method", "http.method":
		return &f.method
	case "http.response.status_code", "http.status_code":
		return &f.status
	case "url.full", "http.url":
		return &f.url
	case "url.scheme", "http.scheme":
		return &f.scheme
	case "server.address", "http.host", "net.peer.name", "net.host.name":
		return &f.host
	case "server.port", "net.peer.port", "net.host.port":
		return &f.port
	case "url.path", "http.target":
		return &f.path
	case "url.query":
		return &f.query
	case "http.route":
		return &f.route
	case "client.address", "http.client_ip":
		return &f.client
	case "user_agent.original", "http.user_agent":
		return &f.agent
	case "user_agent.synthetic.type":
		return &f.synthetic
	case "service.peer.name", "peer.service":
		return &f.peer
	}
	return nil
}

// older reports whether a name is one that gives way to another one of the same meaning.
func older(name string) bool {
	switch name {
	case "net.host.name", "net.peer.name", "net.peer.port", "net.host.port", "http.host":
		return true
	}
	return false
}

// maxAttributes is how many attributes of a row are kept (the limit of the OpenTelemetry
// SDKs), maxText how long a text may be.
const (
	maxAttributes = 128
	maxText       = 32 << 10
)

// gather takes the facts out of attributes, and writes the rest into props.
func gather(attrs pcommon.Map, props *bag) facts {
	var f facts
	n := 0
	for name, v := range attrs.All() {
		if n++; n > maxAttributes {
			props.text("otel.dropped_attributes", "true")
			break
		}
		p := f.slot(name)
		switch {
		case p == nil:
			props.value(name, v)
		case *p == "" || !older(name):
			*p = table.Clip(scalar(v), maxText)
		}
	}
	return f
}

// scalar returns a value as text.
func scalar(v pcommon.Value) string {
	if v.Type() == pcommon.ValueTypeStr {
		return v.Str()
	}
	b := bag{}
	b.json(v, 0)
	return string(b.buf)
}

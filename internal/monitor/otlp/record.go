package otlp

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"towpath.dev/towpath/internal/monitor/level"
	"towpath.dev/towpath/internal/monitor/otlp/stack"
	"towpath.dev/towpath/internal/monitor/table"
)

// The levels of SeverityLevel, as Application Insights numbers them.
const (
	verbose = iota
	information
	warning
	failure
	critical
)

// severity returns the level of a log record: by its number, else by its text, else 1.
func severity(n plog.SeverityNumber, text string) int64 {
	said := ""
	if n > 0 {
		said = level.OfSeverity(int(min(n, plog.SeverityNumberFatal4)))
	} else {
		said = level.OfWord([]byte(text))
	}
	switch said {
	case level.Trace, level.Debug:
		return verbose
	case level.Warning:
		return warning
	case level.Error:
		return failure
	case level.Critical:
		return critical
	}
	return information
}

// record adds the row of a log record.
func (in *into) record(r plog.LogRecord) {
	props := in.props()
	f := gather(r.Attributes(), props)
	at := moment(r.Timestamp())
	if at.IsZero() {
		at = moment(r.ObservedTimestamp())
	}
	rank := severity(r.SeverityNumber(), r.SeverityText())
	props.text("event.name", r.EventName())
	body := table.Clip(scalar(r.Body()), maxText)
	e := occurrence{facts: &f, at: at, level: rank, trace: r.TraceID(), parent: r.SpanID(), weight: itemCount("", f.rate, f.probability)}
	switch {
	case f.exceptionType != "" || f.exceptionMessage != "" || f.exceptionStack != "":
		if f.exceptionMessage == "" {
			f.exceptionMessage = body
		} else if body != f.exceptionMessage {
			props.text("log.body", body)
		}
		in.exception(e, props)
	case f.event != "":
		in.events.Next()
		in.events.set("Name", table.Clip(f.event, 512))
		props.text("log.body", body)
		in.told(in.events, e)
		in.common(in.events, at, props)
	default:
		in.message(e, body, props)
	}
}

// occurrence is something that happened in the course of an operation.
type occurrence struct {
	facts     *facts
	at        time.Time
	level     int64
	trace     pcommon.TraceID
	parent    pcommon.SpanID
	operation string
	weight    int64
}

// message adds a row of AppTraces.
func (in *into) message(e occurrence, text string, props *bag) {
	t := in.messages
	t.Next()
	t.set("Message", text)
	t.Int(t.Place("SeverityLevel"), e.level)
	in.told(t, e)
	in.common(t, e.at, props)
}

// told sets the columns that tie an occurrence to its operation.
func (in *into) told(t *sheet, e occurrence) {
	t.set("OperationId", e.trace.String())
	t.set("ParentId", e.parent.String())
	t.set("OperationName", e.operation)
	t.Int(t.Place("ItemCount"), e.weight)
	in.visitor(t, e.facts)
}

// spanEvent adds the row of an event of a span.
func (in *into) spanEvent(v view, e ptrace.SpanEvent) {
	props := in.props()
	f := gather(e.Attributes(), props)
	o := occurrence{
		facts: &f, at: moment(e.Timestamp()), level: information, trace: v.span.TraceID(), parent: v.span.SpanID(), operation: v.operation, weight: v.weight,
	}
	if e.Name() == "exception" {
		o.level = failure
		in.exception(o, props)
		return
	}
	in.message(o, table.Clip(e.Name(), maxText), props)
}

// exception adds a row of AppExceptions.
func (in *into) exception(e occurrence, props *bag) {
	f := e.facts
	x := stack.Exception{Type: first(f.exceptionType, "Error"), Message: f.exceptionMessage, Frames: stack.Parse(f.exceptionStack), Explicit: f.fingerprint}
	t := in.exceptions
	t.Next()
	t.set("ExceptionType", table.Clip(x.Type, 1024))
	t.set("Message", x.Message)
	t.set("OuterType", table.Clip(x.Type, 1024))
	t.set("OuterMessage", x.Message)
	inner := stack.Innermost(f.exceptionStack)
	t.set("InnermostType", table.Clip(first(inner.Type, x.Type), 1024))
	t.set("InnermostMessage", table.Clip(first(inner.Message, x.Message), maxText))
	if len(x.Frames) > 0 {
		top := x.Frames[0]
		for _, column := range []string{"Method", "OuterMethod", "InnermostMethod"} {
			t.set(column, top.Method)
		}
		for _, column := range []string{"Assembly", "OuterAssembly", "InnermostAssembly"} {
			t.set(column, top.Assembly)
		}
	}
	t.set("ProblemId", in.name(x))
	t.set("Details", details(x, f.exceptionStack))
	t.set("HandledAt", handled(f.escaped))
	t.Int(t.Place("SeverityLevel"), max(e.level, failure))
	in.told(t, e)
	in.common(t, e.at, props)
}

// name gives an exception the name of its group.
func (in *into) name(x stack.Exception) string {
	if in.problem == nil {
		return x.Type
	}
	return in.problem(x)
}

// handled says where an exception was handled, as far as the attribute tells.
func handled(escaped string) string {
	switch escaped {
	case "true":
		return "Unhandled"
	case "false":
		return "UserCode"
	}
	return ""
}

// details writes the Details of an exception: a list of one, with its parsed stack, or the
// stack as it came when that is of no language that is known.
func details(x stack.Exception, raw string) string {
	b := bag{}
	b.text("type", x.Type)
	b.text("message", x.Message)
	b.text("fingerprint", x.Explicit)
	if len(x.Frames) == 0 {
		b.text("rawStack", raw)
	} else if b.name("parsedStack") {
		b.buf = append(b.buf, stack.JSON(x.Frames)...)
	}
	return "[" + first(b.string(), "{}") + "]"
}

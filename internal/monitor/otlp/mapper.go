package otlp

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// mapper says one request in rows.
type mapper struct {
	whose
	now  time.Time
	sets map[string]*rowset // by project
	// order of the sets, so that what is sent again makes the same batches
	order []*rowset
}

// rowset is the rows of one project.
type rowset struct {
	place                                                place.Place
	requests, dependencies, exceptions, messages, events *sheet
}

func newMapper(r *Receiver, s Sender, signal string) *mapper {
	return &mapper{whose: whose{receiver: r, sender: s, signal: signal, places: map[string]*answer{}}, now: r.Clock.Now(), sets: map[string]*rowset{}}
}

// resource begins the rows of a resource. It returns nil when the sender may not write them.
func (m *mapper) resource(ctx context.Context, res pcommon.Resource, items int) (*into, error) {
	p, ok, err := m.find(ctx, res, items)
	if err != nil || !ok {
		return nil, err
	}
	set, ok := m.sets[p.Project]
	if !ok {
		sheetOf := func(name string) *sheet { return &sheet{table.NewBuilder(m.receiver.tables[name])} }
		set = &rowset{
			place: p, requests: sheetOf(table.AppRequests), dependencies: sheetOf(table.AppDependencies),
			exceptions: sheetOf(table.AppExceptions), messages: sheetOf(table.AppTraces), events: sheetOf(table.AppEvents),
		}
		m.sets[p.Project] = set
		m.order = append(m.order, set)
	}
	in := &into{rowset: set, now: m.now, problem: m.receiver.Problem}
	in.describe(p, res.Attributes())
	return in, nil
}

// store puts the rows and returns what was refused.
func (m *mapper) store(ctx context.Context) (rejected, error) {
	for _, set := range m.order {
		d := ingest.Delivery{Place: set.place, Signal: m.signal}
		for _, s := range []*sheet{set.requests, set.dependencies, set.exceptions, set.messages, set.events} {
			if s.Rows() > 0 {
				d.Batches = append(d.Batches, s.Batch([16]byte{}))
			}
		}
		if len(d.Batches) == 0 {
			continue
		}
		if err := m.receiver.Rows.Put(ctx, d); err != nil {
			return rejected{}, err
		}
	}
	return m.result()
}

// sheet builds the rows of one table.
type sheet struct {
	*table.Builder
}

// set sets a text unless it is "": that is what a string is without being set.
func (s *sheet) set(column, value string) {
	if value != "" {
		s.Text(s.Place(column), value)
	}
}

// into takes the rows of one resource.
type into struct {
	*rowset
	now     time.Time
	problem Problem

	role, instance, version, sdk string
	digest                       string
	// shared are the properties that all rows of the resource have, as fields of JSON.
	shared    bag
	scopeName string
}

// hidden begin the names of resource attributes that no property is made of: they have a
// column, the place knows better, or they tell of the process only.
func hidden(name string) bool {
	for _, prefix := range []string{"service.", "telemetry.", "k8s.", "host.", "os.", "process.", "container.", "towpath."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// describe takes the role out of the resource's attributes.
func (in *into) describe(p place.Place, attrs pcommon.Map) {
	var name, namespace, language, sdk, container string
	n := 0
	for key, v := range attrs.All() {
		if n++; n > maxAttributes {
			break
		}
		switch key {
		case "service.name":
			name = scalar(v)
		case "service.namespace":
			namespace = scalar(v)
		case "service.instance.id":
			in.instance = scalar(v)
		case "service.version":
			in.version = scalar(v)
		case "telemetry.sdk.language":
			language = scalar(v)
		case "telemetry.sdk.version":
			sdk = scalar(v)
		case "k8s.container.name", "container.name":
			container = scalar(v)
		default:
			if !hidden(key) {
				in.shared.value(key, v)
			}
		}
	}
	in.role = roleOf(p, name, namespace)
	if in.instance == "" {
		in.instance = p.Pod
	}
	if language != "" || sdk != "" {
		in.sdk = language + ":otel" + sdk
	}
	in.digest = p.Digest(container)
}

// roleOf returns the name of a role: service.name, after service.namespace in brackets as
// Azure Monitor's OpenTelemetry distributions have it. A service that has no name is
// called after its workload.
func roleOf(p place.Place, name, namespace string) string {
	if name == "" || strings.HasPrefix(name, "unknown_service") {
		if _, workload, ok := strings.Cut(p.Workload, "/"); ok {
			return workload
		}
		if name == "" {
			name = "unknown_service"
		}
	}
	if namespace != "" {
		name = "[" + namespace + "]/" + name
	}
	return table.Clip(name, 512)
}

// scope begins the rows of an instrumentation scope.
func (in *into) scope(s pcommon.InstrumentationScope) { in.scopeName = s.Name() }

// props begins the properties of a row with those of the resource.
func (in *into) props() *bag {
	b := &bag{buf: append(make([]byte, 0, 256), in.shared.buf...)}
	if len(in.shared.seen) > 0 {
		b.seen = make(map[string]bool, 16+len(in.shared.seen))
		for name := range in.shared.seen {
			b.seen[name] = true
		}
	}
	return b
}

// common sets the columns that every row of the resource has.
func (in *into) common(s *sheet, at time.Time, props *bag) {
	if at.IsZero() {
		at = in.now
	}
	props.text("otel.scope.name", in.scopeName)
	s.Time(s.Place(table.TimeGenerated), at)
	s.set("Properties", props.string())
	s.set("AppRoleName", in.role)
	s.set("AppRoleInstance", in.instance)
	s.set("AppVersion", in.version)
	s.set("SDKVersion", in.sdk)
	s.set(table.ImageDigest, in.digest)
}

// moment returns the time of a timestamp, the zero time for none. What lies beyond what
// the years of a column can say is none either.
func moment(ts pcommon.Timestamp) time.Time {
	if ts == 0 || ts > 1<<62 {
		return time.Time{}
	}
	return ts.AsTime()
}

package ingest

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// The bounds of TimeGenerated around the time at which a row is received ("Log data
// ingestion time in Azure Monitor").
const (
	oldest = 2 * 24 * time.Hour
	newest = 24 * time.Hour
)

// schema is what rows of a table may have.
type schema struct {
	kinds map[string]table.Kind
	// system is what SourceSystem says: who collected the rows.
	system string
}

// schemas returns those of all tables that lie in the lake.
func schemas() map[string]*schema {
	out := map[string]*schema{}
	for _, t := range table.Catalog() {
		if t.Virtual {
			continue
		}
		s := &schema{kinds: make(map[string]table.Kind, len(t.Columns)), system: "Azure"}
		for _, c := range t.Columns {
			s.kinds[c.Name] = c.Kind
		}
		if t.Name == table.ContainerLogV2 || strings.HasPrefix(t.Name, "Kube") {
			s.system = "Containers"
		}
		out[t.Name] = s
	}
	return out
}

// source says where the rows of a delivery come from.
type source interface {
	// owner is the project in whose name rows are counted that nothing else is known of.
	owner() string
	// find returns the place of a row, the container in it, and the resource id.
	find(b *table.Batch, row int) (p *place.Place, container, resource string)
}

// fixed is a source of one place.
type fixed struct {
	place place.Place
	at    string
}

func (f fixed) owner() string { return f.place.Project }

func (f fixed) find(*table.Batch, int) (*place.Place, string, string) { return &f.place, "", f.at }

// stamp returns a batch with the columns that are ours, and adds it to the tally. The
// batch of the sender stays as it is.
func (s *Service) stamp(in *table.Batch, received time.Time, where source, t *tally) (*table.Batch, error) {
	sc, err := s.check(in)
	if err != nil {
		return nil, err
	}
	out := &table.Batch{ID: in.ID, Table: in.Table, Columns: slices.Clone(in.Columns), Vectors: slices.Clone(in.Vectors)}
	if out.ID == [16]byte{} {
		out.ID = digest(in, where)
	}
	legible(out)
	n := in.Rows()
	sizes := billed(in)
	old := clocked(out, received)
	p := newPlaced(n)
	digests := in.Index(table.ImageDigest)
	for row := range n {
		at, container, resource := where.find(in, row)
		image := ""
		if digests >= 0 {
			image = in.Vectors[digests].Text[row]
		}
		if image == "" {
			image = at.Digest(container)
		}
		p.add(at, resource, image)
		own := t.of(at.Project)
		own.rows++
		own.bytes += int64(sizes[row])
		t.bytes += int64(sizes[row])
		if old != nil && old[row] {
			own.clock++
		}
		if at.Namespace != "" {
			own.namespaces[at.Namespace] = true
		}
	}
	p.put(out)
	text := func(name, value string) {
		out.Put(table.Column{Name: name, Kind: table.String}, table.Texts(table.String, value, n))
	}
	text("TenantId", s.Installation)
	text("SourceSystem", sc.system)
	text("Type", in.Table)
	text("_SubscriptionId", s.Installation)
	text("_IsBillable", "true")
	out.Put(table.Column{Name: "_TimeReceived", Kind: table.DateTime}, table.Vector{Int: slices.Repeat([]int64{table.TicksOf(received)}, n)})
	out.Put(table.Column{Name: "_BilledSize", Kind: table.Real}, table.Vector{Real: sizes})
	return out, nil
}

// check refuses rows that the catalogue does not know.
func (s *Service) check(b *table.Batch) (*schema, error) {
	sc, ok := s.schemas[b.Table]
	if !ok {
		return nil, fault.New(fault.Invalid, "There is no table %q that rows can be stored in.", table.Clip(b.Table, maxShown))
	}
	if err := b.Check(); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The batch is not well-formed.")
	}
	for _, c := range b.Columns {
		if kind, ok := sc.kinds[c.Name]; !ok || kind != c.Kind {
			return nil, fault.New(fault.Invalid, "Table %s has no column %q of the type %s.", b.Table, table.Clip(c.Name, maxShown), c.Kind)
		}
	}
	if b.Index(table.TimeGenerated) < 0 {
		return nil, fault.New(fault.Invalid, "The rows of table %s have no %s.", b.Table, table.TimeGenerated)
	}
	return sc, nil
}

// maxShown is how many bytes of a foreign name a message repeats.
const maxShown = 64

// legible replaces bytes that are no UTF-8, which neither the lake nor a page can show.
func legible(b *table.Batch) {
	for i := range b.Vectors {
		v := &b.Vectors[i]
		cloned := false
		for row, s := range v.Text {
			if utf8.ValidString(s) {
				continue
			}
			if !cloned {
				v.Text, cloned = slices.Clone(v.Text), true
			}
			v.Text[row] = strings.ToValidUTF8(s, "\uFFFD")
		}
	}
}

// clocked replaces times that are too far from received, and returns which, nil for none.
func clocked(b *table.Batch, received time.Time) []bool {
	at := b.Index(table.TimeGenerated)
	v := b.Vectors[at]
	low, high, now := table.TicksOf(received.Add(-oldest)), table.TicksOf(received.Add(newest)), table.TicksOf(received)
	var out []bool
	var times []int64
	for row, t := range v.Int {
		if null := v.IsNull(row); !null && t >= low && t <= high {
			continue
		}
		if out == nil {
			out, times = make([]bool, len(v.Int)), slices.Clone(v.Int)
		}
		out[row], times[row] = true, now
	}
	if out != nil {
		b.Vectors[at] = table.Vector{Kind: table.DateTime, Int: times}
	}
	return out
}

// billed returns the size of each row in bytes: of its text, and eight for each other
// value that is not null. Azure Monitor counts in the same way, without the columns that
// it sets itself ("Azure Monitor Logs cost calculations and options").
func billed(b *table.Batch) []float64 {
	out := make([]float64, b.Rows())
	for i, c := range b.Columns {
		v := b.Vectors[i]
		switch {
		case ours(c.Name):
		case v.Text != nil:
			for row, s := range v.Text {
				out[row] += float64(len(s))
			}
		default:
			for row := range out {
				if v.Null == nil || !v.Null[row] {
					out[row] += 8
				}
			}
		}
	}
	return out
}

// ours reports whether a column is set by Put.
func ours(name string) bool {
	switch name {
	case "TenantId", "SourceSystem", "Type", table.Project, table.Environment, table.Release, table.ImageDigest:
		return true
	}
	return strings.HasPrefix(name, "_")
}

// placed gathers the columns that come from the place.
type placed struct{ project, environment, release, digest, resource []string }

func newPlaced(n int) *placed {
	column := func() []string { return make([]string, 0, n) }
	return &placed{column(), column(), column(), column(), column()}
}

func (p *placed) add(at *place.Place, resource, digest string) {
	p.project = append(p.project, at.Project)
	p.environment = append(p.environment, at.Environment)
	p.release = append(p.release, at.Release)
	p.digest = append(p.digest, digest)
	p.resource = append(p.resource, resource)
}

func (p *placed) put(b *table.Batch) {
	for _, c := range []struct {
		name string
		text []string
	}{{"_ResourceId", p.resource}, {table.Project, p.project}, {table.Environment, p.environment}, {table.Release, p.release}, {table.ImageDigest, p.digest}} {
		b.Put(table.Column{Name: c.name, Kind: table.String}, table.Vector{Text: c.text})
	}
}

// resource returns the resource id of a place in the form of Azure's: the cluster of a
// pod, else the project's application.
func (s *Service) resource(p place.Place) string {
	group := p.Project
	if group == "" {
		group = "towpath"
	}
	base := "/subscriptions/" + s.Installation + "/resourcegroups/" + group + "/providers/"
	if p.Pod == "" {
		return base + "microsoft.insights/components/" + group
	}
	cluster := p.Cluster
	if cluster == "" {
		cluster = s.Cluster
	}
	return base + "microsoft.containerservice/managedclusters/" + cluster
}

// digest names a batch by what it says and who says it, so that what is sent again after
// an answer that was lost is stored once. Rows of two deliveries do not collide: they
// differ in an identifier or in a time of nanoseconds.
func digest(b *table.Batch, where source) (id [16]byte) {
	h := sha256.New()
	var word [8]byte
	number := func(n uint64) {
		binary.LittleEndian.PutUint64(word[:], n)
		h.Write(word[:])
	}
	text := func(s string) {
		number(uint64(len(s)))
		h.Write([]byte(s))
	}
	p, _, resource := where.find(b, 0)
	text(b.Table)
	text(p.Project)
	text(p.UID)
	text(resource)
	number(uint64(b.Rows()))
	for i, c := range b.Columns {
		text(c.Name)
		v := b.Vectors[i]
		for _, s := range v.Text {
			text(s)
		}
		for _, n := range v.Int {
			number(uint64(n))
		}
		for _, f := range v.Real {
			number(math.Float64bits(f))
		}
	}
	h.Sum(word[:0])
	copy(id[:], h.Sum(nil))
	return id
}

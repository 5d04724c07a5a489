package tail

import (
	"bytes"
	"crypto/rand"
	"time"

	"towpath.dev/towpath/internal/monitor/table"
)

// The columns that the node fills; the server adds the others.
var columns = [...]table.Column{
	{Name: table.TimeGenerated, Kind: table.DateTime}, {Name: "Computer", Kind: table.String}, {Name: "ContainerName", Kind: table.String},
	{Name: "PodName", Kind: table.String}, {Name: "PodNamespace", Kind: table.String}, {Name: "LogMessage", Kind: table.Dynamic},
	{Name: "LogSource", Kind: table.String}, {Name: "LogLevel", Kind: table.String}, {Name: "KubernetesMetadata", Kind: table.Dynamic},
}

// batch is rows on their way, with the marks that hold once the server has them.
type batch struct {
	id    [16]byte
	rows  table.Batch
	marks map[*file]marks
	body  []byte // encoded already; nil until then
	count int
}

// builder collects rows.
type builder struct {
	node    string
	vectors []table.Vector
	size    int
	since   time.Time // of the first row
	scratch []byte
}

func (b *builder) rows() int {
	if b.vectors == nil {
		return 0
	}
	return b.vectors[0].Len()
}

// add makes a row of an entry. It returns whether the row is shown in part only.
func (b *builder) add(s *sequence, e entry, now time.Time) (truncated bool) {
	if b.vectors == nil {
		b.vectors = make([]table.Vector, len(columns))
		for i, c := range columns {
			b.vectors[i] = table.NewVector(c.Kind, 64)
		}
		b.since = now
	}
	text := table.Clip(e.text, shown)
	truncated = e.total > len(text)
	meta, message := s.meta, ""
	if truncated {
		meta = metadata(s.pod.uid, e.total)
	}
	if e.object && !truncated {
		message = string(bytes.TrimSpace(text))
	} else {
		b.scratch = quote(b.scratch[:0], text)
		message = string(b.scratch)
	}
	b.vectors[0].AppendInt(e.ticks)
	for i, x := range [...]string{b.node, s.container, s.pod.name, s.pod.namespace, message, e.out.String(), e.level, meta} {
		b.vectors[i+1].AppendText(x)
	}
	b.size += len(message) + 48
	if truncated {
		b.size += len(meta)
	}
	return truncated
}

// seal makes a batch of the rows and begins anew.
func (b *builder) seal() *batch {
	out := &batch{count: b.rows(), marks: map[*file]marks{}}
	_, _ = rand.Read(out.id[:]) // it never fails
	out.rows = table.Batch{ID: out.id, Table: table.ContainerLogV2, Columns: columns[:], Vectors: b.vectors}
	b.vectors, b.size = nil, 0
	return out
}

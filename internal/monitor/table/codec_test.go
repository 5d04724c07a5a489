package table_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"towpath.dev/towpath/internal/monitor/table"
)

// logs returns a batch of container logs, as a node sends them.
func logs(rows int) *table.Batch {
	b := table.NewBuilder(table.ByName(table.ContainerLogV2))
	at, pod, message, level := b.Place(table.TimeGenerated), b.Place("PodName"), b.Place("LogMessage"), b.Place("LogLevel")
	for i := range rows {
		b.Next()
		b.Int(at, 638_000_000_000_000_000+int64(i)*1234)
		b.Text(pod, fmt.Sprintf("web-%d", i%7))
		b.Text(message, fmt.Sprintf(`"GET /items/%d took %d ms"`, i*7919%10007, i%300))
		b.Text(level, []string{"INFO", "WARNING", "ERROR"}[i%3])
	}
	return b.Batch([16]byte{1, 2, 3})
}

// odd returns a batch with every kind, with nulls and the ends of the ranges.
func odd() *table.Batch {
	return &table.Batch{Table: "Odd", Columns: []table.Column{
		{Name: "b", Kind: table.Bool}, {Name: "i", Kind: table.Int}, {Name: "l", Kind: table.Long}, {Name: "r", Kind: table.Real}, {Name: "d", Kind: table.Decimal},
		{Name: "t", Kind: table.DateTime}, {Name: "s", Kind: table.TimeSpan}, {Name: "g", Kind: table.GUID}, {Name: "x", Kind: table.String}, {Name: "y", Kind: table.Dynamic},
	}, Vectors: []table.Vector{
		{Kind: table.Bool, Int: []int64{0, 1, 0}, Null: []bool{false, false, true}},
		{Kind: table.Int, Int: []int64{math.MinInt32, math.MaxInt32, 0}},
		{Kind: table.Long, Int: []int64{math.MinInt64, math.MaxInt64, -1}},
		{Kind: table.Real, Real: []float64{math.Inf(-1), math.NaN(), math.Copysign(0, -1)}},
		{Kind: table.Decimal, Real: []float64{1.5, 1.5, 1.5}, Null: []bool{true, true, true}},
		{Kind: table.DateTime, Int: []int64{0, 1, math.MaxInt64}},
		{Kind: table.TimeSpan, Int: []int64{5, 5, 5}},
		{Kind: table.GUID, Text: []string{"", "0c5a", ""}},
		{Kind: table.String, Text: []string{"", "\x00\xff", "ä"}},
		{Kind: table.Dynamic, Text: []string{"{}", "{}", "{}"}},
	}}
}

var same = cmp.Options{cmpopts.EquateNaNs(), cmpopts.EquateEmpty()}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	many := logs(70_000) // More distinct messages than a dictionary may have.
	for i := range many.Vectors[many.Index("LogMessage")].Text {
		many.Vectors[many.Index("LogMessage")].Text[i] = fmt.Sprint(i / 2)
	}
	for name, b := range map[string]*table.Batch{
		"empty": {}, "no rows": logs(0), "one row": logs(1), "logs": logs(3000), "every kind": odd(), "a dictionary of two bytes": logs(30_000), "too many for a dictionary": many,
	} {
		t.Run(name, func(t *testing.T) {
			data := table.Encode([]byte("before"), b)
			got, err := table.Decode(data[len("before"):], table.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if reflect.DeepEqual(b, got) {
				return // cmp takes seconds over a million cells.
			}
			if diff := cmp.Diff(b, got, same); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := table.Encode(nil, logs(100))
	bomb := table.Encode(nil, &table.Batch{Columns: []table.Column{{Name: "x", Kind: table.String}}, Vectors: []table.Vector{table.Texts(table.String, "y", 1<<20)}})
	for name, tt := range map[string]struct {
		data   []byte
		limits table.Limits
		want   error
	}{
		"nothing":               {nil, table.Limits{}, table.ErrMalformed},
		"another version":       {append([]byte("TPB\x02"), good[4:]...), table.Limits{}, table.ErrMalformed},
		"bytes behind the end":  {append(good[:len(good):len(good)], 0), table.Limits{}, table.ErrMalformed},
		"rows":                  {good, table.Limits{Rows: 99}, table.ErrTooLarge},
		"columns":               {good, table.Limits{Columns: 3}, table.ErrTooLarge},
		"little that gets much": {bomb, table.Limits{Bytes: 1 << 20}, table.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := table.Decode(tt.data, tt.limits); !errors.Is(err, tt.want) {
				t.Errorf("Decode() = %v, want %v", err, tt.want)
			}
		})
	}
	for cut := range good {
		if _, err := table.Decode(good[:cut], table.Limits{}); err == nil {
			t.Fatalf("Decode() took the first %d bytes of %d", cut, len(good))
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range []*table.Batch{{}, logs(3), logs(600), odd()} {
		f.Add(table.Encode(nil, b))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := table.Decode(data, table.Limits{Rows: 1 << 12, Columns: 64, Bytes: 1 << 20})
		if err != nil {
			return
		}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		again, err := table.Decode(table.Encode(nil, b), table.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, again, same); diff != "" {
			t.Error(diff)
		}
	})
}

func TestBuilder(t *testing.T) {
	b := table.NewBuilder(table.ByName(table.AppRequests))
	when := time.Date(2026, 3, 1, 12, 0, 0, 123_456_700, time.UTC)
	b.Next()
	for name, v := range map[string]any{table.TimeGenerated: when, "Name": "GET /", "Success": true, "DurationMs": 12, "ItemCount": 1} {
		if !b.Set(name, v) {
			t.Errorf("Set(%s) = false", name)
		}
	}
	if b.Set("Nonsense", 1) || b.Set("Name", 1) || b.Set("Success", "yes") {
		t.Error("Set() took what does not fit")
	}
	b.Text(-1, "nothing happens")
	b.Next()
	got := b.Batch([16]byte{7})
	if err := got.Check(); err != nil {
		t.Fatal(err)
	}
	at := got.Vectors[got.Index(table.TimeGenerated)]
	if got.Rows() != 2 || !table.TimeOf(at.Int[0]).Equal(when) || !at.IsNull(1) {
		t.Errorf("rows %d, times %v %v", got.Rows(), at.Int, at.Null)
	}
	if d := got.Vectors[got.Index("DurationMs")]; d.Real[0] != 12 || !d.IsNull(1) || d.IsNull(0) {
		t.Errorf("DurationMs = %v %v", d.Real, d.Null)
	}
	if b.Rows() != 0 || b.Batch([16]byte{}).Rows() != 0 {
		t.Error("the builder does not begin anew")
	}
}

func TestAppendSlicePickPut(t *testing.T) {
	a, b := odd(), odd()
	b.Put(table.Column{Name: "new", Kind: table.Long}, table.Vector{Int: []int64{1, 2, 3}})
	a.Append(b)
	if err := a.Check(); err != nil {
		t.Fatal(err)
	}
	if v := a.Vectors[a.Index("new")]; a.Rows() != 6 || !v.IsNull(2) || v.Int[5] != 3 || v.IsNull(5) {
		t.Errorf("rows %d, new %v %v", a.Rows(), v.Int, v.Null)
	}
	if diff := cmp.Diff(odd(), &table.Batch{Table: "Odd", Columns: odd().Columns, Vectors: a.Slice(3, 6).Vectors[:10]}, same); diff != "" {
		t.Error(diff)
	}
	if v := a.Pick([]int{5, 0}).Vectors[a.Index("l")]; v.Int[0] != -1 || v.Int[1] != math.MinInt64 {
		t.Errorf("picked %v", v.Int)
	}
	part := a.Slice(0, 2)
	part.Append(b)
	if v := a.Vectors[a.Index("l")]; v.Int[2] != -1 || v.Int[3] != math.MinInt64 {
		t.Error("appending to a slice wrote into the batch it was cut from")
	}
}

func BenchmarkCodec(b *testing.B) {
	batch := logs(10_000)
	data := table.Encode(nil, batch)
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			data = table.Encode(data[:0], batch)
		}
		b.ReportMetric(float64(batch.Rows()*b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := table.Decode(data, table.Limits{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(batch.Rows()*b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

package segment_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake/bloom"
	"towpath.dev/towpath/internal/monitor/lake/segment"
)

// build writes an index of three groups and returns it as it was built and as it is read.
func build(t *testing.T) (built, read *segment.Index) {
	t.Helper()
	b := segment.NewBuilder(1, []segment.Column{{Name: "Project"}, {Name: "Level"}, {Name: "Message", Search: true, JSON: true}, {Name: "Id"}})
	for g := range 3 {
		b.Begin()
		for part := range 2 {
			var times []int64
			texts := make([][]string, 4)
			for i := range 200 {
				times = append(times, int64(1000*g+200*part+i))
				texts[0] = append(texts[0], "shop")
				texts[1] = append(texts[1], []string{"INFO", "ERROR", "WARNING"}[(i%2)*g])
				texts[2] = append(texts[2], fmt.Sprintf(`"group%d\nline%d"`, g, i))
				texts[3] = append(texts[3], fmt.Sprint(g, part, i))
			}
			b.Add(times, texts)
		}
	}
	path := filepath.Join(t.TempDir(), "x.index")
	built, size, err := b.Write(path, path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != size {
		t.Errorf("Write() said %d bytes: %v, %v", size, info, err)
	}
	read, err = segment.ReadIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	return built, read
}

func TestPrune(t *testing.T) {
	built, read := build(t)
	if diff := cmp.Diff(built, read, cmpopts.IgnoreUnexported(segment.Index{})); diff != "" {
		t.Error(diff)
	}
	terms := func(s ...string) (out []bloom.Hash) {
		for _, x := range s {
			out = append(out, bloom.HashOf(x))
		}
		return out
	}
	for name, tt := range map[string]struct {
		want segment.Want
		got  []int
	}{
		"everything":      {segment.Want{}, []int{0, 1, 2}},
		"from":            {segment.Want{From: 1399}, []int{1, 2}},
		"after":           {segment.Want{From: 1400}, []int{2}},
		"to":              {segment.Want{To: 1000}, []int{0}},
		"to, exclusive":   {segment.Want{To: 1001}, []int{0, 1}},
		"a term":          {segment.Want{Terms: terms("group1")}, []int{1}},
		"terms":           {segment.Want{Terms: terms("group1", "line7")}, []int{1}},
		"no such term":    {segment.Want{Terms: terms("group1", "nothing")}, nil},
		"a value":         {segment.Want{Equal: map[string][]string{"Level": {"WARNING"}}}, []int{2}},
		"values":          {segment.Want{Equal: map[string][]string{"Level": {"WARNING", "ERROR"}}}, []int{1, 2}},
		"no such value":   {segment.Want{Equal: map[string][]string{"Project": {"bank"}}}, nil},
		"many values":     {segment.Want{Equal: map[string][]string{"Id": {"nothing"}}}, []int{0, 1, 2}},
		"unknown column":  {segment.Want{Equal: map[string][]string{"Nothing": {"x"}}}, []int{0, 1, 2}},
		"all of it":       {segment.Want{From: 1, To: 2300, Terms: terms("line1"), Equal: map[string][]string{"Project": {"shop"}, "Level": {"INFO"}}}, []int{0, 1, 2}},
		"nothing is left": {segment.Want{From: 1, To: 1300, Terms: terms("group2")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := read.Prune(tt.want); err != nil || !slices.Equal(got, tt.got) {
				t.Errorf("Prune() = %v, %v, want %v", got, err, tt.got)
			}
			if got, err := built.Prune(tt.want); err != nil || !slices.Equal(got, tt.got) {
				t.Errorf("Prune() as built = %v, %v, want %v", got, err, tt.got)
			}
		})
	}
	if !read.Only("Project", "shop") || read.Only("Project", "bank") || read.Only("Level", "INFO") || read.Only("Id", "") {
		t.Error("Only() is wrong")
	}
}

func FuzzReadIndex(f *testing.F) {
	f.Add([]byte("TPIDX\x00\x00\x01\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if x, err := segment.ReadIndex(path); (x == nil) == (err == nil) {
			t.Errorf("ReadIndex() = %v, %v", x, err)
		}
	})
}

func TestManifest(t *testing.T) {
	dir := t.TempDir()
	m, err := segment.LoadManifest(dir)
	if err != nil || m.Next != 1 || len(m.Segments) != 0 {
		t.Fatalf("of a new folder: %+v, %v", m, err)
	}
	m.Next, m.Sealed, m.Segments = 3, 7, []segment.Info{{ID: 2, Table: "T", Columns: []string{"a"}, Rows: 5}}
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := segment.LoadManifest(dir); err != nil || !cmp.Equal(got, m) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(`{"version":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := segment.LoadManifest(dir); err == nil {
		t.Error("took a manifest of another version")
	}
}

func TestFilesInABlobStore(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	blobs, err := blob.Open(ctx, blob.Config{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := segment.OpenFiles(dir, blobs, 10, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m := &segment.Manifest{}
	for id := uint64(1); id <= 3; id++ {
		i := segment.Info{ID: id, Bytes: 8, Index: 4}
		for path, text := range map[string]string{f.Path(id): fmt.Sprintf("parquet%d", id), f.IndexPath(id): fmt.Sprintf("ind%d", id)} {
			if err := os.WriteFile(segment.Temp(path), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Keep(i); err != nil {
			t.Fatal(err)
		}
		if err := f.Upload(ctx, &i); err != nil || i.Data == "" || i.IndexData == "" {
			t.Fatalf("Upload() = %v, %+v", err, i)
		}
		f.Uploaded(i)
		m.Segments = append(m.Segments, i)
	}
	f.Evict(func(id uint64) bool { return id == 1 })
	for id, want := range map[uint64]bool{1: true, 2: false, 3: false} {
		if _, err := os.Stat(f.Path(id)); (err == nil) != want {
			t.Errorf("after Evict, segment %d: %v", id, err)
		}
	}
	if err := f.Fetch(ctx, m.Segments[1]); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(f.Path(2)); string(b) != "parquet2" {
		t.Errorf("fetched %q, %v", b, err)
	}
	gone := m.Segments[2]
	f.Remove(gone)
	if err := f.RemoveRemote(ctx, gone); err != nil {
		t.Error(err)
	}
	if _, err := blobs.Stat(ctx, gone.Data); !fault.Is(err, fault.NotFound) {
		t.Errorf("what was removed is in the blob store: %v", err)
	}
	if err := f.RemoveRemote(ctx, gone); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
	m.Segments = m.Segments[:2]
	if err := os.WriteFile(filepath.Join(dir, "000000000009.parquet.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.IndexPath(2)); err != nil {
		t.Fatal(err)
	}
	if err := f.Tidy(ctx, m); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if want := []string{f.IndexPath(1), f.Path(1), f.IndexPath(2), f.Path(2)}; err != nil || !slices.Equal(names, want) {
		t.Errorf("after Tidy: %q, %v", names, err)
	}
}

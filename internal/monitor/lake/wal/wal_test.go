package wal_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/monitor/lake/wal"
)

// open opens the log and returns it with the records that it held and what it logged.
func open(t *testing.T, dir string, sealed uint64) (*wal.Log, []string, string) {
	t.Helper()
	var got []string
	var lines bytes.Buffer
	l, err := wal.Open(dir, sealed, slog.New(slog.NewTextHandler(&lines, nil)), func(_ uint64, r []byte) error {
		got = append(got, string(r))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, got, lines.String()
}

func write(t *testing.T, l *wal.Log, records ...string) {
	t.Helper()
	b := make([][]byte, len(records))
	for i, r := range records {
		b[i] = []byte(r)
	}
	if err := l.Write(b...); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func TestRecordsComeBackInOrder(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := open(t, dir, 0)
	write(t, l, "one", "two")
	if _, err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	write(t, l, "three")
	_, got, logged := open(t, dir, 0)
	if want := []string{"one", "two", "three"}; !slices.Equal(got, want) || logged != "" {
		t.Errorf("got %q, logged %q", got, logged)
	}
}

func TestDroppedFilesAreGone(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := open(t, dir, 0)
	write(t, l, "one")
	n, err := l.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, "two")
	size := l.Size()
	if err := l.Drop(n); err != nil || l.Size() >= size {
		t.Errorf("Drop() = %v, size %d then %d", err, size, l.Size())
	}
	if _, got, _ := open(t, dir, n); !slices.Equal(got, []string{"two"}) {
		t.Errorf("got %q", got)
	}
	if _, got, _ := open(t, dir, 99); len(got) != 0 || len(files(t, dir)) != 1 {
		t.Errorf("sealed records came back: %q, files %q", got, files(t, dir))
	}
	l, _, _ = open(t, dir, 99)
	if n, err := l.Rotate(); err != nil || n <= 99 {
		t.Errorf("a number was used again: %d, %v", n, err)
	}
}

func TestEveryTornTailIsCut(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := open(t, dir, 0)
	write(t, l, "first")
	whole, err := os.ReadFile(files(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, "second record")
	torn, err := os.ReadFile(files(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(torn)
	damaged[len(damaged)-1] ^= 1
	tails := map[string][]byte{"damaged": damaged, "zeros": append(bytes.Clone(whole), make([]byte, 100)...), "huge": append(bytes.Clone(whole), bytes.Repeat([]byte{255}, 20)...)}
	for n := len(whole) + 1; n < len(torn); n++ {
		tails[fmt.Sprintf("cut at %d", n)] = torn[:n]
	}
	for name, b := range tails {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "0000000000000001.wal"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			l, got, logged := open(t, dir, 0)
			if !slices.Equal(got, []string{"first"}) || !strings.Contains(logged, "torn tail") {
				t.Fatalf("got %q, logged %q", got, logged)
			}
			write(t, l, "third")
			_, got, logged = open(t, dir, 0)
			if !slices.Equal(got, []string{"first", "third"}) || logged != "" {
				t.Errorf("got %q, logged %q", got, logged)
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("TPWAL\x00\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00abc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "0000000000000001.wal"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, first, _ := open(t, dir, 0)
		write(t, l, "more")
		if _, again, _ := open(t, dir, 0); !slices.Equal(append(first, "more"), again) {
			t.Errorf("first %q, again %q", first, again)
		}
	})
}

package logs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/logs"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

func records(from, to int) []byte {
	var b []byte
	for i := from; i < to; i++ {
		b = protocol.AppendLine(b, int64(1700000000000+i), fmt.Appendf(nil, "line %d %s", i, strings.Repeat("x", i%97)))
	}
	return b
}

func check(t *testing.T, s *logs.Store, r logs.Ref, from int64, limit, want int, total int64) {
	t.Helper()
	lines, n, err := s.Read(r, from, limit)
	if err != nil || n != total || len(lines) != want {
		t.Fatalf("Read(%d, %d) = %d lines of %d, %v; want %d of %d", from, limit, len(lines), n, err, want, total)
	}
	for i, l := range lines {
		if l.N != from+int64(i) || !strings.HasPrefix(l.Text, fmt.Sprintf("line %d ", l.N)) || l.Time.UnixMilli() != 1700000000000+l.N {
			t.Fatalf("line %d is %+v", from+int64(i), l)
		}
	}
}

func TestAppendAndRead(t *testing.T) {
	dir := t.TempDir()
	s := logs.New(dir)
	r := logs.Ref{Run: 7, Job: "01J", Step: 2}
	for at := 0; at < 3000; at += 100 {
		if next, err := s.Append(r, int64(at), records(at, at+100), 0); err != nil || next != int64(at+100) {
			t.Fatalf("Append at %d = %d, %v", at, next, err)
		}
	}
	check(t, s, r, 0, 10, 10, 3000)
	check(t, s, r, 511, 3, 3, 3000)
	check(t, s, r, 2990, 100, 10, 3000)
	check(t, s, r, 3000, 100, 0, 3000)
	// A repetition and a gap are refused and change nothing.
	for _, at := range []int64{0, 2999, 3001} {
		if next, err := s.Append(r, at, records(0, 1), 0); !fault.Is(err, fault.Conflict) || next != 3000 {
			t.Errorf("Append at %d = %d, %v; want a conflict and 3000", at, next, err)
		}
	}
	if err := s.Seal(r); err != nil {
		t.Fatal(err)
	}
	check(t, s, r, 1024, 600, 600, 3000)
	// Late lines reopen the log.
	if _, err := s.Append(r, 3000, records(3000, 3001), 0); err != nil {
		t.Fatal(err)
	}
	check(t, s, r, 2999, 5, 2, 3001)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, logs.New(dir), r, 2999, 5, 2, 3001)
}

func TestHalfLineOfACrashIsDropped(t *testing.T) {
	dir := t.TempDir()
	r := logs.Ref{Run: 1, Job: "j", Step: 1}
	path := filepath.Join(dir, "runs", "1", "j", "1.log")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, whole := range []int{0, 1, 255, 256, 257, 512} {
		if err := os.WriteFile(path, append(records(0, whole), "1700000000 half"...), 0o600); err != nil {
			t.Fatal(err)
		}
		s := logs.New(dir)
		if next, err := s.Append(r, int64(whole), records(whole, whole+2), 0); err != nil || next != int64(whole+2) {
			t.Fatalf("%d whole lines: Append = %d, %v", whole, next, err)
		}
		check(t, s, r, 0, whole+10, whole+2, int64(whole+2))
		check(t, s, r, int64(whole), 10, 2, int64(whole+2))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLimitAndBadRecords(t *testing.T) {
	s := logs.New(t.TempDir())
	r := logs.Ref{Run: 1, Job: "j", Step: 1}
	if _, err := s.Append(r, 0, records(0, 100), 500); !fault.Is(err, fault.TooLarge) {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := s.Append(r, 0, []byte("1 no end"), 0); !fault.Is(err, fault.Invalid) {
		t.Errorf("no line feed: %v", err)
	}
	if lines, err := s.Lines(r); lines != 0 || err != nil {
		t.Errorf("Lines = %d, %v", lines, err)
	}
}

func TestChangedWakes(t *testing.T) {
	s := logs.New(t.TempDir())
	r := logs.Ref{Run: 1, Job: "j", Step: 1}
	if s.Changed(r) != nil {
		t.Error("a log that nobody writes has a channel")
	}
	if _, err := s.Append(r, 0, records(0, 1), 0); err != nil {
		t.Fatal(err)
	}
	c := s.Changed(r)
	if _, err := s.Append(r, 1, records(1, 2), 0); err != nil {
		t.Fatal(err)
	}
	<-c
	c = s.Changed(r)
	if err := s.Seal(r); err != nil {
		t.Fatal(err)
	}
	<-c
}

// What a task prints when the job ends comes after the log of its step was sealed.
func TestLateLinesOfACrash(t *testing.T) {
	dir := t.TempDir()
	s := logs.New(dir)
	r := logs.Ref{Run: 1, Job: "j", Step: 1}
	if _, err := s.Append(r, 0, records(0, 300), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(r, 300, records(300, 700), 0); err != nil {
		t.Fatal(err)
	}
	check(t, logs.New(dir), r, 0, 1000, 700, 700)
}

func TestALogNeverGetsShorter(t *testing.T) {
	const rounds = 400
	s := logs.New(t.TempDir())
	r := logs.Ref{Run: 1, Job: "j", Step: 1}
	written := make(chan error, 1)
	go func() {
		for i := range rounds {
			if _, err := s.Append(r, int64(i), records(i, i+1), 0); err != nil {
				written <- err
				return
			}
			if err := s.Seal(r); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for seen := int64(0); seen < rounds; {
		total, err := s.Lines(r)
		if err != nil || total < seen {
			t.Fatalf("a log of %d lines has %d, %v", seen, total, err)
		}
		seen = total
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			written <- nil
		default:
		}
	}
}

func TestLinesComeWhileALogIsSealed(t *testing.T) {
	s := logs.New(t.TempDir())
	r := logs.Ref{Run: 1, Job: "j", Step: 1}
	sealed := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				sealed <- nil
				return
			default:
			}
			if err := s.Seal(r); err != nil {
				sealed <- err
				return
			}
		}
	}()
	for i := range 400 {
		if _, err := s.Append(r, int64(i), records(i, i+1), 0); err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
	}
	close(stop)
	if err := <-sealed; err != nil {
		t.Fatal(err)
	}
	check(t, s, r, 0, 1000, 400, 400)
}

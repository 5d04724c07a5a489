package enforce

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// log is an audit log under test, rotated as the API server does.
type log struct {
	t    *testing.T
	path string
	n    int
}

func newLog(t *testing.T) *log { return &log{t: t, path: filepath.Join(t.TempDir(), "audit.log")} }

func (l *log) write(text string) {
	l.t.Helper()
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		l.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *log) rotate() {
	l.t.Helper()
	l.n++
	if err := os.Rename(l.path, strings.TrimSuffix(l.path, ".log")+fmt.Sprintf("-2026-03-01T12-00-0%d.000.log", l.n)); err != nil {
		l.t.Fatal(err)
	}
}

// lines reads what is there and returns it, a line shortened to its first word.
func lines(t *testing.T, f *follower) []string {
	t.Helper()
	var out []string
	if _, err := f.read(func(b []byte) error {
		out = append(out, strings.Fields(string(b))[0])
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// long makes a line long enough to identify its file.
func long(word string) string { return word + " " + strings.Repeat("x", headBytes) + "\n" }

func TestFollowerReadsEachLineOnce(t *testing.T) {
	l := newLog(t)
	f := follow(l.path, cursor{})
	t.Cleanup(func() { f.close() })
	expect := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, lines(t, f)); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	}
	expect()
	l.write(long("a") + "b half")
	expect("a")
	l.write(" of it\n")
	expect("b")
	l.write("c\nd half")
	expect("c")
	// Written to the end of a file while it is renamed, then a new one.
	l.write(" of it\ne\n")
	l.rotate()
	l.write(long("f"))
	expect("d", "e", "f")
	// Twice between two looks.
	l.write("g\n")
	l.rotate()
	l.write(long("h"))
	l.rotate()
	l.write(long("i"))
	expect("g", "h", "i")
	l.rotate()
	expect()
	l.write(long("j"))
	expect("j")
}

func TestFollowerGoesOnAtItsCursor(t *testing.T) {
	l := newLog(t)
	l.write(long("a") + long("b"))
	f := follow(l.path, cursor{})
	lines(t, f)
	at := f.cursor()
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	l.write(long("c"))
	l.rotate()
	l.write(long("d"))
	again := follow(l.path, at)
	if diff := cmp.Diff([]string{"c", "d"}, lines(t, again)); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	again.close()

	// The file of the cursor is gone, and its inode may be another file's.
	files, err := again.files()
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	stolen := cursor{inode: files[1].inode, offset: at.offset / 2, head: at.head}
	lost := follow(l.path, stolen)
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, lines(t, lost)); diff != "" {
		t.Errorf("a cursor of a file that is gone (-want +got):\n%s", diff)
	}
	lost.close()
}

func TestFollowerLeavesOutWhatIsTooLong(t *testing.T) {
	l := newLog(t)
	l.write("a\nb " + strings.Repeat("x", 3*maxLine) + "\nc\n" + "d" + strings.Repeat("x", maxLine))
	f := follow(l.path, cursor{})
	defer f.close()
	if diff := cmp.Diff([]string{"a", "c"}, lines(t, f)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	l.write("x\ne\n")
	if diff := cmp.Diff([]string{"e"}, lines(t, f)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFollowerReadsAgainWhatCouldNotBeHandled(t *testing.T) {
	l := newLog(t)
	l.write("a\nb\nc\n")
	f := follow(l.path, cursor{})
	defer f.close()
	no := errors.New("no")
	if _, err := f.read(func(b []byte) error {
		if string(b) == "b" {
			return no
		}
		return nil
	}); !errors.Is(err, no) {
		t.Errorf("read = %v", err)
	}
	if diff := cmp.Diff([]string{"b", "c"}, lines(t, f)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

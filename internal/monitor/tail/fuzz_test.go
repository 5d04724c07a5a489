package tail_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/level"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/tail"
)

func ticks(t time.Time) int64 { return table.TicksOf(t) }

func FuzzLine(f *testing.F) {
	f.Add([]byte("2026-03-05T12:00:00.123456789Z stdout F hello"))
	f.Add([]byte("2026-03-05T12:00:00+02:00 stderr P:x {}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, ok := tail.ParseLine(raw)
		if !ok {
			return
		}
		stamp, _, _ := strings.Cut(string(raw), " ")
		// What is taken is what the standard library takes, too; it refuses leap seconds
		// and days that a month has not.
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil && table.TicksOf(at) != l.Ticks {
			t.Errorf("%s is %v", stamp, table.TimeOf(l.Ticks))
		}
		if l.Out != "stdout" && l.Out != "stderr" || !strings.HasSuffix(string(raw), l.Text) {
			t.Errorf("got %+v", l)
		}
	})
}

// FuzzJoin: every byte of every line is in one row, in order, whatever the lines are.
func FuzzJoin(f *testing.F) {
	f.Add("panic: x\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1", uint16(0))
	f.Add("Traceback (most recent call last):\n  File\nValueError: x\nnext", uint16(5))
	f.Add("/app/index.js:3\nx\n^\n\nError: y\n    at z {\n}\n\nNode.js v22\nfail: A[1]\n      b", uint16(3))
	f.Add("E x\n\tat y\nCaused by: z\r\n... 2 more", uint16(0))
	f.Fuzz(func(t *testing.T, text string, partial uint16) {
		if len(text) > 32<<10 {
			return
		}
		lines := spaced(strings.Split(text, "\n"))
		want := ""
		for i := range lines {
			lines[i].Partial = i < 16 && partial>>i&1 == 1
			want += lines[i].Text
			if !lines[i].Partial {
				want += "\n"
			}
		}
		got := ""
		for _, e := range tail.Join(lines, time.Second) {
			if e.Total != len(e.Text) {
				t.Errorf("a row of %d bytes counts as %d", len(e.Text), e.Total)
			}
			got += e.Text + "\n"
		}
		if squeeze(got) != squeeze(want) {
			t.Errorf("got  %q\nwant %q", squeeze(got), squeeze(want))
		}
	})
}

// squeeze leaves out what a row may lose: empty lines at its end and carriage returns at
// the ends of lines.
func squeeze(text string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimRight(line, "\r"); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"level":"error","log":{"level":"x"},"s":"I"}`))
	f.Add([]byte("tab\t\x1b[31m \xff quote\""))
	f.Fuzz(func(t *testing.T, text []byte) {
		object := tail.IsObject(text)
		if level.Of(text, object) == "" {
			t.Error("no level")
		}
		var back string
		if err := json.Unmarshal(tail.Quote(nil, text), &back); err != nil {
			t.Fatal(err)
		}
		if utf8.Valid(text) && back != string(text) {
			t.Errorf("%q came back as %q", text, back)
		}
	})
}

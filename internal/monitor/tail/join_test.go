package tail_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/monitor/tail"
)

// spaced makes lines of texts, one millisecond apart.
func spaced(texts []string) []tail.ParsedLine {
	var out []tail.ParsedLine
	for i, text := range texts {
		out = append(out, tail.ParsedLine{Ticks: int64(i) * 10_000, Text: text})
	}
	return out
}

// The fixtures mark lines that begin a row with "+ " and those that belong to the row
// before with "| ".
func TestStackTracesAreJoined(t *testing.T) {
	files, err := filepath.Glob("testdata/join/*.txt")
	if err != nil || len(files) < 6 {
		t.Fatal(len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var lines, want []string
			for line := range strings.Lines(string(raw)) {
				mark, text := line[:2], strings.TrimSuffix(line[2:], "\n")
				lines = append(lines, text)
				if mark == "+ " {
					want = append(want, text)
				} else {
					want[len(want)-1] += "\n" + text
				}
			}
			var got []string
			for _, e := range tail.Join(spaced(lines), 250*time.Millisecond) {
				got = append(got, e.Text)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALateLineBeginsARow(t *testing.T) {
	lines := spaced([]string{"panic: x", "goroutine 1 [running]:", "main.main()"})
	lines[2].Ticks += 300 * 10_000
	got := tail.Join(lines, 250*time.Millisecond)
	if len(got) != 2 || got[0].Text != "panic: x\ngoroutine 1 [running]:" || got[0].Level != "CRITICAL" {
		t.Errorf("got %+v", got)
	}
}

func TestPartsAreStitchedUpToALimit(t *testing.T) {
	part := strings.Repeat("x", 16<<10)
	var lines []tail.ParsedLine
	for range 65 { // 1 MiB and a part
		lines = append(lines, tail.ParsedLine{Partial: true, Text: part})
	}
	lines = append(lines, tail.ParsedLine{Text: "end"})
	got := tail.Join(lines, time.Second)
	if len(got) != 2 || got[0].Total != tail.Whole || len(got[0].Text) != tail.Shown || got[1].Total != 16<<10+3 {
		for _, e := range got {
			t.Errorf("a row of %d bytes, %d shown", e.Total, len(e.Text))
		}
	}
}

func TestALongDumpIsSeveralRows(t *testing.T) {
	texts := []string{"panic: x", ""}
	for i := range 40_000 {
		texts = append(texts, fmt.Sprintf("goroutine %d [select]:", i), "main.wait(...)", "\t/app/main.go:9", "")
	}
	lines := spaced(texts)
	for i := range lines {
		lines[i].Ticks = 0
	}
	got := tail.Join(lines, time.Second)
	if len(got) < 2 || len(got) > 4 {
		t.Fatalf("%d rows", len(got))
	}
	for _, e := range got {
		if e.Level != "CRITICAL" || e.Total > tail.Whole+1000 {
			t.Errorf("a row of %d bytes is %s", e.Total, e.Level)
		}
	}
}

func TestALineFromTheRuntime(t *testing.T) {
	at := time.Date(2026, 3, 5, 12, 0, 0, 123456700, time.UTC)
	for text, want := range map[string]*tail.ParsedLine{
		"2026-03-05T12:00:00.1234567Z stdout F hello world":              {Out: "stdout", Text: "hello world"},
		"2026-03-05T12:00:00.123456789Z stderr P:tag part":               {Out: "stderr", Partial: true, Text: "part"},
		"2026-03-05T14:00:00.123456799+02:00 stdout F ":                  {Out: "stdout"},
		"2026-03-05T12:00:00.123456799Z stdout F":                        {Out: "stdout"},
		"2026-03-05T04:30:00.1234567-07:30 stdout F  indented":           {Out: "stdout", Text: " indented"},
		"2026-03-05T12:00:00Z out F x":                                   nil,
		"2026-03-05T12:00:00Z stdout X x":                                nil,
		"2026-03-05T12:00:00Z stdout FP x":                               nil,
		"2026-13-05T12:00:00Z stdout F x":                                nil,
		"2026-03-05 12:00:00Z stdout F x":                                nil,
		"2026-03-05T12:00:00. stdout F x":                                nil,
		"":                                                               nil,
		`{"log":"docker\n","stream":"stdout","time":"2026-03-05T12:00"}`: nil,
	} {
		got, ok := tail.ParseLine([]byte(text))
		if ok != (want != nil) {
			t.Errorf("%q: taken %v", text, ok)
			continue
		}
		if want == nil {
			continue
		}
		want.Ticks = ticks(at)
		if diff := cmp.Diff(*want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

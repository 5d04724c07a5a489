package stack_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/monitor/otlp/stack"
)

var update = flag.Bool("update", false, "write the frames that were read beside the stacks")

// TestParse reads each stack of testdata and compares with the JSON beside it.
func TestParse(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d stacks: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, stack.JSON(stack.Parse(string(text))), "", "  "); err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".txt") + ".json"
			if *update {
				if err := os.WriteFile(golden, append(got.Bytes(), '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(string(want)), got.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestInnermost(t *testing.T) {
	for file, want := range map[string]stack.Exception{
		"java.txt":   {Type: "java.sql.SQLException", Message: "no rows: 7"},
		"dotnet.txt": {Type: "System.ArgumentException", Message: "No sku (Parameter 'sku')"},
		"node.txt":   {},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, stack.Innermost(string(text))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		frames := stack.Parse(text)
		if len(frames) > 128 {
			t.Fatalf("%d frames", len(frames))
		}
		for i, fr := range frames {
			if fr.Level != i || len(fr.Method) > 520 || !utf8.ValidString(fr.Method+fr.File+fr.Assembly) {
				t.Fatalf("frame %d: %+v", i, fr)
			}
		}
		if e := stack.Innermost(text); !utf8.ValidString(e.Type + e.Message) {
			t.Fatalf("innermost %+v", e)
		}
	})
}

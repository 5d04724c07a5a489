package parse_test

import (
	"fmt"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/parse"
)

func TestLimitsX009(t *testing.T) {
	nested := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
	tests := []struct {
		name, text, want string
		limits           parse.Limits
	}{
		{"size", "a: 12345", "has 8 bytes; at most 7", parse.Limits{Bytes: 7}},
		{"depth reached", nested(100), "", parse.Limits{}},
		{"depth", nested(101), "nested more than 100 levels", parse.Limits{}},
		{"deep recursion", nested(9000), "nested more than 100 levels", parse.Limits{}},
		{"nodes", "[1, 2, 3]", "more than 3 values", parse.Limits{Nodes: 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, found := parse.Parse("f", []byte(tt.text), tt.limits)
			if tt.want == "" && len(found) > 0 || !strings.Contains(found.Error(), tt.want) {
				t.Errorf("got %v", found)
			}
			if len(found) > 1 {
				t.Errorf("%d findings for one fault", len(found))
			}
		})
	}
}

func TestPositionsX011(t *testing.T) {
	root, found := parse.Parse("dir/f.yml", []byte("a:\n  - b: 'c'\n    d: |\n      e\n"), parse.Limits{})
	if len(found) > 0 {
		t.Fatal(found)
	}
	var got []string
	root.Walk(func(n *parse.Node) bool {
		got = append(got, fmt.Sprintf("%d:%d%q", n.Pos.Line, n.Pos.Col, n.Value))
		return true
	})
	if want := `1:1"" 1:1"a" 2:3"" 2:5"" 2:5"b" 2:8"c" 3:5"d" 3:8"e\n"`; strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	if got := root.Get("a").Pos.String(); got != "dir/f.yml (Line: 2, Col: 3)" {
		t.Errorf("got %s", got)
	}
}

func TestEncoding(t *testing.T) {
	_, found := parse.Parse("f", []byte("a: 1\nb: é\xff\n"), parse.Limits{})
	if want := "f (Line: 2, Col: 5): The file is not valid UTF-8"; !strings.HasPrefix(found.Error(), want) {
		t.Errorf("got %v", found)
	}
	if root, found := parse.Parse("f", []byte("\xef\xbb\xbfa: 1\r\nb: 2\r\n"), parse.Limits{}); found.Failed() || root.Get("b").Text() != "2" {
		t.Errorf("a byte order mark and CR LF must be fine: %v", found)
	}
}

func TestNulls(t *testing.T) {
	root, _ := parse.Parse("f", []byte("a:\nb: ~\nc: null\nd: ''\ne: 'null'\nf: x\n"), parse.Limits{})
	for key, want := range map[string]bool{"a": true, "b": true, "c": true, "d": false, "e": false, "f": false, "missing": true} {
		if got := root.Get(key).IsNull(); got != want {
			t.Errorf("%s is null: %t", key, got)
		}
	}
}

func TestPrintKeepsValues(t *testing.T) {
	pos := parse.Pos{}
	values := []*parse.Node{
		parse.NewString(pos, "true"), parse.NewString(pos, "3.10"), parse.NewString(pos, ""), parse.NewString(pos, "a: b"), parse.NewString(pos, "# x"),
		parse.NewString(pos, " lead"), parse.NewString(pos, "two\nlines"), parse.NewString(pos, "tail\n\n"), parse.NewString(pos, "\n"), parse.NewString(pos, "tab\t\n x"),
		parse.NewString(pos, "- a"), parse.NewString(pos, "*a"), parse.NewString(pos, "0o7"), parse.NewString(pos, "2026-01-01"), parse.NewString(pos, "<<"),
		parse.NewString(pos, strings.Repeat("long word ", 40)), parse.NewScalar(pos, "3.10"), parse.NewScalar(pos, ""), parse.NewScalar(pos, "yes"),
	}
	list := &parse.Node{Kind: parse.Sequence, Items: values}
	text, err := parse.Print(list)
	if err != nil {
		t.Fatal(err)
	}
	again, found := parse.Parse("f", text, parse.Limits{})
	if found.Failed() || len(again.Items) != len(values) {
		t.Fatalf("%v\n%s", found, text)
	}
	for i, n := range again.Items {
		if n.Value != values[i].Value || n.IsNull() != values[i].IsNull() {
			t.Errorf("%q became %q", values[i].Value, n.Value)
		}
	}
}

// FuzzParse checks that no bytes make the parser panic, that findings lie inside
// the file, and that what was parsed can be printed and parsed again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a: 1", "- a\n- b: [c, {d: e}]\n", "a: &x 1\nb: *x\n", "? [a]\n: b", "a: |\n  b\n", "a: 'b\n", "---\n---\n", "\t", "a: !!binary x", "${{ if x }}:\n  a: b\n", "a:\r\n  b", "%YAML 1.1\n---\na"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		root, found := parse.Parse("f", data, parse.Limits{Bytes: 1 << 16})
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 2
		for _, d := range found {
			if d.Pos.Line < 0 || d.Message == "" || d.Pos.Line > lines*4 {
				t.Fatalf("finding %+v", d)
			}
		}
		if root == nil || found.Failed() {
			return
		}
		text, err := parse.Print(root)
		if err != nil {
			return // YAML has no form for some control characters
		}
		again, found := parse.Parse("f", text, parse.Limits{})
		if found.Failed() {
			t.Fatalf("%q printed as %q: %v", data, text, found)
		}
		if flat(again) != flat(root) {
			t.Fatalf("%q became %q:\n%s\n%s", data, text, flat(root), flat(again))
		}
	})
}

// flat writes the content of a tree on one line.
func flat(n *parse.Node) string {
	var text strings.Builder
	n.Walk(func(n *parse.Node) bool {
		fmt.Fprintf(&text, "%d%q/%d/%d ", n.Kind, n.Value, len(n.Items), len(n.Pairs))
		return true
	})
	return text.String()
}

package lsp

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// FuzzReadMessage checks that framing never takes more than it may, and reads back what is
// written.
func FuzzReadMessage(f *testing.F) {
	f.Add([]byte("Content-Length: 2\r\n\r\n{}Content-Length: 1\r\n\r\n1"))
	f.Add([]byte("Content-Type: x\r\nContent-Length: 99999999999\r\n\r\n"))
	f.Add([]byte("Content-Length: -1\r\n\r\n"))
	f.Add([]byte(strings.Repeat("a", maxHeader+2)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		for range 100 {
			content, err := readMessage(r)
			if err == nil && len(content) > len(data) {
				t.Fatalf("%d bytes were read of %d", len(content), len(data))
			}
			if err != nil {
				break
			}
		}
		var b bytes.Buffer
		if err := writeMessage(&b, message{Method: "m", Error: &rpcError{1, strings.ToValidUTF8(string(data), "")}}); err != nil {
			t.Fatal(err)
		}
		r = bufio.NewReader(&b)
		if _, err := readMessage(r); err != nil {
			t.Fatal(err)
		}
		if _, err := readMessage(r); err != io.EOF {
			t.Fatalf("after the message comes %v", err)
		}
	})
}

// FuzzPositions compares the conversions with UTF-16 itself.
func FuzzPositions(f *testing.F) {
	f.Add("aé😀z", 3)
	f.Add("\xff\xf0\x9f", 1)
	f.Fuzz(func(t *testing.T, line string, character int) {
		if strings.ContainsAny(line, "\n\r") {
			return
		}
		encoded := utf16.Encode([]rune(line))
		if got := units(line); got != len(encoded) {
			t.Fatalf("%q has %d units, not %d", line, len(encoded), got)
		}
		at := byteAt(line, character)
		if at < 0 || at > len(line) || at < len(line) && utf8.ValidString(line) && !utf8.RuneStart(line[at]) {
			t.Fatalf("unit %d of %q is at byte %d", character, line, at)
		}
		back := units(line[:at])
		if want := min(max(character, 0), len(encoded)); back != want && (back != want-1 || !utf16.IsSurrogate(rune(encoded[want-1]))) {
			t.Fatalf("unit %d of %q became %d", character, line, back)
		}
		if n := utf8.RuneCountInString(line); runeUnits(line, n) != len(encoded) {
			t.Fatalf("%q ends at %d", line, runeUnits(line, n))
		}
	})
}

// FuzzDocument checks that no text and no place in it makes the server panic or hang, and
// that every answer lies inside of the text.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{"", "steps:\n- task: Bash@3\n  inputs:\n    ", "- - - -", "a: |\n  b\n c", "${{ if x }}:\n- ${{ each a in b }}:\n  - ", "\t:\n\r\n:", "a: {b: [c, {d", "- {a: &b {c: d}, ]: e}\n<<: *b", "a: [\n- b\n]", "jobs:\n- job: a\n  dependsOn:\n  - "} {
		for line := range 3 {
			f.Add(seed, line, line*4)
		}
	}
	files, err := filepath.Glob(filepath.Join("..", "compile", "testdata", "*.txtar"))
	if err != nil || len(files) == 0 {
		f.Fatal(err, "no fixtures")
	}
	for i, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), i%40, i%17)
	}
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, text string, line, character int) {
		s := New(Config{})
		s.space.root = root
		s.space.open["azure-pipelines.yml"] = text
		pos := position{line, character}
		all := lines(text)
		for _, c := range s.complete("azure-pipelines.yml", pos) {
			r := c.TextEdit.Range
			if r.Start.Line != line || r.End.Line != line || r.Start.Character > r.End.Character || r.End.Character > units(all[line]) {
				t.Fatalf("an edit of %+v", r)
			}
		}
		s.hover("azure-pipelines.yml", pos)
		s.definition("azure-pipelines.yml", pos)
		s.signature("azure-pipelines.yml", pos)
		s.symbols("azure-pipelines.yml")
		at := &span{pos, pos}
		if got, ok := applied(text, []change{{at, "x"}}); !ok || len(got) != len(text)+1 {
			t.Fatalf("%q became %q", text, got)
		}
		s.actions("azure-pipelines.yml", []diagnostic{
			{Range: *at, Message: "Unexpected value 'a'; did you mean 'b'?"}, {Range: *at, Message: "The task T needs the input 'x'"}, {Range: *at, Message: "A step needs the key 'y'"},
		})
		r := token(all, line, character)
		if r.Start.Line < 0 || r.Start.Line >= len(all) || r.End.Line != r.Start.Line || r.End.Character <= r.Start.Character {
			t.Fatalf("a token at %+v", r)
		}
	})
}

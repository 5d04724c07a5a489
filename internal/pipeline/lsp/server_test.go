package lsp_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/lsp"
)

// editor is the other end of a session.
type editor struct {
	t    *testing.T
	in   io.WriteCloser
	out  *bufio.Reader
	done chan error
	last int
	root string
}

func start(t *testing.T, files map[string]string) *editor {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	e := &editor{t: t, in: inW, out: bufio.NewReader(outR), done: make(chan error, 1), root: t.TempDir()}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(e.root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		err := lsp.New(lsp.Config{}).Serve(t.Context(), inR, outW)
		_ = outW.CloseWithError(io.EOF)
		e.done <- err
	}()
	return e
}

func (e *editor) send(v map[string]any) {
	e.t.Helper()
	v["jsonrpc"] = "2.0"
	raw, err := json.Marshal(v)
	if err != nil {
		e.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(e.in, "Content-Length: %d\r\n\r\n%s", len(raw), raw); err != nil {
		e.t.Fatal(err)
	}
}

// next is the next message of the server.
func (e *editor) next() map[string]any {
	e.t.Helper()
	header, err := textproto.NewReader(e.out).ReadMIMEHeader()
	if err != nil {
		e.t.Fatal(err)
	}
	n, err := strconv.Atoi(header.Get("Content-Length"))
	if err != nil {
		e.t.Fatal(err)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(e.out, raw); err != nil {
		e.t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		e.t.Fatal(err)
	}
	return m
}

// ask sends a request and returns its answer.
func (e *editor) ask(method string, params any) map[string]any {
	e.t.Helper()
	e.last++
	e.send(map[string]any{"id": e.last, "method": method, "params": params})
	for {
		if m := e.next(); m["id"] == float64(e.last) {
			return m
		}
	}
}

func (e *editor) tell(method string, params any) {
	e.t.Helper()
	e.send(map[string]any{"method": method, "params": params})
}

func (e *editor) uri(name string) string { return "file://" + filepath.Join(e.root, name) }

// found waits for the diagnostics of a file and returns them as "line:from-to message".
func (e *editor) found(name string) []string {
	e.t.Helper()
	for {
		m := e.next()
		params, _ := m["params"].(map[string]any)
		if m["method"] != "textDocument/publishDiagnostics" || params["uri"] != e.uri(name) {
			continue
		}
		var out []string
		for _, d := range params["diagnostics"].([]any) {
			one := d.(map[string]any)
			r := one["range"].(map[string]any)
			from, to := r["start"].(map[string]any), r["end"].(map[string]any)
			out = append(out, fmt.Sprintf("%v:%v-%v %v", from["line"], from["character"], to["character"], one["message"]))
		}
		return out
	}
}

func (e *editor) open(name, text string) {
	e.tell("textDocument/didOpen", map[string]any{"textDocument": map[string]any{"uri": e.uri(name), "languageId": "yaml", "version": 1, "text": text}})
}

func TestSession(t *testing.T) {
	e := start(t, map[string]string{"steps.yml": "parameters:\n- name: size\n  type: number\nsteps:\n- script: echo ${{ parameters.size }}\n"})
	got := e.ask("initialize", map[string]any{"rootUri": "file://" + e.root, "capabilities": map[string]any{}})
	if _, ok := got["result"].(map[string]any)["capabilities"]; !ok {
		t.Fatalf("initialize answers %v", got)
	}
	e.tell("initialized", map[string]any{})

	// All errors at once, with places in UTF-16 units.
	e.open("azure-pipelines.yml", "steps:\n- script: echo\n  stepz: 1\n- {script: \"😀\", condition: 'eq(1'}\n")
	found := e.found("azure-pipelines.yml")
	if len(found) == 0 || !strings.Contains(strings.Join(found, "\n"), "3:28-") {
		t.Errorf("found %q; want the condition at the unit 28 of line 3", found)
	}
	// A change makes them go, and an error of a template is shown where it is.
	change := func(name, text string) {
		e.tell("textDocument/didChange", map[string]any{
			"textDocument": map[string]any{"uri": e.uri(name), "version": 2}, "contentChanges": []any{map[string]any{"text": text}},
		})
	}
	change("azure-pipelines.yml", "steps:\n- template: steps.yml\n  parameters:\n    size: 1\n")
	if found := e.found("azure-pipelines.yml"); len(found) != 0 {
		t.Errorf("found %q in a right file", found)
	}
	e.open("steps.yml", "parameters:\n- name: size\n  type: number\nsteps:\n- skript: echo\n")
	if found := e.found("steps.yml"); len(found) != 1 || !strings.HasPrefix(found[0], "4:2-8 ") || !strings.Contains(found[0], "skript") {
		t.Errorf("found %q in the template", found)
	}
	// A file that is broken at the moment still completes.
	change("azure-pipelines.yml", "steps:\n- task: Bash@3\n  inputs:\n    scr\n  displayName: [\n")
	items := e.ask("textDocument/completion", map[string]any{
		"textDocument": map[string]any{"uri": e.uri("azure-pipelines.yml")}, "position": map[string]any{"line": 3, "character": 7},
	})["result"].([]any)
	if !strings.Contains(fmt.Sprint(items), "label:script") {
		t.Errorf("completion in a broken file offers %v", items)
	}
	if got := e.ask("textDocument/rename", map[string]any{}); got["error"].(map[string]any)["code"] != float64(-32601) {
		t.Errorf("an unknown request is answered by %v", got)
	}
	e.ask("shutdown", nil)
	if got := e.ask("textDocument/hover", map[string]any{}); got["error"] == nil {
		t.Errorf("after shutdown the answer is %v", got)
	}
	e.tell("exit", nil)
	if err := <-e.done; err != nil {
		t.Error(err)
	}
}

func TestRequestsBeforeInitialize(t *testing.T) {
	e := start(t, nil)
	if got := e.ask("textDocument/hover", map[string]any{}); got["error"].(map[string]any)["code"] != float64(-32002) {
		t.Errorf("the answer is %v", got)
	}
	e.tell("exit", nil)
	if err := <-e.done; err == nil {
		t.Error("an exit without shutdown is a success")
	}
}

package api_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func pretty(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// TestEveryRouteIsDescribed reads the source of this package and fails when an
// operation that is registered is missing from the document, or when one has no words.
func TestEveryRouteIsDescribed(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string `json:"summary"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(get(t, handler(t), http.MethodGet, "/api/openapi.json").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			described[o.OperationID] = true
			if o.Summary == "" || !strings.Contains(o.OperationID, "-") {
				t.Errorf("%s %s has no summary or no noun-verb id", method, path)
			}
		}
	}
	registered := operations(t)
	if len(registered) < 30 {
		t.Fatalf("only %d operations were found in the source", len(registered))
	}
	for id := range registered {
		if !described[id] {
			t.Errorf("operation %s is registered and not described", id)
		}
	}
	for id := range described {
		if !registered[id] {
			t.Errorf("operation %s is described and not registered by op", id)
		}
	}
}

// operations finds the ids in calls of op, foreign and sized.
func operations(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fun, ok := call.Fun.(*ast.Ident)
			at := map[string]int{"op": 3, "foreign": 3, "sized": 4}[nameOf(fun, ok)]
			if at == 0 || at >= len(call.Args) {
				return true
			}
			if lit, ok := call.Args[at].(*ast.BasicLit); ok {
				id, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out[id] = true
			}
			return true
		})
	}
	return out
}

func nameOf(i *ast.Ident, ok bool) string {
	if !ok {
		return ""
	}
	return i.Name
}

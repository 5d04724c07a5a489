package syntax_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/monitor/kql/syntax"
)

var update = flag.Bool("update", false, "write what the parser says into the fixtures")

// TestFixtures reads testdata/*.txt: a case is a text, a line of dashes, and the tree or
// the errors that it must have, then a line of equal signs.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for i, c := range strings.Split(strings.TrimSpace(string(data)), "\n====\n") {
			text, want, _ := strings.Cut(c, "\n----")
			got := describe(text)
			out = append(out, text+"\n----\n"+got)
			if !*update {
				if diff := cmp.Diff(strings.TrimSpace(want), got); diff != "" {
					t.Errorf("%s, case %d: %s\n%s", file, i+1, text, diff)
				}
			}
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.Join(out, "\n====\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func describe(text string) string {
	tree, errs := syntax.Parse(text)
	var b strings.Builder
	for _, e := range errs {
		fmt.Fprintln(&b, "error", e)
	}
	if len(errs) == 0 {
		for _, s := range tree.Statements {
			b.WriteString(print(reflect.ValueOf(s)) + "\n")
		}
	}
	return strings.TrimSpace(b.String())
}

// print writes a tree as (Type field…), without places and what is empty.
func print(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return "nil"
		}
		return print(v.Elem())
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, print(v.Index(i)))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case reflect.Struct:
		if id, ok := v.Interface().(syntax.Ident); ok {
			return id.Name
		}
		parts := []string{v.Type().Name()}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Name == "At" || f.Name == "OpSpan" || v.Field(i).IsZero() {
				continue
			}
			s := print(v.Field(i))
			if k := v.Field(i).Kind(); k == reflect.Bool || k == reflect.Slice {
				s = f.Name + "=" + s
			}
			parts = append(parts, s)
		}
		return "(" + strings.Join(parts, " ") + ")"
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}

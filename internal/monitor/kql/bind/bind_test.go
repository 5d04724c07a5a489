package bind_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

var update = flag.Bool("update", false, "write what the binder says into the fixtures")

// catalog has a column of every type, a second table, and views, one of which is broken and
// one of which holds itself.
func catalog() bind.Catalog {
	col := func(name string, k table.Kind) table.Column { return table.Column{Name: name, Kind: k} }
	return bind.NewCatalog([]*table.Table{
		{Name: "T", Columns: []table.Column{col("i", table.Int), col("l", table.Long), col("r", table.Real), col("c", table.Decimal), col("s", table.String),
			col("d", table.DateTime), col("t", table.TimeSpan), col("g", table.GUID), col("b", table.Bool), col("y", table.Dynamic)}},
		{Name: "U", Columns: []table.Column{col("i", table.Long), col("s", table.String), col("s1", table.String), col("z", table.Real)}},
	}, map[string]string{"V": "T | where b | project s, n=l", "Broken": "T | project nosuch", "Circle": "Circle | take 1"})
}

// TestFixtures reads testdata/*.txt: a text, dashes, then the tree or the errors.
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
	q, errs := bind.Bind(text, catalog())
	var b strings.Builder
	for _, e := range errs {
		fmt.Fprintln(&b, "error", e)
	}
	if q != nil {
		for _, c := range q.Rel.Columns() {
			fmt.Fprintf(&b, "%s:%s ", c.Name, c.Kind)
		}
		b.WriteString("\n" + print(reflect.ValueOf(q.Rel)))
		if q.Render != nil {
			fmt.Fprintf(&b, "\nrender %s %v", q.Render.Chart, q.Render.Properties)
		}
	}
	return strings.TrimSpace(b.String())
}

// print writes a tree as (Type field…), without places, schemas and what is empty.
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
	case reflect.Map:
		var parts []string
		for _, k := range v.MapKeys() {
			parts = append(parts, fmt.Sprint(k.Interface())+"="+print(v.MapIndex(k)))
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, " ") + "}"
	case reflect.Struct:
		switch x := v.Interface().(type) {
		case ir.Col:
			return fmt.Sprintf("%s#%d", x.Name, x.Index)
		case ir.Lit:
			return fmt.Sprintf("%v:%s", x.Value, x.K)
		case ir.Call:
			return fmt.Sprintf("%s:%s%s", x.Func, x.K, print(reflect.ValueOf(x.Args)))
		case ir.Named:
			return x.Name + "=" + print(reflect.ValueOf(x.Expr))
		}
		parts := []string{v.Type().Name()}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Name == "At" || f.Name == "Out" || v.Field(i).IsZero() {
				continue
			}
			parts = append(parts, print(v.Field(i)))
		}
		return "(" + strings.Join(parts, " ") + ")"
	}
	return fmt.Sprint(v.Interface())
}

// corpus is our own texts, one a line.
func corpus(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("../testdata/corpus/*.kql")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no corpus: %v", err)
	}
	var out []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, strings.Split(strings.TrimSpace(string(data)), "\n")...)
	}
	return out
}

// TestTreesAreWhole: what binds keeps the promises of package ir.
func TestTreesAreWhole(t *testing.T) {
	c := catalog()
	bound := 0
	for _, text := range corpus(t) {
		q, errs := bind.Bind(text, c)
		if len(errs) > 0 {
			continue
		}
		bound++
		if err := whole(q); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if bound < 500 {
		t.Errorf("only %d texts of the corpus bind", bound)
	}
}

// whole checks that no kind is unknown and that columns lie within the input.
func whole(q *ir.Query) error {
	for _, c := range q.Rel.Columns() {
		if c.Kind == table.Unknown || c.Name == "" {
			return fmt.Errorf("column %q of type %s", c.Name, c.Kind)
		}
	}
	return walk(reflect.ValueOf(q.Rel), 1<<30)
}

// width is the number of columns that the expressions of an operator see.
func width(v any) (int, bool) {
	switch r := v.(type) {
	case ir.Filter:
		return len(r.In.Columns()), true
	case ir.Project:
		if len(r.Exprs) != len(r.Cols) {
			return -1, true
		}
		return len(r.In.Columns()), true
	case ir.Summarize:
		return len(r.In.Columns()), true
	case ir.Sort:
		return len(r.In.Columns()), true
	case ir.Expand:
		return len(r.In.Columns()), true
	case ir.MakeSeries:
		return len(r.In.Columns()), true
	case ir.Rows, ir.Range:
		return 0, true
	}
	return 0, false
}

func walk(v reflect.Value, seen int) error {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return walk(v.Elem(), seen)
	case reflect.Slice:
		for i := range v.Len() {
			if err := walk(v.Index(i), seen); err != nil {
				return err
			}
		}
	case reflect.Struct:
		if c, ok := v.Interface().(ir.Col); ok && (c.Index < 0 || c.Index >= seen) {
			return fmt.Errorf("column %s at place %d of %d", c.Name, c.Index, seen)
		}
		if k, ok := v.Interface().(interface{ Kind() table.Kind }); ok && k.Kind() == table.Unknown {
			return fmt.Errorf("unknown kind: %s", print(v))
		}
		if r, ok := v.Interface().(interface{ Columns() []table.Column }); ok {
			names := map[string]bool{}
			for _, c := range r.Columns() {
				if names[c.Name] && !strings.HasPrefix(c.Name, "$") {
					return fmt.Errorf("two columns %q", c.Name)
				}
				names[c.Name] = true
			}
			seen = 1 << 30
		}
		if n, ok := width(v.Interface()); ok {
			if n < 0 {
				return fmt.Errorf("a projection whose schema has another width")
			}
			seen = n
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Name != "At" && f.Name != "Out" {
				if err := walk(v.Field(i), seen); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func FuzzBind(f *testing.F) {
	for i, s := range corpus(f) {
		if i%7 == 0 {
			f.Add(s)
		}
	}
	f.Add("let a=1;let b=a+a;let c=b+b;let d=c+c;let e=d+d;print e")
	f.Add("let f=(x:long){x+x};print f(f(f(f(f(f(f(f(1))))))))")
	c := catalog()
	f.Fuzz(func(t *testing.T, text string) {
		q, errs := bind.Bind(text, c)
		if (q == nil) != (len(errs) > 0) {
			t.Fatalf("query %v with errors %v", q != nil, errs)
		}
		for _, e := range errs {
			if e.Span.Start < 0 || e.Span.End < e.Span.Start || e.Span.End > len(text) || e.Message == "" {
				t.Fatalf("%+v in a text of %d bytes", e, len(text))
			}
		}
		if q != nil {
			if err := whole(q); err != nil {
				t.Fatal(err)
			}
		}
		for _, pos := range []int{0, len(text) / 2, len(text)} {
			bind.Complete(text, pos, c)
		}
	})
}

func TestATextCannotGrowWithoutEnd(t *testing.T) {
	bomb := "let f0=(x:long){x+x};"
	for i := 1; i < 40; i++ {
		bomb += fmt.Sprintf("let f%d=(x:long){f%d(x)+f%d(x)};", i, i-1, i-1)
	}
	lets := "let a0=rand();"
	for i := 1; i < 60; i++ {
		lets += fmt.Sprintf("let a%d=a%d+a%d;", i, i-1, i-1)
	}
	for _, text := range []string{bomb + "print f39(1)", lets + "print a59", "print " + strings.Repeat("(", 10_000), "print " + strings.Repeat("-", 10_000) + "1",
		"print " + strings.Repeat("1+", 50_000) + "1", strings.Repeat("x", syntax.MaxText+1)} {
		if _, errs := bind.Bind(text, catalog()); len(errs) == 0 {
			t.Errorf("a text of %d bytes is taken: %.60s…", len(text), text)
		}
	}
}

func TestViewsOfTheProductBind(t *testing.T) {
	c := bind.Standard()
	for name := range bind.Views() {
		q, errs := bind.Bind(name, c)
		if len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
			continue
		}
		if err := whole(q); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFunctionsAreSortedAndDescribed(t *testing.T) {
	last := map[string]string{}
	for _, f := range bind.Functions() {
		if f.Name <= last[f.Class] {
			t.Errorf("%s %s stands after %s: a look-up would miss it", f.Class, f.Name, last[f.Class])
		}
		last[f.Class] = f.Name
		if f.Doc == "" || f.Result == "" {
			t.Errorf("%s has no result or no description", f.Name)
		}
	}
}

func TestComplete(t *testing.T) {
	c := bind.Standard()
	for text, want := range map[string]string{
		"":                           "AppAvailabilityResults",
		"Cont":                       "ContainerLog",
		"ContainerLogV2 | ":          "where",
		"ContainerLogV2 | summ":      "summarize",
		"ContainerLogV2 | project-":  "away",
		"ContainerLogV2 | where Pod": "PodName",
		"AppRequests | summarize n=count() by Name | where ": "Name",
		"AppRequests | summarize perc":                       "percentile",
		"AppRequests | where Name == tolow":                  "tolower",
		"let q = 5; AppRequests | where q":                   "q",
		"AppRequests | join kind=inner (AppDep":              "AppDependencies",
		"AppRequests | join (AppDependencies | where Dep":    "DependencyType",
		"AppRequests | render ti":                            "timechart",
		"union App":                                          "AppAvailabilityResults",
		"requests | where cloud":                             "cloud_RoleName",
	} {
		items := bind.Complete(text, len(text), c)
		if len(items) == 0 || items[0].Label != want {
			t.Errorf("%q: want %q first, got %.200v", text, want, items)
		}
	}
	for _, text := range []string{"AppRequests | where Name == \"x", "AppRequests // a com"} {
		if items := bind.Complete(text, len(text), c); len(items) > 0 {
			t.Errorf("%q: %v", text, items[0])
		}
	}
}

func BenchmarkBind(b *testing.B) {
	c := bind.Standard()
	for name, text := range map[string]string{
		"short": `ContainerLogV2 | where PodNamespace == "shop" | summarize count() by bin(TimeGenerated, 1m), LogLevel`,
		"long": `let start = ago(1d); let slow = (ms:real) { ms > 500 };
requests | where timestamp > start and success == false | extend path = tostring(parse_url(url).Path)
| summarize n=sum(itemCount), p95=percentile(duration, 95), users=dcount(user_Id) by path, bin(timestamp, 5m)
| join kind=leftouter (dependencies | where timestamp > start | summarize calls=count(), arg_max(duration, *) by path=tostring(split(data, "?")[0])) on path
| where slow(p95) | project path, timestamp, n, p95, users, calls | top 20 by n desc | render timechart with (title="slow")`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, errs := bind.Bind(text, c); len(errs) > 0 {
					b.Fatal(errs)
				}
			}
		})
	}
}

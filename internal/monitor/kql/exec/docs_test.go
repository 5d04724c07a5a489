package exec_test

import (
	"bufio"
	"fmt"
	"html"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/oracle"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// TestDocumentation runs the examples of the Kusto documentation that print a result. An
// example that gives another result fails unless testdata/docs-exceptions.txt names it with
// the reason. The corpus is that of package oracle; without it there is nothing to compare.
func TestDocumentation(t *testing.T) {
	texts, err := oracle.Load(oracle.Docs)
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) == 0 {
		t.Log("NOT RUN over the examples of the documentation: they have not been extracted (see package oracle)")
		return
	}
	known := exceptions(t)
	tally := map[string]int{}
	pages := map[string]map[string]int{}
	for _, x := range texts {
		if x.Output == "" {
			continue
		}
		reason, excepted := known[x.Name]
		verdict, detail := "differs", ""
		if reason != "random" { // which could only be equal by chance
			verdict, detail = judge(t, x)
		}
		switch {
		case verdict == "differs" && !excepted:
			t.Errorf("%s: %s\n%s\nwant\n%s", x.Name, detail, x.Query, x.Output)
		case verdict == "equal" && excepted:
			t.Errorf("%s gives the documented result now; testdata/docs-exceptions.txt has: %s", x.Name, reason)
		case verdict == "differs":
			verdict = "excepted"
		}
		tally[verdict]++
		page, _, _ := strings.Cut(x.Name, ".md#")
		if pages[page] == nil {
			pages[page] = map[string]int{}
		}
		pages[page][verdict]++
		if verdict == "refused" {
			t.Logf("refused %s: %s", x.Name, detail)
		}
	}
	t.Logf("examples with a result: %v", tally)
	if *update {
		publish(t, tally, pages)
	}
}

// publish writes the counts by page.
func publish(t *testing.T, tally map[string]int, pages map[string]map[string]int) {
	var b strings.Builder
	fmt.Fprintf(&b, "Examples of the Kusto documentation that print a result: %d equal, %d refused by name, %d need its sample tables, %d excepted.\n\n",
		tally["equal"], tally["refused"], tally["needs a table"], tally["excepted"])
	names := make([]string, 0, len(pages))
	for p := range pages {
		names = append(names, p)
	}
	slices.Sort(names)
	for _, p := range names {
		c := pages[p]
		fmt.Fprintf(&b, "%-50s equal %d, refused %d, needs a table %d, excepted %d\n", p, c["equal"], c["refused"], c["needs a table"], c["excepted"])
	}
	if err := os.WriteFile("testdata/docs-counts.txt", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func exceptions(t *testing.T) map[string]string {
	f, err := os.Open("testdata/docs-exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]string{}
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if name, reason, ok := strings.Cut(sc.Text(), "\t"); ok {
			out[name] = reason
		}
	}
	return out
}

// judge says how an example's result compares with what is printed.
func judge(t *testing.T, x oracle.Text) (verdict, detail string) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s: %v", x.Name, p)
		}
	}()
	b, told, err := answer(t, x.Query)
	switch {
	case strings.Contains(told, "table") && (strings.Contains(told, "no table") || strings.Contains(told, "not known") && !strings.Contains(told, "function")):
		return "needs a table", told
	case told != "":
		return "refused", told
	case err != nil:
		return "differs", "error: " + err.Error()
	}
	want, more := printed(x.Output)
	if len(want) == 0 {
		return "equal", ""
	}
	if len(want[0]) != len(b.Columns) {
		return "differs", fmt.Sprintf("%d columns, the page has %d:\n%s", len(b.Columns), len(want[0]), render(b))
	}
	if d := len(want) - 1 - b.Rows(); d > 0 || d < 0 && !more {
		return "differs", fmt.Sprintf("%d rows, the page has %d:\n%s", b.Rows(), len(want)-1, render(b))
	}
	free := make([]bool, b.Rows())
	for _, row := range want[1:] {
		found := false
		for i := range free {
			if !free[i] && sameRow(b, i, row) {
				free[i], found = true, true
				break
			}
		}
		if !found {
			return "differs", fmt.Sprintf("no row %q:\n%s", row, render(b))
		}
	}
	return "equal", ""
}

// printed reads a table of a page: the first row is its head. more is true when it says
// that there is more.
func printed(output string) (rows [][]string, more bool) {
	for i, line := range strings.Split(strings.TrimSpace(output), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || i == 1 {
			continue
		}
		line = strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|")
		var row []string
		for _, c := range strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|") {
			row = append(row, clean(strings.ReplaceAll(c, "\x00", "|")))
		}
		if i > 0 && slices.ContainsFunc(row, func(c string) bool { return c == "..." || c == "…" || c == ". . ." }) {
			more = true
			continue
		}
		if i > 0 && len(row) < len(rows[0]) && strings.Join(row, "") == "" { // an empty result
			continue
		}
		rows = append(rows, row)
	}
	return rows, more
}

func clean(s string) string {
	s = strings.NewReplacer("<br>", " ", "<br/>", " ", "<br />", " ", "&nbsp;", " ", "\u00a0", " ", `\_`, "_", `\*`, "*", "∞", "Infinity").Replace(s)
	s = strings.TrimSpace(html.UnescapeString(s))
	if inner, ok := strings.CutPrefix(s, "`"); ok && strings.HasSuffix(inner, "`") {
		s = strings.TrimSpace(strings.TrimSuffix(inner, "`"))
	}
	return s
}

func sameRow(b *table.Batch, i int, want []string) bool {
	for k := range b.Columns {
		w := ""
		if k < len(want) {
			w = want[k]
		}
		if !sameCell(vec.Of(b.Vectors[k]).At(i), b.Columns[k].Kind, w) {
			return false
		}
	}
	return true
}

func sameCell(got any, kind table.Kind, want string) bool {
	if got == nil || got == "" {
		return want == "" || strings.EqualFold(want, "null") || want == `""` || want == "(null)"
	}
	if sameText(value.String(got), want) {
		return true
	}
	switch kind {
	case table.Dynamic:
		w, ok := value.ParseJSON(want)
		return ok && sameValue(got, w)
	case table.Bool:
		return strings.EqualFold(value.String(got), want) || want == "1" && got == true || want == "0" && got == false
	case table.DateTime:
		w, ok := value.ParseDateTime(want)
		d := int64(got.(value.DateTime)) - int64(w)
		return ok && max(d, -d) < value.Second && (d == 0 || !strings.Contains(want, "."))
	case table.TimeSpan:
		w, ok := value.ParseTimeSpan(want)
		return ok && got == w
	}
	return sameValue(got, want)
}

func sameText(got, want string) bool {
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	got, want = squeeze(got), squeeze(want)
	return got == want || `"`+got+`"` == want
}

func sameValue(got, want any) bool {
	if w, ok := want.(string); ok {
		if _, text := got.(string); !text {
			if g, isTime := got.(value.DateTime); isTime {
				t, ok := value.ParseDateTime(w)
				return ok && t == g
			}
			f, err := strconv.ParseFloat(strings.ReplaceAll(w, ",", ""), 64)
			if err != nil {
				return value.String(got) == w
			}
			return near(got, f, w)
		}
	}
	switch g := got.(type) {
	case []any:
		w, ok := want.([]any)
		if !ok || len(w) != len(g) {
			return false
		}
		for i := range g {
			if !sameValue(g[i], w[i]) {
				return false
			}
		}
		return true
	case *value.Bag:
		w, ok := want.(*value.Bag)
		if !ok || w.Len() != g.Len() {
			return false
		}
		for i := range g.Len() {
			k, v := g.At(i)
			o, ok := w.Get(k)
			if !ok || !sameValue(v, o) {
				return false
			}
		}
		return true
	}
	switch w := want.(type) {
	case int64:
		return near(got, float64(w), value.String(w))
	case float64:
		return near(got, w, strconv.FormatFloat(w, 'f', -1, 64))
	}
	return value.Equal(got, want) || value.String(got) == value.String(want)
}

// near compares numbers to as many digits as the page prints.
func near(got any, want float64, printed string) bool {
	g, ok := value.To(got, table.Real).(float64)
	if _, text := got.(string); text || !ok {
		return false
	}
	if math.IsNaN(g) || math.IsNaN(want) {
		return math.IsNaN(g) && math.IsNaN(want)
	}
	digits := 0
	if _, after, ok := strings.Cut(printed, "."); ok && !strings.ContainsAny(printed, "eE") {
		digits = len(after)
		return math.Abs(g-want) <= 1.01*math.Pow(10, -float64(digits)) || math.Abs(g-want) <= 1e-9*math.Abs(want)
	}
	return g == want || math.Abs(g-want) <= 1e-9*math.Abs(want)
}

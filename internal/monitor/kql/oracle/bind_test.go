package oracle_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/oracle"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// probe are the tables of our own texts: a column of every type.
func probe() []*table.Table {
	col := func(name string, k table.Kind) table.Column { return table.Column{Name: name, Kind: k} }
	return []*table.Table{
		{Name: "T", Columns: []table.Column{col("i", table.Int), col("l", table.Long), col("r", table.Real), col("c", table.Decimal), col("s", table.String),
			col("d", table.DateTime), col("t", table.TimeSpan), col("g", table.GUID), col("b", table.Bool), col("y", table.Dynamic)}},
		{Name: "U", Columns: []table.Column{col("i", table.Long), col("s", table.String), col("s1", table.String), col("z", table.Real)}},
	}
}

// ours reads our own texts: one a line.
func ours(t *testing.T) []oracle.Text {
	t.Helper()
	files, err := filepath.Glob("../testdata/corpus/*.kql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus of our own: %v", err)
	}
	var out []oracle.Text
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(data), "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				out = append(out, oracle.Text{Name: fmt.Sprintf("%s:%d", filepath.Base(f), i+1), Query: line})
			}
		}
	}
	return out
}

func TestBinderAgreesOnOurs(t *testing.T) {
	texts := ours(t)
	tally := compare(t, texts, probe())
	t.Log(tally)
}

// verdicts of one text.
type tally struct {
	texts, accepted, refused, schema, stricter, looser, differ int
}

func (c tally) String() string {
	return fmt.Sprintf("%d texts: %d accepted and %d refused by both; of the accepted %d have the same schema; refused by us alone %d, by the service alone %d, other schema %d",
		c.texts, c.accepted, c.refused, c.schema, c.stricter, c.looser, c.differ)
}

// compare puts texts to both and logs where they differ.
func compare(t *testing.T, texts []oracle.Text, tables []*table.Table) tally {
	t.Helper()
	questions := make([]oracle.Question, len(texts))
	for i, x := range texts {
		questions[i] = oracle.Question{Name: x.Name, Query: x.Query}
	}
	questions[0].Tables = oracle.Schemas(tables)
	answers, err := oracle.Consult(questions)
	if err != nil {
		t.Fatal(err)
	}
	cat := bind.NewCatalog(tables, nil)
	var c tally
	for i, x := range texts {
		a := answers[i]
		c.texts++
		q, errs := bind.Bind(x.Query, cat)
		mine, theirs := len(errs) == 0, len(a.Errors) == 0
		switch {
		case !mine && !theirs:
			c.refused++
		case !mine:
			c.stricter++
			t.Logf("%s: we refuse: %v\n      %s", x.Name, errs[0], short(x.Query, errs[0]))
		case !theirs:
			c.looser++
			t.Logf("%s: the service refuses: %v\n      %s", x.Name, a.Errors[0], short(x.Query, syntax.Error{}))
		default:
			c.accepted++
			got := show(q.Rel.Columns())
			want := want(a)
			if got == want {
				c.schema++
			} else {
				c.differ++
				t.Logf("%s: other schema: %s\n   ours   %s\n   theirs %s", x.Name, short(x.Query, syntax.Error{}), got, want)
			}
		}
	}
	return c
}

func short(q string, e syntax.Error) string {
	q = strings.ReplaceAll(q[:min(len(q), 4000)], "\n", " ")
	return q[:min(len(q), 160)]
}

func show(cols []table.Column) string {
	var b strings.Builder
	for _, c := range cols {
		fmt.Fprintf(&b, "%s:%s ", c.Name, c.Kind)
	}
	return b.String()
}

func want(a oracle.Answer) string {
	var b strings.Builder
	for _, c := range a.Schema {
		if c[0] == "" {
			c[0] = "print_0"
		}
		fmt.Fprintf(&b, "%s:%s ", c[0], c[1])
	}
	return b.String()
}

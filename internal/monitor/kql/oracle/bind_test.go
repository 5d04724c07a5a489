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
	t.Log(compare(t, ours(t), probe(), false))
}

// samples are the tables that the documentation's examples share, after its page "Samples gallery".
func samples() []*table.Table {
	var storm []table.Column
	for _, f := range strings.Fields("StartTime:datetime EndTime:datetime EpisodeId:int EventId:int State:string EventType:string InjuriesDirect:int " +
		"InjuriesIndirect:int DeathsDirect:int DeathsIndirect:int DamageProperty:int DamageCrops:int Source:string BeginLocation:string EndLocation:string " +
		"BeginLat:real BeginLon:real EndLat:real EndLon:real EpisodeNarrative:string EventNarrative:string StormSummary:dynamic") {
		n, k, _ := strings.Cut(f, ":")
		storm = append(storm, table.Column{Name: n, Kind: table.KindOf(k)})
	}
	return []*table.Table{
		{Name: "PopulationData", Columns: []table.Column{{Name: "State", Kind: table.String}, {Name: "Population", Kind: table.Long}}},
		{Name: "StormEvents", Columns: storm},
	}
}

func TestBinderAgreesOnTheDocumentation(t *testing.T) {
	t.Log(compare(t, published(t, oracle.Docs), samples(), true))
}

func TestBinderAgreesOnTheCommunity(t *testing.T) {
	t.Log(compare(t, published(t, oracle.Community), nil, true))
}

// published loads a corpus of others; without it the test says that it did not run over it.
func published(t *testing.T, corpus string) []oracle.Text {
	t.Helper()
	texts, err := oracle.Load(corpus)
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) == 0 {
		t.Logf("NOT RUN over %s: it has not been extracted (see the package's documentation)", corpus)
	}
	return texts
}

// verdicts of one text.
type tally struct {
	texts, parsed, accepted, refused, schema, stricter, looser, differ, excepted int
}

func (c tally) String() string {
	return fmt.Sprintf("%d texts: parsers agree on %d; binders: %d accepted and %d refused by both; of the accepted %d have the same schema; refused by us alone %d, by the service alone %d, other schema %d; with a listed reason %d",
		c.texts, c.parsed, c.accepted, c.refused, c.schema, c.stricter, c.looser, c.differ, c.excepted)
}

// compare puts texts to both and complains where they differ without a reason that is
// listed. With infer, tables that are not among those given are made up from their use.
func compare(t *testing.T, texts []oracle.Text, tables []*table.Table, infer bool) tally {
	t.Helper()
	c := &comparison{T: t, known: exceptions(t)}
	if len(texts) == 0 {
		return c.tally
	}
	if missing := oracle.Available(); missing != "" {
		t.Logf("NOT RUN: %s is not here, so the service's own binder cannot be asked", missing)
		return c.tally
	}
	questions := make([]oracle.Question, len(texts))
	catalogs := make([]bind.Catalog, len(texts))
	for i, x := range texts {
		own := tables
		if infer {
			cat := bind.NewCatalog(tables, nil)
			own = append(append([]*table.Table(nil), tables...), oracle.Infer(x.Query, func(n string) bool { return cat.Table(n) != nil })...)
		}
		questions[i] = oracle.Question{Name: x.Name, Query: x.Query}
		if infer || i == 0 {
			questions[i].Tables = oracle.Schemas(own)
		}
		catalogs[i] = bind.NewCatalog(own, nil)
	}
	answers, err := oracle.Consult(questions)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range texts {
		c.texts++
		c.parser(x, answers[i])
		c.binder(x, answers[i], catalogs[i])
	}
	return c.tally
}

// comparison counts, and complains.
type comparison struct {
	*testing.T
	tally
	known exceptionList
}

func (c *comparison) parser(x oracle.Text, a oracle.Answer) {
	_, mistakes := syntax.Parse(x.Query)
	mine, theirs := len(mistakes) == 0, len(a.Syntax) == 0
	switch {
	case mine == theirs:
		c.parsed++
	case !mine && c.known.has("ours", x.Name, mistakes[0].Message), mine && c.known.has("theirs", x.Name, a.Syntax[0]):
	default:
		c.Errorf("%s: the parsers differ: ours %v, theirs %v\n      %s", x.Name, mistakes, a.Syntax, short(x.Query))
	}
}

func (c *comparison) binder(x oracle.Text, a oracle.Answer, cat bind.Catalog) {
	q, errs := bind.Bind(x.Query, cat)
	mine, theirs := len(errs) == 0, len(a.Errors) == 0
	switch {
	case !mine && !theirs:
		c.refused++
	case !mine:
		c.stricter++
		c.excuse("ours", x, errs[0].Message, "we refuse: "+errs[0].Error())
	case !theirs:
		c.looser++
		c.excuse("theirs", x, a.Errors[0], "the service refuses: "+a.Errors[0])
	default:
		c.accepted++
		got, want := show(q.Rel.Columns()), want(a)
		if got == want {
			c.schema++
			return
		}
		c.differ++
		c.excuse("schema", x, "", "other schema:\n   ours   "+got+"\n   theirs "+want)
	}
}

// excuse counts a difference whose reason is listed, and complains about any other.
func (c *comparison) excuse(where string, x oracle.Text, message, complaint string) {
	if c.known.has(where, x.Name, message) {
		c.excepted++
		return
	}
	c.Errorf("%s: %s\n      %s", x.Name, complaint, short(x.Query))
}

// exception says why our answer differs from the service's: where is ours, theirs or
// schema, key a part of the message or the beginning of the text's name.
type exception struct{ where, key, reason string }

type exceptionList []exception

func (l exceptionList) has(where, name, message string) bool {
	for _, e := range l {
		if e.where == where && (strings.HasPrefix(name, e.key) || message != "" && strings.Contains(message, e.key)) {
			return true
		}
	}
	return false
}

// exceptions reads testdata/exceptions.txt: "where | key | reason" a line.
func exceptions(t *testing.T) exceptionList {
	t.Helper()
	data, err := os.ReadFile("testdata/exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out exceptionList
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.SplitN(line, "|", 3)
		if len(f) != 3 || strings.TrimSpace(f[2]) == "" {
			t.Fatalf("testdata/exceptions.txt:%d: an exception has a reason: %q", i+1, line)
		}
		out = append(out, exception{strings.TrimSpace(f[0]), strings.TrimSpace(f[1]), strings.TrimSpace(f[2])})
	}
	return out
}

func short(q string) string {
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

package oracle_test

import (
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/oracle"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

func TestParserAgrees(t *testing.T) {
	var texts []oracle.Text
	for _, c := range []string{oracle.Community, oracle.Docs} {
		x, err := oracle.Load(c)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, x...)
	}
	questions := make([]oracle.Question, len(texts))
	for i, x := range texts {
		questions[i] = oracle.Question{Name: x.Name, Query: x.Query}
	}
	if len(questions) > 0 {
		questions[0].Tables = oracle.Schemas(table.Catalog())
	}
	answers, err := oracle.Consult(questions)
	if err != nil {
		t.Fatal(err)
	}
	agree := 0
	for i, x := range texts {
		_, errs := syntax.Parse(x.Query)
		theirs := len(answers[i].Syntax) == 0
		if (len(errs) == 0) == theirs {
			agree++
			continue
		}
		if theirs {
			t.Logf("%s: accepted by the service: %v", x.Name, errs[0])
		} else {
			t.Logf("%s: refused by the service: %v", x.Name, answers[i].Syntax[0])
		}
	}
	t.Logf("%d of %d agree", agree, len(texts))
}

package coverage_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/coverage"
)

func TestParseK031(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       coverage.Total
	}{
		{"K031 Cobertura counts the lines, not its summary", `<?xml version="1.0"?><!DOCTYPE coverage SYSTEM "http://example.com/c.dtd"><coverage lines-valid="99" lines-covered="99"><packages><package><classes>
<class name="A"><methods><method><lines><line number="1" hits="1"/></lines></method></methods><lines><line number="1" hits="1"/><line number="2" hits="0"/><line number="3" hits="2" branch="true" condition-coverage="50% (1/2)"/></lines></class></classes></package></packages></coverage>`,
			coverage.Total{Format: coverage.Cobertura, Lines: 3, LinesCovered: 2, Branches: 2, BranchesCovered: 1}},
		{"K031 Cobertura without lines has its summary", `<coverage line-rate="0.5" lines-valid="10" lines-covered="5" branches-valid="4" branches-covered="9"/>`,
			coverage.Total{Format: coverage.Cobertura, Lines: 10, LinesCovered: 5, Branches: 4, BranchesCovered: 4}},
		{"K031 JaCoCo", `<report name="r"><package name="p"><counter type="LINE" missed="100" covered="100"/></package><counter type="INSTRUCTION" missed="1" covered="1"/><counter type="BRANCH" missed="1" covered="3"/><counter type="LINE" missed="2" covered="8"/></report>`,
			coverage.Total{Format: coverage.JaCoCo, Lines: 10, LinesCovered: 8, Branches: 4, BranchesCovered: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := coverage.Parse(strings.NewReader(c.text))
			if err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	for name, text := range map[string]string{
		"empty": "", "text": "mode: set", "other": "<html/>", "cut off": "<coverage><packages>", "clover": `<coverage generated="1"><project/></coverage>`, "deep": strings.Repeat("<coverage>", 100),
	} {
		if got, err := coverage.Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%s was read: %+v", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`<coverage><class><lines><line hits="1" condition-coverage="1% (1/2)"/></lines></class></coverage>`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := coverage.Parse(strings.NewReader(text))
		if err == nil && (got.LinesCovered > got.Lines || got.BranchesCovered > got.Branches || got.Lines < 0) {
			t.Errorf("%+v", got)
		}
	})
}

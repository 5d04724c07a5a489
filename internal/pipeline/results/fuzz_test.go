package results_test

import (
	"bytes"
	"testing"

	"towpath.dev/towpath/internal/pipeline/results"
)

// FuzzCounts gives foreign files to every reader: none may panic, and what one yields must add
// up and stay within the limits.
func FuzzCounts(f *testing.F) {
	for _, text := range []string{
		nested, `<test-run><test-suite name="a"><test-case name="b" result="Failed"><failure><message>m</message></failure></test-case></test-suite></test-run>`,
		`<assemblies><assembly name="a"><collection name="c"><test name="t" result="Fail" time="1"><failure><message>m</message></failure></test></collection></assembly></assemblies>`,
		`<TestRun><Results><UnitTestResult testId="1" testName="t" outcome="Failed" duration="00:00:01.5"/></Results><TestDefinitions><UnitTest id="1"><TestMethod className="c" name="t"/></UnitTest></TestDefinitions></TestRun>`,
		`<Site><Testing><Test Status="failed"><Name>t</Name><Results><Measurement><Value>x</Value></Measurement></Results></Test></Testing></Site>`,
	} {
		for i := range results.Formats() {
			f.Add(uint8(i), []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, format uint8, raw []byte) {
		formats := results.Formats()
		got, err := results.Parse(formats[int(format)%len(formats)], bytes.NewReader(raw))
		if err != nil {
			return
		}
		if got.Total != got.Passed+got.Failed+got.Skipped || got.Total < 0 {
			t.Errorf("the counts do not add up: %+v", got)
		}
		if len(got.Failures) > results.MaxFailures || len(got.Cases) > results.MaxKept || len(got.Cases) > got.Total || len(got.Failures) > got.Failed {
			t.Errorf("%d failures and %d cases of %d", len(got.Failures), len(got.Cases), got.Total)
		}
		for _, x := range got.Failures {
			if len(x.Message) > results.MaxMessage+3 || len(x.Details) > results.MaxDetails+64 {
				t.Errorf("a failure of %d and %d bytes", len(x.Message), len(x.Details))
			}
		}
	})
}

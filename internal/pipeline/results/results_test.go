package results_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/results"
)

const nested = `<?xml version="1.0" encoding="ISO-8859-1"?>
<testsuites name="all" tests="99"><testsuite name="outer"><properties><property name="failure" value="x"/></properties>
<testsuite name="inner"><testcase name="a" time="1,000.5"/><testcase name="b" classname="C" time="0.5"><failure message="want 1&#10;got 2" type="T">at b.go:7
 more</failure><failure message="second"/></testcase></testsuite>
<testcase name="c"><skipped/></testcase><testcase name="d"><error>boom
x</error><system-out>&lt;failure&gt;</system-out></testcase></testsuite></testsuites>`

func TestParse(t *testing.T) {
	got, err := results.Parse(results.JUnit, strings.NewReader(nested))
	if err != nil {
		t.Fatal(err)
	}
	want := &results.Result{Name: "all", Total: 4, Passed: 1, Failed: 2, Skipped: 1, Seconds: 1001, Failures: []results.Failure{
		{Suite: "C", Name: "b", Message: "want 1", Details: "at b.go:7\n more", Seconds: 0.5},
		{Suite: "outer", Name: "d", Message: "boom", Details: "boom\nx"},
	}, Cases: []results.Case{
		{Suite: "inner", Name: "a", Outcome: results.Passed, Seconds: 1000.5}, {Suite: "C", Name: "b", Outcome: results.Failed, Seconds: 0.5},
		{Suite: "outer", Name: "c", Outcome: results.Skipped}, {Suite: "outer", Name: "d", Outcome: results.Failed},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "text": "hello", "other": "<html/>", "cut off": nested[:200], "entity": `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite name="&x;"/>`,
		"deep": strings.Repeat("<testsuite>", 100),
	} {
		if r, err := results.Parse(results.JUnit, strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(nested)
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range results.Formats() {
			r, err := results.Parse(format, strings.NewReader(text))
			if err == nil && (r.Total != r.Passed+r.Failed+r.Skipped || len(r.Cases) != min(r.Total, results.MaxKept)) {
				t.Errorf("counts do not add up: %+v", r)
			}
		}
	})
}

// Each format is read as the tools that write it mean it.
func TestFormatsK025(t *testing.T) {
	for _, c := range []struct {
		name, format, text string
		want               results.Result
	}{
		{"K025 NUnit 3", results.NUnit, `<test-run id="2" name="shop.dll" testcasecount="3"><test-suite type="Assembly" name="shop"><test-suite type="TestFixture" name="Cart">
<test-case name="Adds" classname="Shop.Cart" result="Passed" duration="0.25"/>
<test-case name="Pays" classname="Shop.Cart" result="Failed" duration="0.5"><failure><message><![CDATA[ expected 1 ]]></message><stack-trace>at Cart.cs:7</stack-trace></failure></test-case>
<test-case name="Later" result="Skipped"><reason><message>not yet</message></reason></test-case></test-suite></test-suite></test-run>`,
			results.Result{Name: "shop.dll", Total: 3, Passed: 1, Failed: 1, Skipped: 1, Seconds: 0.75, Failures: []results.Failure{
				{Suite: "Shop.Cart", Name: "Pays", Message: "expected 1", Details: "expected 1\nat Cart.cs:7", Seconds: 0.5}},
				Cases: []results.Case{{"Shop.Cart", "Adds", results.Passed, 0.25}, {"Shop.Cart", "Pays", results.Failed, 0.5}, {"Cart", "Later", results.Skipped, 0}}}},
		{"K025 NUnit 2", results.NUnit, `<test-results name="old.dll"><test-suite name="S"><results>
<test-case name="S.A" executed="True" success="True" time="1.5"/><test-case name="S.B" executed="True" success="False" time="0.5"><failure><message>no</message></failure></test-case>
<test-case name="S.C" executed="False"/></results></test-suite></test-results>`,
			results.Result{Name: "old.dll", Total: 3, Passed: 1, Failed: 1, Skipped: 1, Seconds: 2, Failures: []results.Failure{{Suite: "S", Name: "S.B", Message: "no", Details: "no", Seconds: 0.5}},
				Cases: []results.Case{{"S", "S.A", results.Passed, 1.5}, {"S", "S.B", results.Failed, 0.5}, {"S", "S.C", results.Skipped, 0}}}},
		{"K025 xUnit 2", results.XUnit, `<assemblies><assembly name="shop.dll"><collection name="c"><test name="Shop.Cart.Adds" type="Shop.Cart" method="Adds" time="0.5" result="Pass"/>
<test name="Shop.Cart.Pays" type="Shop.Cart" method="Pays" time="0.25" result="Fail"><failure exception-type="X"><message>no money</message><stack-trace>at 7</stack-trace></failure></test>
<test name="n" result="Skip"><reason>later</reason></test></collection></assembly></assemblies>`,
			results.Result{Name: "shop.dll", Total: 3, Passed: 1, Failed: 1, Skipped: 1, Seconds: 0.75, Failures: []results.Failure{{Suite: "Shop.Cart", Name: "Pays", Message: "no money", Details: "no money\nat 7", Seconds: 0.25}},
				Cases: []results.Case{{"Shop.Cart", "Adds", results.Passed, 0.5}, {"Shop.Cart", "Pays", results.Failed, 0.25}, {"c", "n", results.Skipped, 0}}}},
		{"K025 TRX", results.VSTest, `<TestRun name="night" xmlns="http://microsoft.com/schemas/VisualStudio/TeamTest/2010"><Results>
<UnitTestResult testId="1" testName="Adds" outcome="Passed" duration="00:01:00.5000000"/>
<UnitTestResult testId="2" testName="Rows" outcome="Failed" resultType="DataDrivenTest"><InnerResults>
<UnitTestResult testId="2" testName="Rows (1)" outcome="Passed"/><UnitTestResult testId="2" testName="Rows (2)" outcome="Failed"><Output><ErrorInfo><Message>row 2</Message><StackTrace>at 9</StackTrace></ErrorInfo></Output></UnitTestResult></InnerResults></UnitTestResult>
<UnitTestResult testId="3" testName="Later" outcome="NotExecuted"/></Results>
<TestDefinitions><UnitTest id="1" name="Adds"><TestMethod className="Shop.Cart, shop, Version=1" name="Adds"/></UnitTest><UnitTest id="2"><TestMethod className="Shop.Rows"/></UnitTest></TestDefinitions></TestRun>`,
			results.Result{Name: "night", Total: 4, Passed: 2, Failed: 1, Skipped: 1, Seconds: 60.5, Failures: []results.Failure{{Suite: "Shop.Rows", Name: "Rows (2)", Message: "row 2", Details: "row 2\nat 9"}},
				Cases: []results.Case{{"Shop.Cart", "Adds", results.Passed, 60.5}, {"Shop.Rows", "Rows (1)", results.Passed, 0}, {"Shop.Rows", "Rows (2)", results.Failed, 0}, {"night", "Later", results.Skipped, 0}}}},
		{"K025 CTest", results.CTest, `<Site Name="here"><Testing><TestList><Test>./a/one</Test></TestList>
<Test Status="passed"><Name>one</Name><Path>./a</Path><Results><NamedMeasurement type="numeric/double" name="Execution Time"><Value>0.5</Value></NamedMeasurement></Results></Test>
<Test Status="failed"><Name>two</Name><Path>.</Path><Results><NamedMeasurement name="Exit Code"><Value>Failed</Value></NamedMeasurement><NamedMeasurement name="Exit Value"><Value>3</Value></NamedMeasurement><Measurement><Value>boom</Value></Measurement></Results></Test>
<Test Status="notrun"><Name>three</Name></Test></Testing></Site>`,
			results.Result{Total: 3, Passed: 1, Failed: 1, Skipped: 1, Seconds: 0.5, Failures: []results.Failure{{Name: "two", Message: "Failed (exit value 3)", Details: "boom"}},
				Cases: []results.Case{{"a", "one", results.Passed, 0.5}, {"", "two", results.Failed, 0}, {"", "three", results.Skipped, 0}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := results.Parse(strings.ToLower(c.format), strings.NewReader(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Error(d)
			}
			for _, other := range results.Formats() {
				if r, err := results.Parse(other, strings.NewReader(c.text)); other != c.format && err == nil {
					t.Errorf("it was read as %s: %+v", other, r)
				}
			}
		})
	}
	if _, err := results.Parse("Excel", strings.NewReader(nested)); err == nil || !strings.Contains(err.Error(), "use one of JUnit, NUnit") {
		t.Errorf("an unknown format: %v", err)
	}
}

package junit_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/junit"
)

const nested = `<?xml version="1.0" encoding="ISO-8859-1"?>
<testsuites name="all" tests="99"><testsuite name="outer"><properties><property name="failure" value="x"/></properties>
<testsuite name="inner"><testcase name="a" time="1,000.5"/><testcase name="b" classname="C" time="0.5"><failure message="want 1&#10;got 2" type="T">at b.go:7
 more</failure><failure message="second"/></testcase></testsuite>
<testcase name="c"><skipped/></testcase><testcase name="d"><error>boom
x</error><system-out>&lt;failure&gt;</system-out></testcase></testsuite></testsuites>`

func TestParse(t *testing.T) {
	got, err := junit.Parse(strings.NewReader(nested))
	if err != nil {
		t.Fatal(err)
	}
	want := &junit.Result{Name: "all", Total: 4, Passed: 1, Failed: 2, Skipped: 1, Seconds: 1001, Failures: []junit.Failure{
		{Suite: "C", Name: "b", Message: "want 1", Details: "at b.go:7\n more", Seconds: 0.5},
		{Suite: "outer", Name: "d", Message: "boom", Details: "boom\nx"},
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
		if r, err := junit.Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(nested)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := junit.Parse(strings.NewReader(text))
		if err == nil && r.Total != r.Passed+r.Failed+r.Skipped {
			t.Errorf("counts do not add up: %+v", r)
		}
	})
}

package try_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/policy/try"
)

func at(year int) func() time.Time {
	return func() time.Time { return time.Date(year, 1, 2, 0, 0, 0, 0, time.UTC) }
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      try.Options
		exit   int
		stdout []string // each stands in the output
		stderr string
	}{
		{name: "the baseline is what is tried when nothing is said", o: try.Options{Resources: []string{"testdata/manifests/good.yaml"}},
			exit: try.Allowed, stdout: []string{"1 objects judged", ": allowed."}},
		{name: "the stricter initiative", o: try.Options{Initiatives: []string{"restricted"}, Resources: []string{"testdata/manifests/good.yaml"}},
			exit: try.Refused, stdout: []string{"testdata/manifests/good.yaml:", "How to go on:", "refused ("}},
		{name: "a folder, with the lines of a second document", o: try.Options{Resources: []string{"testdata/manifests"}},
			exit: try.Refused, stdout: []string{
				"testdata/manifests/bad.yaml:18 ", "testdata/manifests/bad.yaml:23 ", "CronJob jobs/nightly",
				"spec.jobTemplate.spec.template.spec.containers[name=a].securityContext.privileged",
			}},
		{name: "standard input", o: try.Options{Resources: []string{"-"}, Stdin: strings.NewReader("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostPID: true, containers: []}\n")},
			exit: try.Refused, stdout: []string{"stdin:4 "}},
		{name: "a chart beside manifests", o: try.Options{Resources: []string{"testdata/mixed"}},
			exit: try.Refused, stdout: []string{"testdata/mixed/pod.yaml:6 ", "2 objects judged"}},
		{name: "a chart with a values file", o: try.Options{Resources: []string{"testdata/mixed/chart"}, Values: []string{"testdata/mixed/privileged.yaml"}},
			exit: try.Refused, stdout: []string{"testdata/mixed/privileged.yaml:1 ", "Pod default/from-chart"}},
		{name: "a chart with a value", o: try.Options{Resources: []string{"testdata/mixed/chart"}, Set: []string{"privileged=true"}, Namespace: "n"},
			exit: try.Refused, stdout: []string{"testdata/mixed/chart/templates/pod.yaml:10 ", "Pod n/from-chart"}},
		{name: "constraints of Gatekeeper, in Rego", o: try.Options{Policies: []string{"testdata/gatekeeper"}, Resources: []string{"testdata/manifests"}},
			exit: try.Refused, stdout: []string{"pods-have-teams/TeamLabel", "the label team is missing"}, stderr: "Unused has no constraint"},
		{name: "an audit says so and lets pass", o: try.Options{Policies: []string{"testdata/azure/definition.json"}, Resources: []string{"testdata/manifests/good.yaml"}},
			exit: try.Allowed, stdout: []string{"audited", "team-label/team-label", "Add the label team.", "allowed (1 audited)"}},
		{name: "an exemption", o: try.Options{Policies: []string{"testdata/azure"}, Resources: []string{"testdata/manifests/good.yaml"}, Now: at(2029)},
			exit: try.Allowed, stdout: []string{"exempt", "allowed (1 exempt)"}},
		{name: "an exemption that has expired", o: try.Options{Policies: []string{"testdata/azure"}, Resources: []string{"testdata/manifests/good.yaml"}, Now: at(2031)},
			exit: try.Refused, stdout: []string{"denied", "teams/team-label"}},
		{name: "both at once", o: try.Options{Initiatives: []string{"baseline"}, Policies: []string{"testdata/gatekeeper"}, Resources: []string{"testdata/mixed"}},
			exit: try.Refused, stdout: []string{"baseline/host-namespaces", "pods-have-teams/TeamLabel"}},

		{name: "no such initiative", o: try.Options{Initiatives: []string{"none"}, Resources: []string{"testdata/manifests"}},
			exit: try.Unjudged, stderr: "take one of baseline, restricted, supply-chain"},
		{name: "nothing to judge", exit: try.Unjudged, stderr: "--resources"},
		{name: "no such file", o: try.Options{Resources: []string{"testdata/none.yaml"}}, exit: try.Unjudged, stderr: "testdata/none.yaml cannot be read"},
		{name: "no such format", o: try.Options{Resources: []string{"testdata/manifests"}, Format: "xml"}, exit: try.Unjudged, stderr: "There is no format"},
		{name: "an object is no policy", o: try.Options{Policies: []string{"testdata/manifests/good.yaml"}, Resources: []string{"testdata/manifests"}},
			exit: try.Unjudged, stderr: "A Pod is no policy"},
		{name: "no YAML", o: try.Options{Resources: []string{"-"}, Stdin: strings.NewReader("a: [")}, exit: try.Unjudged, stderr: "stdin:1: document 1 is no valid YAML"},
		{name: "no object", o: try.Options{Resources: []string{"-"}, Stdin: strings.NewReader("a: 1")}, exit: try.Unjudged, stderr: "has no apiVersion or kind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			exit := try.Run(context.Background(), c.o, &stdout, &stderr)
			if exit != c.exit {
				t.Errorf("exit %d, want %d", exit, c.exit)
			}
			for _, s := range c.stdout {
				if !strings.Contains(stdout.String(), s) {
					t.Errorf("%q is not in the output", s)
				}
			}
			if !strings.Contains(stderr.String(), c.stderr) || c.exit == try.Unjudged && !strings.HasPrefix(stderr.String(), "could not judge: ") {
				t.Errorf("stderr lacks %q", c.stderr)
			}
			if t.Failed() {
				t.Logf("stdout:\n%s\nstderr:\n%s", &stdout, &stderr)
			}
		})
	}
}

// A rule that cannot judge is no rule that is kept.
func TestRuleThatCannotJudge(t *testing.T) {
	var stdout, stderr bytes.Buffer
	exit := try.Run(context.Background(), try.Options{Policies: []string{"testdata/error"}, Resources: []string{"testdata/manifests/good.yaml"}}, &stdout, &stderr)
	if exit != try.Unjudged || !strings.Contains(stdout.String(), "1 could not be judged") {
		t.Errorf("exit %d\n%s\n%s", exit, &stdout, &stderr)
	}
}

func TestFormats(t *testing.T) {
	o := try.Options{Resources: []string{"testdata/mixed/chart"}, Values: []string{"testdata/mixed/privileged.yaml"}, Format: try.JSON, Now: at(2027)}
	var stdout, stderr bytes.Buffer
	if exit := try.Run(context.Background(), o, &stdout, &stderr); exit != try.Refused {
		t.Fatalf("exit %d: %s", exit, &stderr)
	}
	var d policy.Decision
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Allowed || d.Point != policy.PointTest || d.Set == "" || d.Input == "" || len(d.Objects) != 1 {
		t.Errorf("decision %+v", d)
	}
	found := false
	for _, v := range d.Objects[0].Verdicts {
		if v.Outcome == rule.Denied {
			found = v.Refuses && len(v.At) == 1 && v.At[0].File == "testdata/mixed/privileged.yaml" && v.At[0].Line == 1
		}
	}
	if !found {
		t.Errorf("no denied verdict with its line: %+v", d.Objects[0].Verdicts)
	}

	o.Format = try.SARIF
	stdout.Reset()
	if exit := try.Run(context.Background(), o, &stdout, &stderr); exit != try.Refused {
		t.Fatalf("exit %d: %s", exit, &stderr)
	}
	for _, want := range []string{`"ruleId": "baseline/privileged"`, `"level": "error"`, `"uri": "testdata/mixed/privileged.yaml"`, `"uri": "testdata/mixed/chart/templates/pod.yaml"`, `"startLine": 10`} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%s is not in the report", want)
		}
	}
}

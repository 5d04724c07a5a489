package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/policy/vap"
	"towpath.dev/towpath/internal/source/pull"
)

// samplePipeline deploys the chart to two environments. Nothing runs it: what it would
// deploy is read from it.
const samplePipeline = `trigger: none
pr: none
stages:
  - stage: Deploy
    jobs:
      - deployment: Production
        environment: production
        strategy:
          runOnce:
            deploy:
              steps:
                - task: HelmDeploy@1
                  inputs: {command: upgrade, chartType: FilePath, chartPath: chart, releaseName: shop, namespace: verdict, overrideValues: "%[1]s"}
      - deployment: Staging
        environment: staging
        strategy:
          runOnce:
            deploy:
              steps:
                - task: HelmDeploy@1
                  inputs: {command: upgrade, chartType: FilePath, chartPath: chart, releaseName: shop, namespace: verdict-staging, overrideValues: "%[1]s"}
`

// watch is a copy of the baseline that refuses nothing and says everything, in the
// environment whose objects may live although they break it.
const watch = "verdict-watch"

// newSample makes a project that holds the sample's chart, with an environment in which
// the baseline refuses, and one in which everything lives and is told.
func newSample(t *testing.T) *project {
	t.Helper()
	p := &project{installation: shared, t: t, name: "verdict", dir: filepath.Join(t.TempDir(), "app")}
	if err := os.CopyFS(filepath.Join(p.dir, "chart"), os.DirFS("../../examples/shop/charts/shop")); err != nil {
		t.Fatal(err)
	}
	values := []string{"registry=" + p.registry(), "project=verdict"}
	for i, name := range []string{"web", "catalog", "cart", "pricing"} {
		// No pods: what is judged is what would make them.
		values = append(values, fmt.Sprintf("%s.digest=sha256:%064d", name, i+1), name+".replicas=0")
	}
	p.write("azure-pipelines.yml", fmt.Sprintf(samplePipeline, strings.Join(values, ",")))
	p.git("init", "-q", "-b", "main")
	p.git("config", "user.name", "End to End")
	p.git("config", "user.email", "e2e@towpath.local")
	p.git("remote", "add", "origin", p.url+"/verdict/app.git")
	p.git("add", "-A")
	p.git("commit", "-q", "-m", "The sample")
	p.git("push", "-q", "origin", "main")
	p.own("production", "verdict")
	p.own("staging", "verdict-staging")
	p.must("policy", "assign", "--initiative", "baseline", "--name", watch, "--scope", "environment:verdict/staging", "--effect", "Audit", "--parameter", "warn=true")
	p.must("policy", "exempt", policy.Baseline, "--name", "verdict-staging", "--scope", "environment:verdict/staging", "--category", rule.Mitigated, "--reason", "nothing of it runs")
	p.inForce()
	return p
}

// propose pushes a branch for each variant and opens a pull request; it returns their
// numbers.
func (p *project) propose(all []variant) []int64 {
	p.t.Helper()
	push := []string{"push", "-q", "origin"}
	for _, v := range all {
		p.git("checkout", "-q", "-b", v.name, "main")
		if err := v.change(chart{filepath.Join(p.dir, "chart")}); err != nil {
			p.t.Fatalf("variant %s: %v", v.name, err)
		}
		p.git("add", "-A")
		p.git("commit", "-q", "-m", "Variant "+v.name)
		push = append(push, v.name)
	}
	p.git(push...)
	numbers := make([]int64, len(all))
	for i, v := range all {
		var made pull.Pull
		if err := p.read(&made, "pull", "create", "--project", p.name, "--repo", "app", "--source", v.name, "--title", v.name); err != nil {
			p.t.Fatal(err)
		}
		numbers[i] = made.Number
	}
	return numbers
}

// proposal is what `towpath pull show` tells of the verdict on a pull request.
type proposal struct {
	Head      string
	Checks    []pull.Check `json:"checks_reported"`
	Decisions []policy.Decision
}

// verdicts waits for the policy check of a pull request and returns its state with the
// newest decision on each environment.
func (p *project) verdicts(number int64) (state string, by map[string]policy.Decision) {
	p.t.Helper()
	p.eventually(fmt.Sprintf("the verdict on pull request %d", number), func() error {
		var got proposal
		if err := p.read(&got, "pull", "show", fmt.Sprint(number), "--project", p.name, "--repo", "app"); err != nil {
			return err
		}
		i := slices.IndexFunc(got.Checks, func(c pull.Check) bool { return c.Name == "policy" })
		if i < 0 || got.Checks[i].State == pull.Running || got.Checks[i].State == pull.Queued {
			return errors.New("it is not reported")
		}
		state, by = got.Checks[i].State, map[string]policy.Decision{}
		for _, d := range got.Decisions {
			if d.Commit == got.Head && d.Time.After(by[d.Environment].Time) {
				by[d.Environment] = d
			}
		}
		if len(by) != 2 {
			return fmt.Errorf("it is %s (%s), with decisions on %d environments", state, got.Checks[i].Title, len(by))
		}
		return nil
	})
	return state, by
}

// manifests are the objects that a pull request would apply, by "Kind/name".
func (p *project) manifests(number int64, environment string) (whole string, each map[string]string) {
	p.t.Helper()
	whole = p.must("pull", "manifests", fmt.Sprint(number), "--environment", environment, "--project", p.name, "--repo", "app")
	each = map[string]string{}
	kind, name := regexp.MustCompile(`(?m)^kind: (\w+)$`), regexp.MustCompile(`(?m)^metadata:\n(?:  .*\n)*?  name: ([\w-]+)$`)
	for doc := range strings.SplitSeq("\n"+whole, "\n---\n") {
		k, n := kind.FindStringSubmatch(doc), name.FindStringSubmatch(doc)
		if k != nil && n != nil {
			each[k[1]+"/"+n[1]] = doc
		}
	}
	return whole, each
}

// kubectlSaid runs kubectl and returns what it printed on both streams.
func (p *project) kubectlSaid(args ...string) (out, said string, err error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(filepath.Join(p.bin, "towpath"), append([]string{"kubectl"}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env(), &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// TestOneVerdict proposes variants of the sample and asks three judges about each: the
// pull request, the API server, and the audit of what lives. They must agree, rule by
// rule and object by object.
func TestOneVerdict(t *testing.T) {
	t.Parallel()
	p := newSample(t)
	all := variants()
	numbers := p.propose(all)
	for i, v := range all {
		t.Run(v.name, func(t *testing.T) {
			q := p.in(t)
			state, by := q.verdicts(numbers[i])
			if want := map[bool]string{true: pull.Success, false: pull.Failure}[len(v.refused) == 0]; state != want {
				t.Errorf("the check is %s, want %s", state, want)
			}
			refused := byObject(by["production"], policy.Baseline, rule.Denied)
			want := map[string][]string{}
			if len(v.refused) > 0 {
				want[v.workload] = v.refused
			}
			if !maps.EqualFunc(refused, want, slices.Equal) {
				t.Errorf("the pull request refuses %v, want %v", refused, want)
			}
			if v.invalid() != "" {
				q.ruledOut(numbers[i], v)
				return
			}
			q.atAdmission(numbers[i], by["production"], refused)
			q.alive(numbers[i], v, by["staging"])
		})
	}
}

// byObject lists the rules of an assignment that have an outcome, sorted, by object.
func byObject(d policy.Decision, assignment, outcome string) map[string][]string {
	out := map[string][]string{}
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if v.Assignment == assignment && v.Outcome == outcome {
				out[o.Kind+"/"+o.Name] = append(out[o.Kind+"/"+o.Name], v.Reference)
			}
		}
	}
	for _, rules := range out {
		slices.Sort(rules)
	}
	return out
}

var (
	denial = regexp.MustCompile(`(?m)^(?:Error from server \(Forbidden\): .* |The )([a-z]+)s(?:\.[a-z0-9.]+)? "([\w-]+)" is (?:forbidden|invalid): (.*)$`)
	dryRun = regexp.MustCompile(`(?m)^(\w+)[a-z0-9.]*/([\w-]+) \w+ \(server dry run\)$`)
)

// atAdmission applies everything that the pull request would apply: the API server must
// refuse the same objects by rules of the same policy, and no others.
func (p *project) atAdmission(number int64, d policy.Decision, refused map[string][]string) {
	p.t.Helper()
	whole, each := p.manifests(number, "production")
	out, said, _ := p.kubectlSaid("-n", "verdict", "apply", "--dry-run=server", "-f", p.file(whole))
	denied := map[string]string{}
	for _, m := range denial.FindAllStringSubmatch(said, -1) {
		denied[m[1]+"/"+m[2]] = m[3]
	}
	allowed := map[string]bool{}
	for _, m := range dryRun.FindAllStringSubmatch(out, -1) {
		allowed[m[1]+"/"+m[2]] = true
	}
	digest := ""
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if v.Assignment == policy.Baseline {
				digest = v.Policy
			}
		}
	}
	if len(each) != len(d.Objects) {
		p.t.Errorf("%d manifests, %d objects were judged", len(each), len(d.Objects))
	}
	for object := range each {
		key := strings.ToLower(object)
		rules := refused[object]
		switch message, no := denied[key]; {
		case len(rules) == 0 && (no || !allowed[key]):
			p.t.Errorf("%s is allowed in the pull request; the API server: %s%s", object, out, said)
		case len(rules) > 0 && (!no || allowed[key]):
			p.t.Errorf("%s is refused in the pull request by %v; the API server: %s%s", object, rules, out, said)
		case len(rules) > 0:
			// The API server names the first rule that refuses.
			named := vap.ParseMessages(message)
			if len(named) == 0 || named[0].Assignment != policy.Baseline || !slices.Contains(rules, named[0].Rule) || named[0].Policy != vap.Short(digest) {
				p.t.Errorf("%s is refused by %v of policy %s; the API server says %s", object, rules, digest, message)
			}
		}
	}
}

// ruledOut wants that Kubernetes itself lets a variant that the pull request refuses in
// nowhere, also where the policy would.
func (p *project) ruledOut(number int64, v variant) {
	p.t.Helper()
	for environment, namespace := range map[string]string{"production": "verdict", "staging": "verdict-staging"} {
		_, each := p.manifests(number, environment)
		if _, said, err := p.kubectlSaid("-n", namespace, "apply", "-f", p.file(each[v.workload])); err == nil || !strings.Contains(said, v.invalid()) {
			p.t.Errorf("in %s the API server says %q, %v", environment, said, err)
		}
	}
}

// opinion is what one rule says of an object.
type opinion struct {
	Outcome, Path, Message string
	Violations             int
}

// alive applies the variant's workload where it may live. The API server warns of each rule
// that it breaks, and the audit judges it as the pull request did, by every rule.
func (p *project) alive(number int64, v variant, d policy.Decision) {
	p.t.Helper()
	_, each := p.manifests(number, "staging")
	kind, name, _ := strings.Cut(v.workload, "/")
	if each[v.workload] == "" {
		p.t.Fatalf("the pull request renders no %s", v.workload)
	}
	uid, said, err := p.kubectlSaid("-n", "verdict-staging", "apply", "-o", "jsonpath={.metadata.uid}", "-f", p.file(each[v.workload]))
	if err != nil {
		p.t.Fatalf("applying: %v: %s", err, said)
	}
	var warned []string
	for _, r := range vap.ParseMessages(said) {
		if r.Assignment == watch && !slices.Contains(warned, r.Rule) {
			warned = append(warned, r.Rule)
		}
	}
	slices.Sort(warned)
	if want := byObject(d, watch, rule.Audited)[v.workload]; !slices.Equal(warned, want) || !slices.Equal(want, v.refused) {
		p.t.Errorf("the API server warns of %v, the pull request of %v, want %v: %s", warned, want, v.refused, said)
	}
	want := map[string]opinion{}
	for _, o := range d.Objects {
		if o.Kind != kind || o.Name != name {
			continue
		}
		for _, x := range o.Verdicts {
			said := opinion{Outcome: x.Outcome, Violations: len(x.Violations)}
			if len(x.Violations) > 0 {
				said.Path, said.Message = x.Violations[0].Path, x.Violations[0].Message
			}
			want[x.Assignment+"/"+x.Reference] = said
		}
	}
	p.eventually("the audit says what the pull request said", func() error {
		all, err := p.live("verdict-staging", kind, name)
		if err != nil {
			return err
		}
		got := map[string]opinion{}
		for by, o := range all {
			if o.UID == uid {
				got[by] = opinion{Outcome: o.Outcome, Path: o.Path, Message: o.Message, Violations: o.Violations}
			}
		}
		// The images of a pull request are built when it is merged: what is known of them is
		// judged from then on.
		delete(got, policy.SupplyChain+"/verdict")
		return difference(got, want)
	})
	if _, err := p.kubectl("-n", "verdict-staging", "delete", strings.ToLower(kind), name); err != nil {
		p.t.Error(err)
	}
}

// difference says where two judges disagree.
func difference(got, want map[string]opinion) error {
	if len(want) == 0 {
		return errors.New("the pull request says nothing")
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			return fmt.Errorf("%s: %+v, the pull request said %+v", k, got[k], want[k])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d verdicts, the pull request gave %d: %v", len(got), len(want), slices.Sorted(maps.Keys(got)))
	}
	return nil
}

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"towpath.dev/towpath/internal/deploy/canary"
)

// TestSessionsApart has two developers on one service while as many people use it without a
// key, a release that comes meanwhile, and routing turned off again.
func TestSessionsApart(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "apart")
	p.chained()
	first := p.deployed("First", p.imageStage(), p.toDevelopment())
	charted := p.servicesOf()
	ada, bob := p.person("ada-apart", "maintain"), p.person("bob-apart", "write")
	one, two := newLocal(t, ada.name), newLocal(t, bob.name)
	a := p.attach(ada, "cart", one)

	before := p.objects("services", "deployments")
	b := p.attach(bob, "cart", two)
	if diff := changed(before, p.objects("services", "deployments")); diff != "" {
		t.Errorf("the start of a session changed %s", diff)
	}
	a.answers(throughApp, one.says())
	b.answers(throughApp, two.says())
	p.atOnce(first.Commit, a, b, one, two)

	managed := p.managers()
	second := p.deployed("Second", p.imageStage(), p.toDevelopment())
	p.serves(second.Commit)
	a.answers(throughApp, one.says())
	b.answers(throughApp, two.says())
	if now := p.managers(); !maps.Equal(managed, now) {
		t.Errorf("before the release the Services' fields belonged to %v, now to %v", managed, now)
	}
	for object, who := range managed {
		if strings.Contains(who, " ") {
			t.Errorf("the fields of %s belong to more than one: %s", object, who)
		}
	}

	a.end()
	b.end()
	p.gone(a)
	p.gone(b)
	over := p.traffic()
	p.must("env", "edit", "development", "--project", p.name, "--routing", "off")
	if answered, failed := over(); failed != 0 || answered == 0 {
		t.Errorf("%d requests failed while routing was turned off, %d were answered", failed, answered)
	}
	if now := p.servicesOf(); now != charted {
		t.Errorf("after routing the Services are\n%s\nthe chart made them\n%s", now, charted)
	}
	p.serves(second.Commit)
	p.nothingRouted()
}

// atOnce has all requests open before the first is answered: half of them with a key, half
// of these with each developer's.
func (p *project) atOnce(build string, a, b *developer, one, two *local) {
	p.t.Helper()
	total := *requestsFlag
	type share struct {
		who, path, want string
		client          *http.Client
		n               int
	}
	wide := func() *http.Transport { t := p.toDoor(); t.MaxIdleConnsPerHost = total; return t }
	hold := "/via?to=http://cart/hold"
	shares := []share{
		{"nobody", "http://" + p.host() + hold, build, &http.Client{Transport: wide()}, total / 2},
		{a.who.name, a.address(hold), one.says(), &http.Client{Jar: a.front.Jar, Transport: wide()}, total / 4},
		{b.who.name, b.address(hold), two.says(), &http.Client{Jar: b.front.Jar, Transport: wide()}, total / 4},
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for _, s := range shares {
		for range s.n {
			wg.Go(func() {
				got := ""
				resp, err := s.client.Get(s.path)
				if err == nil {
					got, err = said(resp)
				}
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					answers[fmt.Sprintf("%s got %v", s.who, err)]++
				case !strings.HasPrefix(got, s.want):
					answers[fmt.Sprintf("%s got %q", s.who, got)]++
				default:
					answers["right"]++
				}
			})
		}
	}
	p.eventually(fmt.Sprintf("%d requests are open at once", total), func() error {
		got, err := p.plain("/via?to=http://cart/held")
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(got)
		if err == nil && (n != total/2 || one.held.Load() != int64(total/4) || two.held.Load() != int64(total/4)) {
			mu.Lock()
			defer mu.Unlock()
			err = fmt.Errorf("%d at the service, %d and %d at the developers'; %v", n, one.held.Load(), two.held.Load(), answers)
		}
		return err
	})
	p.t.Logf("%d requests were open at once: %d at the service, %d and %d at the developers'", total, total/2, one.held.Load(), two.held.Load())
	close(one.gate)
	close(two.gate)
	if _, err := p.plain("/via?to=http://cart/let-go"); err != nil {
		p.t.Error(err)
	}
	wg.Wait()
	if len(answers) != 1 || answers["right"] != 2*(total/4)+total/2 {
		p.t.Errorf("the answers are %v", answers)
	}
}

// objects are the versions of a namespace's objects.
func (p *project) objects(kinds ...string) map[string]string {
	p.t.Helper()
	out, err := p.kubectl("-n", p.name, "get", strings.Join(kinds, ","), "-o",
		`jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation}/{.metadata.uid}{"\n"}{end}`)
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(out) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[name] = version
	}
	// A Service has no generation; its version changes with nothing but itself.
	out, err = p.kubectl("-n", p.name, "get", "services", "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		all["Service/"+name] = version
	}
	return all
}

func changed(before, after map[string]string) string {
	var out []string
	for name, version := range before {
		if after[name] != version {
			out = append(out, name)
		}
	}
	for name := range after {
		if _, old := before[name]; !old {
			out = append(out, name+" (new)")
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// managers tells for each Service who owns its selector or its ports by server-side apply.
func (p *project) managers() map[string]string {
	p.t.Helper()
	out, err := p.kubectl("-n", p.name, "get", "services", "-o", "json", "--show-managed-fields")
	if err != nil {
		p.t.Fatal(err)
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name          string
				ManagedFields []struct {
					Manager  string
					FieldsV1 map[string]json.RawMessage
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		p.t.Fatal(err)
	}
	owners := map[string]string{}
	for _, i := range list.Items {
		var who []string
		for _, m := range i.Metadata.ManagedFields {
			var spec map[string]json.RawMessage
			if json.Unmarshal(m.FieldsV1["f:spec"], &spec) == nil && (spec["f:selector"] != nil || spec["f:ports"] != nil) && !slices.Contains(who, m.Manager) {
				who = append(who, m.Manager)
			}
		}
		owners[i.Metadata.Name] = strings.Join(who, " ")
	}
	return owners
}

// servicesOf is what the Services lead to.
func (p *project) servicesOf() string {
	p.t.Helper()
	out, err := p.kubectl("-n", p.name, "get", "services", "--sort-by=.metadata.name", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.spec.selector} {.spec.ports[*].port}>{.spec.ports[*].targetPort}{"\n"}{end}`)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// nothingRouted wants that nothing in the namespace is the router's or of a session.
func (p *project) nothingRouted() {
	p.t.Helper()
	p.eventually("nothing of the router is left", func() error {
		const kinds = "pods,deployments,replicasets,services,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets"
		out, err := p.kubectl("-n", p.name, "get", kinds, "-o", "name")
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if strings.Contains(line, "towpath-r") || strings.Contains(line, "towpath-session") || strings.Contains(line, "-stable") {
				return errors.New("there is " + strings.TrimSpace(line))
			}
		}
		out, err = p.kubectl("-n", p.name, "get", "pods,deployments,services", "-l", "towpath.dev/track", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New("a track is left at " + strings.TrimSpace(out))
		}
		return err
	})
}

// crowd gives the chart so many more services like app, each with a pod.
func (p *project) crowd(n int) {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "chart/templates/app.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(b), "---\napiVersion: networking")
	text = strings.NewReplacer("name: app\n", "name: svc-{{ $i }}\n", "{app: app}", "{app: svc-{{ $i }}}", ".Values", "$.Values").Replace(text)
	p.write("chart/templates/crowd.yaml", fmt.Sprintf("{{- range $i := until %d }}\n---\n%s{{- end }}\n", n, text))
}

// TestSessionBesideCanary has a session on a service of which a release is being tried.
func TestSessionBesideCanary(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "beside")
	p.routable()
	first := p.deployed("First", p.imageStage(), p.toDevelopment())
	p.must("env", "edit", "development", "--project", p.name, "--strategy", `{"steps":[{"weight":50,"pause":"20m"}]}`)
	ada := p.person("ada-beside", "maintain")
	l := newLocal(t, ada.name)
	v := p.attach(ada, "app", l)
	v.answers("/", l.says())
	second := p.push("Second", p.imageStage(), p.toDevelopment())
	const release = "beside/development/2"
	state := func() (c canary.View) {
		if err := p.read(&c, "canary", "show", release); err != nil {
			c.State = err.Error()
		}
		return c
	}
	p.soon("the canary gets its share", func() bool { c := state(); return c.State == canary.Progressing && c.Weight == 50 && len(c.Series) > 0 })
	builds := map[string]int{}
	for range 100 {
		if got, err := v.get("/"); err != nil || !strings.HasPrefix(got, l.says()) {
			t.Errorf("the keyed request got %q, %v", got, err)
		}
		got, err := p.ask(t.Context(), p.door)
		if err != nil {
			t.Error(err)
		}
		builds[got]++
	}
	t.Logf("without a key: %v", builds)
	// Four standard deviations of a hundred throws of a coin are twenty.
	if n := builds[second.Commit]; n < 30 || n > 70 || builds[first.Commit] != 100-n {
		t.Errorf("without a key the answers are of %v, want half of %s and half of %s", builds, first.Commit, second.Commit)
	}
	p.must("canary", "promote", release, "--full")
	p.soon("the canary is promoted", func() bool { return state().State == canary.Promoted })
	p.serves(second.Commit)
	v.answers("/", l.says())
	v.end()
	p.gone(v)
}

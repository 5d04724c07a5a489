package e2e_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy/canary"
)

// fence closes the project's namespace in both directions. Every pod may ask the resolver,
// app and cart may ask each other, and other may ask nobody.
const fence = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: resolver}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}], ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: chain}
spec:
  podSelector: {matchExpressions: [{key: app, operator: In, values: [app, cart]}]}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [app, cart]}]}}], ports: [{port: http}]}]
  egress: [{to: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [app, cart]}]}}], ports: [{port: 8080}]}]
`

// opening lets other ask cart.
const opening = `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"%s"},"spec":{"podSelector":{"matchLabels":{"app":"%s"}},"policyTypes":["%s"],"%s":[{"%s":[{"podSelector":{"matchLabels":{"app":"%s"}}}]}]}}`

// fenced gives the project's chart the service cart, which app asks, and other, whom nobody
// wants, and the policies between them.
func (p *project) fenced() {
	p.t.Helper()
	p.chained()
	b, err := os.ReadFile(filepath.Join(p.dir, "chart/templates/cart.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("chart/templates/other.yaml", strings.NewReplacer("name: cart\n", "name: other\n", "{app: cart}", "{app: other}").Replace(string(b)))
	p.write("chart/templates/fence.yaml", fence)
}

// other has the pod of other ask an address, by the API server, whom policies let through.
func (p *project) other(address string) (string, error) {
	pod, err := p.kubectl("-n", p.name, "get", "pods", "-l", "app=other,towpath.dev/track notin (canary,baseline)", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[0].metadata.name}")
	if err != nil {
		return "", err
	}
	return p.kubectl("get", "--request-timeout=4s", "--raw", "/api/v1/namespaces/"+p.name+"/pods/"+strings.TrimSpace(pod)+":8080/proxy/via?to="+url.QueryEscape(address))
}

// fencedOff wants that other gets no answer from cart: by its Service, at its pods, and at
// any port that the router has for a service.
func (p *project) fencedOff(routed bool) {
	p.t.Helper()
	// Other itself is there to answer: it can ask itself.
	p.eventually("other answers", func() error {
		_, err := p.other("http://127.0.0.1:8080/")
		return err
	})
	addresses := []string{"http://cart/", "http://" + p.address("app=cart") + ":8080/"}
	if routed {
		router := p.address("app.kubernetes.io/name=towpath-router")
		for port := 20000; port < 20003; port++ {
			addresses = append(addresses, fmt.Sprintf("http://%s:%d/", router, port))
		}
		addresses = append(addresses, "http://"+router+":9902/routes")
	}
	for _, address := range addresses {
		if got, err := p.other(address); err == nil {
			p.t.Errorf("other asked %s and got %q, which its namespace's policies forbid", address, got)
		}
	}
}

// address is that of a pod.
func (p *project) address(selector string) string {
	p.t.Helper()
	out, err := p.kubectl("-n", p.name, "get", "pods", "-l", selector, "--field-selector=status.phase=Running", "-o", "jsonpath={.items[0].status.podIP}")
	if err != nil || strings.TrimSpace(out) == "" {
		p.t.Fatalf("no pod %s: %q, %v", selector, out, err)
	}
	return strings.TrimSpace(out)
}

// through wants that app gets the answer of a build of cart.
func (p *project) through(build string) {
	p.t.Helper()
	p.eventually("app reaches cart", func() error {
		got, err := p.plain(throughApp)
		if err == nil && !strings.HasPrefix(got, build) {
			err = fmt.Errorf("it got %q, want %s", got, build)
		}
		return err
	})
}

// TestDefaultDeny tries a canary and has a developer's session in a namespace that enforces
// restricted pod security and whose network policies deny by default: both work with what
// the policies allow, and neither opens what they forbid.
func TestDefaultDeny(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "fenced")
	p.fenced()
	first := p.deployed("First", p.imageStage(), p.toDevelopment())
	if _, err := p.kubectl("label", "namespace", p.name, "pod-security.kubernetes.io/enforce=restricted"); err != nil {
		t.Fatal(err)
	}
	p.through(first.Commit)
	p.fencedOff(false)

	p.must("env", "edit", "development", "--project", p.name, "--strategy", `{"steps":[{"weight":50,"pause":"4s"}],"minSamples":20,"metrics":`+trialMetrics+`}`)
	over := p.traffic()
	second := p.deployed("Second", p.imageStage(), p.toDevelopment())
	if answered, failed := over(); answered == 0 || failed != 0 {
		t.Errorf("%d requests were answered during the canary, %d failed", answered, failed)
	}
	wantTrial(t, p, p.name+"/development/2", canary.Promoted, "")
	p.through(second.Commit)
	p.fencedOff(true)

	ada := p.person("ada-of-"+p.name, "maintain")
	dir := p.workspace()
	a := p.develop(ada, 0, dir, "cart", "--run", "go run .")
	a.await("live")
	a.open()
	a.answers(throughApp, "first "+ada.name)
	p.through(second.Commit)
	p.inCluster(a, second.Commit)
	p.fencedOff(true)
	if got, err := p.other("http://" + p.address("towpath.dev/session-of=cart") + ":80/"); err == nil {
		t.Errorf("other reaches the pod of a session: %q", got)
	}
	a.end()
	p.gone(a)

	p.opens()
	p.must("env", "edit", "development", "--project", p.name, "--routing", "off")
	p.eventually("the router's policies go with it", func() error {
		out, err := p.kubectl("-n", p.name, "get", "networkpolicies", "-l", "app.kubernetes.io/managed-by=towpath", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New("there is " + out)
		}
		return err
	})
}

// opens has the owner let other ask cart: the way through the router follows.
func (p *project) opens() {
	p.t.Helper()
	for _, text := range []string{
		fmt.Sprintf(opening, "other-out", "other", "Egress", "egress", "to", "cart"),
		fmt.Sprintf(opening, "other-in", "cart", "Ingress", "ingress", "from", "other"),
	} {
		file := filepath.Join(p.t.TempDir(), "policy.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
		if _, err := p.kubectl("-n", p.name, "apply", "-f", file); err != nil {
			p.t.Fatal(err)
		}
	}
	p.eventually("other reaches cart when the owner lets it", func() error {
		_, err := p.other("http://cart/")
		return err
	})
}

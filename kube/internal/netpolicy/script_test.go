package netpolicy_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"towpath.dev/towpath/kube/internal/netpolicy"
)

var update = flag.Bool("update", false, "write the golden file anew")

const scripted = denyAll + `---
metadata: {namespace: shop, name: api}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}, {ipBlock: {cidr: 203.0.113.7/24, except: [203.0.113.10/32]}}]
    ports: [{port: http}, {port: 100, endPort: 200}, {protocol: SCTP}]
---
metadata: {namespace: shop, name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress: [{to: [{podSelector: {matchLabels: {app: api}}}]}, {ports: [{protocol: UDP, port: 53}]}]
`

func TestScript(t *testing.T) {
	sources := cluster()
	sources.Policies = parse(t, scripted)
	got := netpolicy.Compile(node, sources).Script("towpath-tp0-policies")
	const golden = "testdata/script.nft"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestNoPolicyNoTable(t *testing.T) {
	want := "add table ip t\ndelete table ip t\n"
	if got := netpolicy.Compile(node, cluster()).Script("t"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNamesCannotLeaveComments has a name that no API server takes.
func TestNamesCannotLeaveComments(t *testing.T) {
	sources := cluster()
	sources.Policies = parse(t, "metadata: {namespace: shop, name: \"a\\\"\\n}; flush ruleset\"}\nspec: {podSelector: {}}\n")
	if got := netpolicy.Compile(node, sources).Script("t"); strings.Contains(got, "flush ruleset") || strings.Count(got, `"`) != 2+4 {
		t.Errorf("script:\n%s", got)
	}
}

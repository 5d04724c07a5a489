package audit_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// audited is a definition whose effect is audit: nothing is refused by it.
const audited = `{"name":"no-cart","type":"Microsoft.Authorization/policyDefinitions","properties":{"displayName":"No cart","version":"1.0.0","mode":"Microsoft.Kubernetes.Data",
	"policyRule":{"if":{"field":"type","in":["Microsoft.Kubernetes/connectedClusters"]},"then":{"effect":"audit","details":{
	"templateInfo":{"sourceType":"Base64Encoded","content":"%s"},"apiGroups":["apps"],"kinds":["Deployment","ReplicaSet"],"excludedNamespaces":[]}}}}}`

// turned lists what the logbook says of compliance with an assignment: "OUTCOME OBJECT".
func (b *bench) turned(assignment string) []string {
	b.t.Helper()
	list, err := event.New(b.db, nil).Read(b.t.Context(), event.Query{Type: event.TypeCompliance, Limit: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		var p event.ComplianceChanged
		if err := e.Into(&p); err != nil {
			b.t.Fatal(err)
		}
		if e.Project != "shop" || p.Environment != "production" || p.UID == "" {
			b.t.Errorf("%s is of %s, %+v", e.ID, e.Project, p)
		}
		for _, v := range p.Verdicts {
			if (v.Message == "") == (v.Outcome == rule.Audited || v.Outcome == rule.Denied) {
				b.t.Errorf("%s %s says %q", v.Outcome, v.Object, v.Message)
			}
			if v.Assignment == assignment {
				out = append(out, v.Outcome+" "+v.Object)
			}
		}
	}
	return out
}

func TestWhatIsOnlyAuditedIsSaid(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		b.start()
		if _, err := b.policies.Apply(t.Context(), root, json.RawMessage(fmt.Sprintf(audited, noCart))); err != nil {
			t.Fatal(err)
		}
		b.assign("no-cart", "policyDefinitions/no-cart", "")
		b.synced()
		rename := func(name, uid string) map[string]any {
			d := deployment("shop-production", name, false)
			d["metadata"].(map[string]any)["uid"] = uid
			return d
		}
		b.api.put("deployments", rename("cart", "uid-1"))
		ref := b.ref("no-cart", "no-cart")
		b.becomes("cart", ref, rule.Audited)
		if len(b.found()) != 0 {
			t.Errorf("decisions about what nothing refuses: %+v", b.found())
		}
		if diff := cmp.Diff([]string{"audited Deployment shop-production/cart"}, b.turned("no-cart")); diff != "" {
			t.Error(diff)
		}
		// It changes, is looked at again, and the server starts again: nothing new.
		b.api.put("deployments", rename("cart", "uid-1"))
		b.sweep(0)
		b.stop()
		b.start()
		// In a namespace of no project it concerns nobody.
		b.api.put("deployments", deployment("elsewhere", "cart", false))
		b.eventually("the other one is judged", func() error {
			if n := len(b.verdictsOf("cart", ref)); n != 2 {
				return fmt.Errorf("%d verdicts", n)
			}
			return nil
		})
		b.api.remove("deployments", "shop-production", "cart")
		b.eventually("it is gone", func() error {
			if n := len(b.verdictsOf("cart", ref)); n != 1 {
				return fmt.Errorf("%d verdicts", n)
			}
			return nil
		})
		want := []string{"audited Deployment shop-production/cart", "gone Deployment shop-production/cart"}
		if diff := cmp.Diff(want, b.turned("no-cart")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatIsPutRightIsSaid(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.start()
	b.api.put("deployments", deployment("shop-production", "cart", true))
	b.becomes("cart", b.ref("baseline", noPrivilege), rule.Denied)
	b.api.put("deployments", deployment("shop-production", "cart", false))
	b.becomes("cart", b.ref("baseline", noPrivilege), rule.Compliant)
	got := strings.Join(b.turned("baseline"), "\n")
	if want := "denied Deployment shop-production/cart\ncompliant Deployment shop-production/cart"; got != want {
		t.Errorf("said\n%s\nwant\n%s", got, want)
	}
}

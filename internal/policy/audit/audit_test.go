package audit_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func TestVerdictsFollowTheCluster(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		b.api.put("pods", pod("shop-production", "good", false))
		b.api.put("deployments", deployment("shop-production", "seven-bad", true))
		b.start()
		privilege := b.ref(policy.Baseline, noPrivilege)
		good, bad := b.becomes("good", privilege, rule.Compliant), b.becomes("seven-bad", privilege, rule.Denied)
		if good.Project != "shop" || good.Environment != "production" || good.Kind != "Pod" || good.Violations != 0 || good.Run != 0 {
			t.Errorf("good: %+v", good)
		}
		if bad.Run != 7 || bad.Actor != "run:7" || bad.Commit != "41ab07d" || bad.Path != "spec.template.spec.containers[name=app].securityContext.privileged" || bad.Message == "" || bad.Policy == "" {
			t.Errorf("bad: %+v", bad)
		}

		// Something else of it changes: the verdict is as old as before.
		again := pod("shop-production", "good", false)
		again["metadata"].(map[string]any)["labels"] = map[string]any{"a": "b"}
		b.api.put("pods", again)
		b.api.put("pods", pod("elsewhere", "later", false))
		b.becomes("later", privilege, rule.Compliant)
		if now := b.becomes("good", privilege, rule.Compliant); !now.Since.Equal(good.Since) || !now.FirstSeen.Equal(good.FirstSeen) {
			t.Errorf("an unchanged verdict is of %s, was of %s", now.Since, good.Since)
		}
		// It gets worse, and better.
		b.api.put("deployments", deployment("shop-production", "seven-bad", false))
		if now := b.becomes("seven-bad", privilege, rule.Compliant); !now.Since.After(bad.Since) || !now.FirstSeen.Equal(bad.FirstSeen) || now.Message != "" {
			t.Errorf("a verdict that changed: %+v, was %+v", now, bad)
		}
		b.sweep(0)
		b.api.remove("pods", "elsewhere", "later")
		b.eventually("what is gone is gone", func() error {
			if n := b.report(audit.Filter{Text: "later"}).Total; n > 0 {
				return fmt.Errorf("%d verdicts", n)
			}
			return nil
		})
		b.sweep(0)
		if p := b.audit.Progress(); p.Objects != 2 || p.Sweeps != 2 || p.Total != 0 || p.Lag.Count == 0 {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestWhatWasMissedIsFoundAfterAStart(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.api.put("pods", pod("shop-production", "leaves", false))
	b.api.put("pods", pod("shop-production", "turns", false))
	b.start()
	privilege := b.ref(policy.Baseline, noPrivilege)
	since := b.becomes("turns", privilege, rule.Compliant).Since
	b.becomes("leaves", privilege, rule.Compliant)
	b.stop()
	b.api.remove("pods", "shop-production", "leaves")
	b.api.put("pods", pod("shop-production", "turns", true))
	b.api.put("pods", pod("shop-production", "comes", false))
	b.start()
	if o := b.becomes("turns", privilege, rule.Denied); !o.Since.After(since) {
		t.Errorf("since %s, was %s", o.Since, since)
	}
	b.becomes("comes", privilege, rule.Compliant)
	if n := b.report(audit.Filter{Text: "leaves"}).Total; n != 0 {
		t.Errorf("%d verdicts on what is gone", n)
	}
	b.sweep(0)
}

func TestAViolationIsADecisionOnce(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.start()
	b.api.put("pods", pod("shop-production", "seven", true))
	privilege := b.ref(policy.Baseline, noPrivilege)
	b.becomes("seven", privilege, rule.Denied)
	b.api.put("pods", pod("shop-production", "seven", true))
	b.sweep(0)
	b.stop()
	b.start()
	d := b.found()
	if len(d) != 1 {
		t.Fatalf("%d decisions: %+v", len(d), d)
	}
	want := []event.Subject{"pod:uid-shop-production-seven", "run:7", "commit:41ab07d"}
	if diff := cmp.Diff(want, d[0].Judges); diff != "" || d[0].Allowed || d[0].Project != "shop" || d[0].Run != 7 || !strings.HasPrefix(d[0].Input, "sha256:") {
		t.Errorf("decision %+v\n%s", d[0], diff)
	}
	// It is put right, and broken again: that is the same rule on the same object.
	b.api.put("pods", pod("shop-production", "seven", false))
	b.becomes("seven", privilege, rule.Compliant)
	b.api.put("pods", pod("shop-production", "seven", true))
	b.becomes("seven", privilege, rule.Denied)
	if n := len(b.found()); n != 1 {
		t.Errorf("%d decisions", n)
	}
}

func TestAnotherSetConcernsItsKinds(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.api.put("pods", pod("shop-production", "cart", false))
	b.api.put("deployments", deployment("shop-production", "cart", false))
	b.start()
	pods := b.api.listed("pods")
	definition := `{"name":"no-cart","type":"Microsoft.Authorization/policyDefinitions","properties":{"displayName":"No cart","version":"1.0.0","mode":"Microsoft.Kubernetes.Data",
		"policyRule":{"if":{"field":"type","in":["Microsoft.Kubernetes/connectedClusters"]},"then":{"effect":"deny","details":{
		"templateInfo":{"sourceType":"Base64Encoded","content":"` + noCart + `"},"apiGroups":["apps"],"kinds":["Deployment"],"excludedNamespaces":[]}}}}}`
	if _, err := b.policies.Apply(t.Context(), root, json.RawMessage(definition)); err != nil {
		t.Fatal(err)
	}
	b.assign("no-cart", "policyDefinitions/no-cart", "")
	b.synced()
	b.becomes("cart", b.ref("no-cart", "no-cart"), rule.Denied)
	if n := b.api.listed("pods"); n != pods {
		t.Errorf("pods were listed %d more times for a rule about Deployments", n-pods)
	}
	if n := len(b.found()); n != 0 {
		t.Errorf("%d decisions: what was there before a rule did not pass it by", n)
	}
	b.sweep(0)
	if err := b.policies.Unassign(t.Context(), root, "no-cart"); err != nil {
		t.Fatal(err)
	}
	b.synced()
	if n := b.report(audit.Filter{Assignment: "no-cart"}).Total; n != 0 {
		t.Errorf("%d verdicts of what is no longer assigned", n)
	}
	b.sweep(0)
}

// noCart is a template that refuses everything called cart, in base 64.
var noCart = encode(`{"apiVersion":"templates.gatekeeper.sh/v1","kind":"ConstraintTemplate","metadata":{"name":"nocart"},"spec":{"crd":{"spec":{"names":{"kind":"NoCart"}}},
	"targets":[{"target":"admission.k8s.gatekeeper.sh","code":[{"engine":"K8sNativeValidation","source":{"validations":[{"expression":"object.metadata.name != 'cart'","message":"metadata.name: no cart"}]}}]}]}}`)

func TestAnExemptionConcernsItsObjects(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.api.put("pods", pod("shop-production", "old", true))
	b.api.put("pods", pod("shop-production", "older", true))
	b.start()
	privilege := b.ref(policy.Baseline, noPrivilege)
	b.becomes("old", privilege, rule.Denied)
	pods := b.api.listed("pods")
	exempt := func(expires time.Time) {
		t.Helper()
		raw := fmt.Sprintf(`{"name":"old-pod","properties":{"policyAssignmentId":"baseline","exemptionCategory":"Waiver","expiresOn":%q,
			"description":"it goes soon","metadata":{"requestedBy":"ada"},"objects":[{"kind":"Pod","namespace":"shop-production","name":"old"}]}}`, expires.UTC().Format(time.RFC3339Nano))
		if _, err := b.policies.Exempt(t.Context(), root, json.RawMessage(raw)); err != nil {
			t.Fatal(err)
		}
	}
	exempt(time.Now().Add(time.Hour))
	if o := b.becomes("old", privilege, rule.Exempt); o.Exemption != "old-pod" {
		t.Errorf("exempt: %+v", o)
	}
	b.becomes("older", privilege, rule.Denied)
	if n := b.api.listed("pods"); n != pods {
		t.Errorf("pods were listed %d more times for an exemption of one", n-pods)
	}
	b.synced()
	b.sweep(0)
	exempt(time.Now().Add(time.Second))
	b.becomes("old", privilege, rule.Denied)
	b.sweep(0)
}

func TestAnImageConcernsItsPods(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.api.put("pods", pod("shop-production", "web", false))
	b.start()
	verdict := b.ref(policy.SupplyChain, "container-image-verdict")
	since := b.becomes("web", verdict, rule.Audited).Since
	if err := b.policies.PutImage(t.Context(), rule.Image{Digest: image0, Repositories: []string{"shop/web"}, Signed: true, Scanned: true}); err != nil {
		t.Fatal(err)
	}
	b.audit.ImageChanged(image0)
	if o := b.becomes("web", verdict, rule.Compliant); !o.Since.After(since) {
		t.Errorf("since %s, was %s", o.Since, since)
	}
	b.sweep(0)
}

func TestTheSweepFindsWhatDiffers(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	for _, n := range []string{"a", "b", "c"} {
		b.api.put("pods", pod("shop-production", n, false))
	}
	b.start()
	b.sweep(0)
	for _, q := range []string{
		`UPDATE audit_verdict SET outcome = 'denied' WHERE object = (SELECT id FROM audit_object WHERE name = 'a')`,
		`DELETE FROM audit_object WHERE name = 'b'`,
		`INSERT INTO audit_object (id, cluster, uid, api_group, kind, namespace, name, project, environment, actor, run, commit_sha, images)
			VALUES (900, 'embedded', 'ghost', '', 'Pod', 'shop-production', 'ghost', '', '', '', 0, '', '')`,
	} {
		if _, err := b.db.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	b.sweep(3)
	b.sweep(0)
	privilege := b.ref(policy.Baseline, noPrivilege)
	for _, n := range []string{"a", "b", "c"} {
		b.becomes(n, privilege, rule.Compliant)
	}
}

package webtest

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/rule"
)

// Digests and decisions of the fixture's policy.
const (
	PolicySet    = "sha256:77c1a0c94f7d2e3b8c6a5f4e3d2c1b0a998877665544332211ffeeddccbb0a1b"
	PolicyDigest = "sha256:2f0da0c94f7d2e3b8c6a5f4e3d2c1b0a998877665544332211ffeeddccbb94e3"
	// DecisionPull refused in a pull request what DecisionAdmission refused at the API server.
	DecisionPull      = "01JD0000000000000000000PR7"
	DecisionAdmission = "01JD0000000000000000000ADM"
)

// Policy is the fixture's: two assignments of the platform, one of the project.
type Policy struct{ f *Fixture }

func (p Policy) may(ctx context.Context, a identity.Actor, project string) error {
	if project == "" {
		if a.Admin {
			return nil
		}
		return fault.New(fault.Denied, "Only an administrator of this installation may look at all of it; %s is none.", a)
	}
	return p.f.Require(ctx, a, project, identity.Read)
}

func rules() []policy.RuleView {
	match := rule.Match{Kinds: []rule.GroupKinds{{Groups: []string{""}, Kinds: []string{"Pod"}}, {Groups: []string{"apps"}, Kinds: []string{"Deployment", "StatefulSet"}}}, ExcludedNamespaces: []string{"kube-system"}}
	return []policy.RuleView{
		{Reference: "no-privileged-containers", Definition: "container-no-privilege", Version: "1.0.0", Title: "Containers must not be privileged", Effect: rule.Deny, Enforced: true, Engine: rule.CEL, Match: match, Fix: "Remove securityContext.privileged."},
		{Reference: "run-as-non-root", Definition: "run-as-non-root", Version: "1.0.0", Title: "Containers must not run as root", Effect: rule.Audit, Enforced: true, Engine: rule.CEL, Match: match},
		{Reference: "image-verdict", Definition: "image-verdict", Version: "1.1.0", Title: "Images are signed by a pipeline of this installation and have no critical finding with a fix", Effect: rule.Deny, Enforced: true, Engine: rule.Rego, Referential: true, Match: match},
	}
}

func assignments() []policy.Assignment {
	doc := json.RawMessage(`{"name":"shop-restricted","properties":{"scope":"environment:shop/production","policyDefinitionId":"/providers/Microsoft.Authorization/policySetDefinitions/restricted","parameters":{"effect":{"value":"Deny"}}}}`)
	one := func(name, title string, scope rule.Scope, effect, mode string) policy.Assignment {
		return policy.Assignment{
			Assignment: azure.Assignment{Name: name, Title: title, Description: "What no workload may do that the platform has no reason to trust.", Target: "baseline", Scope: scope, Enforcement: mode},
			Policy:     PolicyDigest, Rules: rules(), Effect: effect, Created: Now.Add(-400 * time.Hour), Changed: Now.Add(-30 * time.Hour), By: "user:ada", Document: doc,
		}
	}
	return []policy.Assignment{
		one("baseline", "Pod Security Standards, baseline", rule.Scope{Kind: rule.Platform}, rule.Deny, azure.EnforceDefault),
		one("shop-restricted", "Restricted in production", rule.Scope{Kind: rule.Environment, Name: "shop/production"}, rule.Deny, azure.DoNotEnforce),
		one("supply-chain", "Supply chain: our registry, by digest, signed, scanned", rule.Scope{Kind: rule.Platform}, rule.Audit, azure.EnforceDefault),
	}
}

// Assignments lists all.
func (p Policy) Assignments(ctx context.Context, a identity.Actor, project string) ([]policy.Assignment, error) {
	if err := p.may(ctx, a, project); err != nil || p.f.Empty {
		return nil, err
	}
	return assignments(), nil
}

// Assignment finds one.
func (p Policy) Assignment(ctx context.Context, a identity.Actor, name string) (policy.Assignment, error) {
	if err := p.may(ctx, a, "shop"); err != nil {
		return policy.Assignment{}, err
	}
	for _, x := range assignments() {
		if x.Name == name {
			return x, nil
		}
	}
	return policy.Assignment{}, fault.New(fault.NotFound, "There is no assignment %q.", name)
}

const celTemplate = `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
spec:
  targets:
    - target: admission.k8s.gatekeeper.sh
      code:
        - engine: K8sNativeValidation
          source:
            variables:
              - name: offenders
                expression: |-
                  variables.containers.filter(e, e.sc.?privileged.orValue(false) == true).map(e,
                    e.path + ".securityContext.privileged: must be false or absent, it is true")
            validations:
              - expression: size(variables.offenders) == 0
                message: "Privileged containers are not allowed."
`

const regoTemplate = `spec:
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package imageverdict

        # Every image is known and signed.
        violation[{"msg": msg}] {
          c := input.review.object.spec.containers[_]
          not data.inventory.images[c.image].signed
          msg := sprintf("image %v is not signed", [c.image])
        }
`

func definitions() []policy.Definition {
	params := map[string]azure.Parameter{
		"effect":             {Type: "String", Default: "Deny", HasDefault: true, Allowed: []any{"Audit", "Deny", "Disabled"}, Description: "Deny refuses, Audit only says so, Disabled turns it off."},
		"excludedNamespaces": {Type: "Array", Default: []any{"kube-system", "kube-public"}, HasDefault: true, Description: "Namespaces in which it does not hold."},
		"registries":         {Type: "Array", Default: []any{"localhost:7080"}, HasDefault: true, Description: "Hosts of registries."},
	}
	one := func(name, title, engine, program string, builtin bool) policy.Definition {
		return policy.Definition{
			Definition: azure.Definition{Name: name, Title: title, Description: "A privileged container has every right of the node’s root.", Version: "1.0.0", Category: "Pod security", Fix: "Remove securityContext.privileged, or set it to false.", Parameters: params},
			BuiltIn:    builtin, Kind: "TowpathPrivileged", Engine: engine, Program: program, Digest: PolicyDigest, UsedBy: []string{"baseline", "shop-restricted"},
			Document: json.RawMessage(`{"properties":{"displayName":"` + title + `","mode":"Microsoft.Kubernetes.Data"}}`), By: "user:ada",
		}
	}
	rego := one("image-verdict", "Images are signed by a pipeline of this installation and have no critical finding with a fix", rule.Rego, regoTemplate, false)
	rego.Referential, rego.Category = true, "Supply chain"
	return []policy.Definition{one("container-no-privilege", "Containers must not be privileged", rule.CEL, celTemplate, true), rego, one("run-as-non-root", "Containers must not run as root", rule.CEL, celTemplate, true)}
}

// Definitions lists two.
func (p Policy) Definitions(_ context.Context, a identity.Actor) ([]policy.Definition, error) {
	return definitions(), nil
}

// Definition finds one.
func (p Policy) Definition(_ context.Context, _ identity.Actor, name string) (policy.Definition, error) {
	for _, d := range definitions() {
		if d.Name == name {
			return d, nil
		}
	}
	return policy.Definition{}, fault.New(fault.NotFound, "There is no definition %q.", name)
}

func initiatives() []policy.Initiative {
	return []policy.Initiative{
		{Initiative: azure.Initiative{Name: "baseline", Title: "Pod Security Standards, baseline", Description: "What no workload may do that the platform has no reason to trust.", Version: "1.0.0", Parameters: definitions()[0].Parameters, Members: []azure.Member{
			{Reference: "no-privileged-containers", Definition: "container-no-privilege", Parameters: map[string]any{"effect": "[parameters('effect')]"}}, {Reference: "image-verdict", Definition: "image-verdict"},
		}}, BuiltIn: true, UsedBy: []string{"baseline"}, Document: json.RawMessage(`{"name":"baseline"}`)},
		{Initiative: azure.Initiative{Name: "restricted", Title: "Pod Security Standards, restricted", Version: "1.0.0"}, BuiltIn: true, UsedBy: []string{"shop-restricted"}, Document: json.RawMessage(`{}`)},
	}
}

// Initiatives lists two.
func (p Policy) Initiatives(context.Context, identity.Actor) ([]policy.Initiative, error) {
	return initiatives(), nil
}

// Initiative finds one.
func (p Policy) Initiative(_ context.Context, _ identity.Actor, name string) (policy.Initiative, error) {
	for _, i := range initiatives() {
		if i.Name == name {
			return i, nil
		}
	}
	return policy.Initiative{}, fault.New(fault.NotFound, "There is no initiative %q.", name)
}

// Exemptions lists one that holds and one that has expired.
func (p Policy) Exemptions(ctx context.Context, a identity.Actor, project string) ([]policy.Exemption, error) {
	if err := p.may(ctx, a, project); err != nil || p.f.Empty {
		return nil, err
	}
	one := func(name string, ago, left time.Duration, objects ...rule.ObjectRef) policy.Exemption {
		return policy.Exemption{
			Exemption: azure.Exemption{Name: name, Description: "The packet capture needs the host’s network until the loss is found; see the discussion in #7.", Assignment: "shop-restricted", References: []string{"no-privileged-containers"}, Category: rule.Waiver, Expires: Now.Add(left), Scope: rule.Scope{Kind: rule.Project, Name: "shop"}, Objects: objects},
			Expired:   left < 0, Created: Now.Add(-ago), Changed: Now.Add(-ago), By: "user:ada",
		}
	}
	return []policy.Exemption{
		one("shop-restricted-debug", 50*time.Hour, 5*24*time.Hour, rule.ObjectRef{Group: "apps", Kind: "Deployment", Namespace: "shop-production", Name: "debug"}),
		one("shop-restricted-old", 900*time.Hour, -30*time.Hour),
	}, nil
}

func (p Policy) put(ctx context.Context, a identity.Actor, raw json.RawMessage, kind string, role identity.Role) (policy.Applied, error) {
	if err := p.f.Require(ctx, a, "shop", role); err != nil {
		return policy.Applied{}, err
	}
	var doc struct{ Name string }
	if err := json.Unmarshal(raw, &doc); err != nil {
		return policy.Applied{}, err
	}
	Pulls(p).said("%s %s", kind, raw)
	return policy.Applied{Kind: kind, Name: doc.Name, Action: policy.Created, Set: PolicySet}, nil
}

// Assign notes the document.
func (p Policy) Assign(ctx context.Context, a identity.Actor, raw json.RawMessage) (policy.Applied, error) {
	return p.put(ctx, a, raw, azure.KindAssignment, identity.Maintain)
}

// Exempt notes the document.
func (p Policy) Exempt(ctx context.Context, a identity.Actor, raw json.RawMessage) (policy.Applied, error) {
	return p.put(ctx, a, raw, azure.KindExemption, identity.Admin)
}

// Unassign notes it.
func (p Policy) Unassign(ctx context.Context, a identity.Actor, name string) error {
	Pulls(p).said("unassign %s", name)
	return p.f.Require(ctx, a, "shop", identity.Maintain)
}

// Unexempt notes it.
func (p Policy) Unexempt(ctx context.Context, a identity.Actor, name string) error {
	Pulls(p).said("unexempt %s", name)
	return p.f.Require(ctx, a, "shop", identity.Admin)
}

func decisions() []policy.Decision {
	at := policy.Source{File: "charts/cart/templates/deployment.yaml", Line: 21}
	verdict := func(outcome string) policy.Located {
		v := policy.Located{Verdict: rule.Verdict{Assignment: "shop-restricted", Reference: "no-privileged-containers", Definition: "container-no-privilege", Title: "Containers must not be privileged", Policy: PolicyDigest, Outcome: outcome, Refuses: outcome == rule.Denied, Fix: "Remove securityContext.privileged."}}
		if outcome != rule.Compliant {
			v.Violations = []rule.Violation{{Path: "spec.template.spec.containers[name=debug].securityContext.privileged", Message: "Container debug is privileged."}}
		}
		return v
	}
	root := policy.Located{Verdict: rule.Verdict{Assignment: "baseline", Reference: "run-as-non-root", Definition: "run-as-non-root", Title: "Containers must not run as root", Policy: PolicyDigest, Outcome: rule.Audited, Violations: []rule.Violation{{Path: "spec.template.spec.containers[name=debug].securityContext.runAsUser", Message: "Container debug runs as user 0."}}}, At: []policy.Source{{File: at.File, Line: 22}}}
	cart := func(vs ...policy.Located) policy.Judged {
		return policy.Judged{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "shop-production", Name: "cart", Input: PolicySet, Verdicts: append(vs, verdict(rule.Compliant), verdict(rule.Compliant))}
	}
	service := policy.Judged{Version: "v1", Kind: "Service", Namespace: "shop-production", Name: "cart", Verdicts: []policy.Located{verdict(rule.Compliant)}}
	inPull := verdict(rule.Denied)
	inPull.At = []policy.Source{at}
	d := func(id, point, actor, env string, ago time.Duration, judges []event.Subject, objects ...policy.Judged) policy.Decision {
		allowed := true
		for _, o := range objects {
			for _, v := range o.Verdicts {
				allowed = allowed && !v.Refuses
			}
		}
		return policy.Decision{ID: id, Time: Now.Add(-ago), Point: point, Allowed: allowed, Actor: actor, Judges: judges, Project: "shop", Environment: env, Input: PolicyDigest, Set: PolicySet, Objects: objects}
	}
	pr := d(DecisionPull, policy.PointPull, "system:policy", "production", 2*time.Hour, []event.Subject{"pull:shop/shop/7", event.Of(event.KindCommit, Third)}, cart(inPull, root), service, service)
	pr.Commit, pr.Pull = Third, 7
	staging := d("01JD0000000000000000000PS7", policy.PointPull, "system:policy", "staging", 2*time.Hour, pr.Judges, cart(), service)
	staging.Commit, staging.Pull = Third, 7
	admission := cart(verdict(rule.Denied))
	admission.Operation = "CREATE"
	deploy := d("01JD0000000000000000000DEP", policy.PointDeploy, "run:2040", "production", 30*time.Hour, []event.Subject{"run:2040", "release:shop/production/47"}, cart(verdict(rule.Denied)))
	deploy.Run, deploy.Job = 2040, "Deploy.production"
	return []policy.Decision{d(DecisionAdmission, policy.PointAdmission, "user:bob", "production", 100*time.Minute, nil, admission), pr, staging, deploy}
}

// Decision finds one.
func (p Policy) Decision(ctx context.Context, a identity.Actor, id string) (policy.Decision, error) {
	if err := p.may(ctx, a, "shop"); err != nil {
		return policy.Decision{}, err
	}
	for _, d := range decisions() {
		if d.ID == id {
			return d, nil
		}
	}
	return policy.Decision{}, fault.New(fault.NotFound, "There is no decision %q.", id)
}

// Decisions filters by point, outcome, run and pull request.
func (p Policy) Decisions(ctx context.Context, a identity.Actor, f policy.DecisionFilter) ([]policy.Decision, error) {
	if err := p.may(ctx, a, f.Project); err != nil || p.f.Empty {
		return nil, err
	}
	var out []policy.Decision
	for _, d := range decisions() {
		if (f.Point == "" || d.Point == f.Point) && (f.Allowed == nil || d.Allowed == *f.Allowed) && (f.Run == 0 || d.Run == f.Run) && (f.Pull == 0 || d.Pull == f.Pull) && (f.Environment == "" || d.Environment == f.Environment) {
			out = append(out, d)
		}
	}
	return out, nil
}

// Compliance has live objects with every outcome.
type Compliance struct{ f *Fixture }

// Changed wakes at the next Append.
func (c Compliance) Changed() <-chan struct{} { return Logbook(c).Changed() }

// Progress is done.
func (c Compliance) Progress() audit.Progress {
	return audit.Progress{Objects: 263, Synced: true, Set: PolicySet, Sweeps: 12, Swept: Now.Add(-3 * time.Minute)}
}

// Compliance filters by assignment, outcome and text.
func (c Compliance) Compliance(ctx context.Context, a identity.Actor, f audit.Filter) (audit.Report, error) {
	if err := Policy(c).may(ctx, a, f.Project); err != nil {
		return audit.Report{}, err
	}
	r := audit.Report{Set: PolicySet, Time: Now, Synced: true}
	if c.f.Empty {
		return r, nil
	}
	r.Assignments = []audit.Assignment{
		{Name: "baseline", Policy: PolicyDigest, Objects: 263, Percent: 100, Outcomes: map[string]int{rule.Compliant: 263}, Since: Now.Add(-40 * time.Hour)},
		{Name: "shop-restricted", Policy: PolicyDigest, Objects: 54, Percent: 96.3, Outcomes: map[string]int{rule.Compliant: 50, rule.Denied: 2, rule.Exempt: 2}, Since: Now.Add(-100 * time.Minute)},
		{Name: "supply-chain", Policy: PolicyDigest, Objects: 210, Percent: 99.96, Outcomes: map[string]int{rule.Compliant: 209, rule.Audited: 1}, Since: Now.Add(-9 * time.Hour)},
	}
	one := func(assignment, ref, kind, name, outcome, path, message string, run int64, ago time.Duration) audit.Object {
		return audit.Object{Assignment: assignment, Rule: ref, Title: ref, Policy: PolicyDigest, Cluster: "embedded", UID: name, Group: "apps", Kind: kind, Namespace: "shop-production", Name: name, Project: "shop", Environment: "production", Outcome: outcome, Path: path, Message: message, Violations: 1, FirstSeen: Now.Add(-ago), Since: Now.Add(-ago), Actor: "user:ada", Run: run}
	}
	list := []audit.Object{
		one("shop-restricted", "no-privileged-containers", "Deployment", "cart", rule.Denied, "spec.template.spec.containers[name=debug].securityContext.privileged", "Container debug is privileged.", 2036, 100*time.Minute),
		one("shop-restricted", "run-as-non-root", "StatefulSet", "pricing-with-a-long-name-that-goes-on", rule.Denied, "spec.template.spec.securityContext", "It runs as root.", 0, 26*time.Hour),
		one("supply-chain", "image-verdict", "Pod", "cart-6c54b7d9f-x2k4q", rule.Audited, "spec.containers[name=cart].image", "The image has 1 critical finding with a fix: GO-2024-2687 in golang.org/x/net, fixed in 0.23.0.", 2041, 9*time.Hour),
		one("shop-restricted", "no-privileged-containers", "Deployment", "debug", rule.Exempt, "spec.template.spec.hostNetwork", "It uses the host’s network.", 0, 50*time.Hour),
		one("shop-restricted", "no-privileged-containers", "Deployment", "web", rule.Compliant, "", "", 2041, 300*time.Hour),
	}
	list[3].Exemption = "shop-restricted-debug"
	for _, o := range list {
		fits := f.Outcome == "" || f.Outcome == o.Outcome || f.Outcome == audit.Violated && (o.Outcome == rule.Denied || o.Outcome == rule.Audited)
		if fits && (f.Assignment == "" || o.Assignment == f.Assignment) && (f.Kind == "" || o.Kind == f.Kind) && strings.Contains(o.Name+o.Message, f.Text) {
			r.Objects = append(r.Objects, o)
		}
	}
	r.Total = len(r.Objects)
	return r, nil
}

// Enforcement is in force.
type Enforcement struct{}

// State tells of three policies.
func (Enforcement) State() enforce.Enforcement {
	return enforce.Enforcement{Policies: 17, Webhook: true, Set: PolicySet, Applied: Now.Add(-30 * time.Hour), Drift: 2, Skipped: []enforce.Skipped{{Assignment: "supply-chain", Rule: "image-verdict", Why: "It reads what is known of images."}}}
}

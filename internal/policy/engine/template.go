package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	celschema "github.com/open-policy-agent/gatekeeper/v3/pkg/drivers/k8scel/schema"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/policy/rule"
)

// Annotations of a constraint template that say what its program can do. The value is
// "true".
const (
	AnnotationWorkloads   = "policy.towpath.dev/workloads"   // finds the pod in a workload by itself
	AnnotationReferential = "policy.towpath.dev/referential" // reads what is known of images
)

// MaxTemplate is the largest template in bytes.
const MaxTemplate = 512 << 10

// regoEngine is how a template names the engine Rego.
const regoEngine = "Rego"

// ParseTemplate reads a constraint template (templates.gatekeeper.sh, v1 or v1beta1, YAML
// or JSON). It must have one target, admission.k8s.gatekeeper.sh, with one engine; a
// template with both has CEL, as in Gatekeeper. Whether its program compiles is found by
// Compile.
func ParseTemplate(raw []byte) (rule.Template, error) {
	if len(raw) > MaxTemplate {
		return rule.Template{}, fmt.Errorf("the constraint template has %d bytes, more than %d", len(raw), MaxTemplate)
	}
	text, err := yaml.YAMLToJSON(raw)
	if err != nil {
		return rule.Template{}, fmt.Errorf("parsing a constraint template: %w", err)
	}
	ct, err := decodeTemplate(text)
	if err != nil {
		return rule.Template{}, err
	}
	sum := sha256.Sum256(text)
	t := rule.Template{
		Kind: ct.Spec.CRD.Spec.Names.Kind, Engine: rule.Rego, Digest: "sha256:" + hex.EncodeToString(sum[:]), Raw: text,
		Workloads: ct.Annotations[AnnotationWorkloads] == "true", Referential: ct.Annotations[AnnotationReferential] == "true",
	}
	if !celschema.HasCELEngine(ct) {
		return t, nil
	}
	source, err := celschema.GetSourceFromTemplate(ct)
	if err != nil {
		return rule.Template{}, fmt.Errorf("parsing the CEL program of %s: %w", t.Kind, err)
	}
	t.Engine, t.Native = rule.CEL, native(source)
	if len(t.Native.Validations) == 0 {
		return rule.Template{}, fmt.Errorf("constraint template %s has no validations", t.Kind)
	}
	if len(source.MatchConditions) > 0 || source.FailurePolicy != nil && *source.FailurePolicy != "Fail" {
		return rule.Template{}, fmt.Errorf("constraint template %s: matchCondition and a failurePolicy other than Fail are not supported, a rule that cannot judge refuses", t.Kind)
	}
	return t, nil
}

func native(s *celschema.Source) *rule.Native {
	n := &rule.Native{}
	for _, v := range s.Variables {
		n.Variables = append(n.Variables, rule.Variable{Name: v.Name, Expression: v.Expression})
	}
	for _, v := range s.Validations {
		n.Validations = append(n.Validations, rule.Validation{Expression: v.Expression, Message: v.Message, MessageExpression: v.MessageExpression})
	}
	return n
}

// decodeTemplate reads a template as JSON and checks its shape.
func decodeTemplate(text []byte) (*templates.ConstraintTemplate, error) {
	var u unstructured.Unstructured
	if err := json.Unmarshal(text, &u.Object); err != nil {
		return nil, fmt.Errorf("parsing a constraint template: %w", err)
	}
	if u.GetKind() != "ConstraintTemplate" || !strings.HasPrefix(u.GetAPIVersion(), "templates.gatekeeper.sh/v1") {
		return nil, fmt.Errorf("a constraint template is expected (apiVersion templates.gatekeeper.sh/v1, kind ConstraintTemplate), this is %q %q", u.GetAPIVersion(), u.GetKind())
	}
	// v1beta1 and v1 differ in the default of legacySchema only: without it the old
	// version took any parameters.
	legacy := u.GetAPIVersion() != "templates.gatekeeper.sh/v1"
	var versioned v1.ConstraintTemplate
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &versioned); err != nil {
		return nil, fmt.Errorf("parsing a constraint template: %w", err)
	}
	if v := versioned.Spec.CRD.Spec.Validation; v != nil && v.LegacySchema == nil {
		v.LegacySchema = &legacy
	}
	ct, err := versioned.ToVersionless()
	if err != nil {
		return nil, fmt.Errorf("parsing constraint template %q: %w", u.GetName(), err)
	}
	kind := ct.Spec.CRD.Spec.Names.Kind
	switch {
	case kind == "":
		return nil, fmt.Errorf("constraint template %q: spec.crd.spec.names.kind is missing", u.GetName())
	case u.GetName() != strings.ToLower(kind):
		return nil, fmt.Errorf("constraint template %q: metadata.name must be %q, the kind in lower case", u.GetName(), strings.ToLower(kind))
	case len(ct.Spec.Targets) != 1:
		return nil, fmt.Errorf("constraint template %s has %d targets, one is needed", kind, len(ct.Spec.Targets))
	case len(ct.Spec.Targets[0].Code) == 0:
		return nil, fmt.Errorf("constraint template %s has no program (rego or code)", kind)
	}
	for _, c := range ct.Spec.Targets[0].Code {
		if c.Engine != celschema.Name && c.Engine != regoEngine {
			return nil, fmt.Errorf("constraint template %s: engine %q is not known, %s and %s are", kind, c.Engine, celschema.Name, regoEngine)
		}
	}
	return ct, nil
}

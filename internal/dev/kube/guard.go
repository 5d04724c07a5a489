package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// LabelSessions is the label of a namespace that says whether sessions are forbidden in it,
// and PolicyName the ValidatingAdmissionPolicy that makes the API server insist.
const (
	LabelSessions = "towpath.dev/sessions"
	PolicyName    = "towpath-no-sessions"

	forbidden = "forbidden"
	allowed   = "allowed"
)

// Guard labels namespaces and puts the policy in force.
func (p *Pods) Guard(ctx context.Context, places map[string]bool) error {
	c, _, err := p.client(ctx)
	if err != nil {
		return err
	}
	list, err := c.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing namespaces: %w", err)
	}
	errs := []error{admission(ctx, c)}
	for _, ns := range list.Items {
		no, known := places[ns.Name]
		want := allowed
		if no {
			want = forbidden
		}
		if known && ns.Labels[LabelSessions] != want {
			errs = append(errs, mark(ctx, c, ns.Name, want))
		}
	}
	return errors.Join(errs...)
}

func mark(ctx context.Context, c kubernetes.Interface, namespace, want string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]string{LabelSessions: want}}})
	if err != nil {
		return err
	}
	_, err = c.CoreV1().Namespaces().Patch(ctx, namespace, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("labelling namespace %s: %w", namespace, err)
	}
	return nil
}

// admission puts the policy and its binding in force as they are here, whatever stands
// there.
func admission(ctx context.Context, c kubernetes.Interface) error {
	force := metav1.PatchOptions{FieldManager: "towpath-sessions", Force: new(bool)}
	*force.Force = true
	policies, bindings := c.AdmissionregistrationV1().ValidatingAdmissionPolicies(), c.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	policy, err := json.Marshal(admissionPolicy())
	if err != nil {
		return err
	}
	binding, err := json.Marshal(admissionBinding())
	if err != nil {
		return err
	}
	if _, err := policies.Patch(ctx, PolicyName, types.ApplyPatchType, policy, force); err != nil {
		return fmt.Errorf("applying the admission policy %s: %w", PolicyName, err)
	}
	if _, err := bindings.Patch(ctx, PolicyName, types.ApplyPatchType, binding, force); err != nil {
		return fmt.Errorf("applying the binding of %s: %w", PolicyName, err)
	}
	return nil
}

// admissionPolicy refuses the pods of sessions. Its binding says where. Updates count too:
// a pod cannot become a session's by getting the label later.
func admissionPolicy() *admissionv1.ValidatingAdmissionPolicy {
	fail, scope := admissionv1.Fail, admissionv1.NamespacedScope
	reason := metav1.StatusReasonForbidden
	return &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: PolicyName},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &fail,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Scope: &scope},
				},
			}}},
			Validations: []admissionv1.Validation{{
				Expression: `!has(object.metadata.labels) || !('` + LabelSession + `' in object.metadata.labels)`,
				Message:    "Developers' sessions are forbidden in this namespace: its environment is production, or forbids them. Start the session in another environment.",
				Reason:     &reason,
			}},
		},
	}
}

func admissionBinding() *admissionv1.ValidatingAdmissionPolicyBinding {
	return &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: PolicyName},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName:        PolicyName,
			ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			MatchResources: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{LabelSessions: forbidden}},
			},
		},
	}
}

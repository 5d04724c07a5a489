package deploy

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refusals selects the events of controllers whose pods were not made.
var refusals = metav1.ListOptions{FieldSelector: "reason=FailedCreate"}

// watchRefusals ends the wait when the API server's admission refuses the pods that a
// controller wants to make: it would refuse them for ever, and without this the release
// would wait out its time. It ends with ctx.
func (r *rollout) watchRefusals(ctx context.Context) error {
	list, err := r.client.CoreV1().Events(r.namespace).List(ctx, refusals)
	if err != nil {
		return fmt.Errorf("listing events of %s: %w", r.namespace, err)
	}
	go follow(ctx, list.ResourceVersion, r.client.CoreV1().Events(r.namespace).Watch, refusals, r.refused)
	return nil
}

// refused looks at one event. A quota or a full node may give way; a policy does not.
func (r *rollout) refused(e *corev1.Event) {
	if e.Reason != "FailedCreate" || !strings.Contains(e.Message, "denied request") && !strings.Contains(e.Message, "denied the request") {
		return
	}
	text := strings.TrimPrefix(e.Message, "Error creating: ")
	r.say("%s %s: its pods are refused: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, text)
	r.cancel(fmt.Errorf("%s %s: its pods are refused: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, firstLine(text)))
}

package deploy

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// annotate marks the objects of a release and its pods with where they come from, as
// KubernetesManifest@1 does after its rollout. What cannot be marked is only said.
func (s *Service) annotate(ctx context.Context, m Manifests, r Release, objects []map[string]any, say Say) {
	at, err := s.peek(ctx, m.Target)
	if err != nil {
		say("Warning: nothing was annotated: " + firstLine(err.Error()))
		return
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": m.Notes}})
	if err != nil {
		say("Warning: nothing was annotated: " + firstLine(err.Error()))
		return
	}
	mark := func(o map[string]any, name string) {
		resource, err := at.resource(o)
		if err == nil {
			_, err = resource.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: taskManager})
		}
		if err != nil {
			say(fmt.Sprintf("Warning: %s %s was not annotated: %s", kindOf(o), name, firstLine(err.Error())))
		}
	}
	for _, o := range objects {
		mark(o, nameOf(o))
	}
	for _, p := range r.Pods {
		mark(map[string]any{"apiVersion": "v1", "kind": "Pod"}, p.Name)
	}
}

package pod

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/pipeline/pool"
)

// pullSecret is the name of the secret that opens the registries of a pod's images.
func pullSecret(pod string) string { return pod + "-pull" }

// secrets are those of a pod, in the order in which they are to be made; they go when the pod
// does. The node waits for the token, which is a volume, before it pulls an image: so it comes
// last.
func secrets(s pool.PodSpec, made *corev1.Pod) ([]*corev1.Secret, error) {
	immutable := true
	secret := func(name string, kind corev1.SecretType, key string, data []byte) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Settings.In(), Labels: labels(s), OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: made.Name, UID: made.UID}}},
			Type:       kind, Immutable: &immutable, Data: map[string][]byte{key: data},
		}
	}
	token := secret(s.Name, corev1.SecretTypeOpaque, "token", []byte(s.Token))
	if len(s.Pulls) == 0 {
		return []*corev1.Secret{token}, nil
	}
	config, err := pool.DockerConfig(s.Pulls)
	if err != nil {
		return nil, fmt.Errorf("writing what opens the registries of pod %s: %w", s.Name, err)
	}
	return []*corev1.Secret{secret(pullSecret(s.Name), corev1.SecretTypeDockerConfigJson, corev1.DockerConfigJsonKey, config), token}, nil
}

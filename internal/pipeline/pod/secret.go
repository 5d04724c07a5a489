package pod

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

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
	config, err := dockerConfig(s.Pulls)
	if err != nil {
		return nil, fmt.Errorf("writing what opens the registries of pod %s: %w", s.Name, err)
	}
	return []*corev1.Secret{secret(pullSecret(s.Name), corev1.SecretTypeDockerConfigJson, corev1.DockerConfigJsonKey, config), token}, nil
}

// dockerConfig is the file of docker's own client, which nodes read.
func dockerConfig(pulls []pool.Pull) ([]byte, error) {
	type login struct {
		User     string `json:"username"`
		Password string `json:"password"`
		Auth     string `json:"auth"`
	}
	auths := map[string]login{}
	for _, p := range pulls {
		auth := base64.StdEncoding.EncodeToString([]byte(p.User + ":" + p.Password))
		auths[registryKey(p.Server)] = login{User: p.User, Password: p.Password, Auth: auth}
	}
	return json.Marshal(map[string]any{"auths": auths})
}

// registryKey is how nodes find the login of a registry: by its host, without a path, which
// would mean the repositories below it.
func registryKey(server string) string {
	_, rest, ok := strings.Cut(server, "://")
	if !ok {
		rest = server
	}
	host, _, _ := strings.Cut(strings.ToLower(rest), "/")
	if host == "docker.io" || host == "registry-1.docker.io" || host == "registry.hub.docker.com" {
		return "index.docker.io"
	}
	return host
}

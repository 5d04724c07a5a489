package pod_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"towpath.dev/towpath/internal/pipeline/pod"
	"towpath.dev/towpath/internal/pipeline/pool"
)

// place is a cluster and where its pods find what they need.
type place struct{}

func (place) Admin(context.Context) (*rest.Config, error)  { return &rest.Config{}, nil }
func (place) Image(context.Context) (string, error)        { return "agent", nil }
func (place) Server(context.Context) (string, error)       { return "http://10.1.0.1:7080", nil }
func (place) Pull(context.Context) (*pool.Pull, error)     { return nil, nil }
func (place) Installation(context.Context) (string, error) { return "ours", nil }

// abroad is a place whose nodes need a token for the agent's image.
type abroad struct{ place }

func (abroad) Pull(context.Context) (*pool.Pull, error) {
	return &pool.Pull{Server: "localhost:7080", Repository: "towpath/agent", User: "pull", Password: "once"}, nil
}

// A node of a cluster that is not the platform's own gets what opens the agent's image, beside what
// opens those of the job: the same registry too.
func TestNodesElsewherePullTheAgent(t *testing.T) {
	client := fake.NewClientset()
	pods := pod.New(place{}, abroad{}, func(*rest.Config) (kubernetes.Interface, error) { return client, nil })
	s := spec()
	s.Pulls = []pool.Pull{{Server: "http://localhost:7080", User: "robot", Password: "pw"}}
	if err := pods.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	secret, err := client.CoreV1().Secrets(s.Settings.In()).Get(t.Context(), s.Name+"-pull", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"auths":{"localhost:7080":{"username":"robot","password":"pw","auth":"cm9ib3Q6cHc="},"localhost:7080/towpath/agent":{"username":"pull","password":"once","auth":"cHVsbDpvbmNl"}}}`
	if diff := cmp.Diff(want, string(secret.Data[".dockerconfigjson"])); diff != "" {
		t.Error(diff)
	}
	if len(s.Pulls) != 1 {
		t.Error("the caller's pod was changed")
	}
}

// What opens the registries of a pod's images is there before the token, for which the node
// waits; it belongs to the pod, and no container sees it.
func TestPullSecretsY065(t *testing.T) {
	client := fake.NewClientset()
	pods := pod.New(place{}, place{}, func(*rest.Config) (kubernetes.Interface, error) { return client, nil })
	s := spec()
	s.Containers[0].Endpoint = "hub"
	s.Pulls = []pool.Pull{{Server: "https://R.example.com:5000/v2/", User: "robot", Password: "hunter2"}, {Server: "https://registry.hub.docker.com", User: "me", Password: "pw"}}
	if err := pods.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	var made []*corev1.Secret
	var of *corev1.Pod
	for _, a := range client.Actions() {
		if c, ok := a.(clienttesting.CreateAction); ok {
			switch o := c.GetObject().(type) {
			case *corev1.Secret:
				made = append(made, o)
			case *corev1.Pod:
				of = o
			}
		}
	}
	if len(made) != 2 || made[0].Name != s.Name+"-pull" || made[1].Name != s.Name {
		t.Fatalf("made %v", made)
	}
	want := `{"auths":{"index.docker.io":{"username":"me","password":"pw","auth":"bWU6cHc="},"r.example.com:5000":{"username":"robot","password":"hunter2","auth":"cm9ib3Q6aHVudGVyMg=="}}}`
	if diff := cmp.Diff(want, string(made[0].Data[".dockerconfigjson"])); diff != "" || made[0].Type != corev1.SecretTypeDockerConfigJson {
		t.Error(made[0].Type, diff)
	}
	if o := made[0].OwnerReferences; len(o) != 1 || o[0].Name != s.Name || o[0].Kind != "Pod" {
		t.Errorf("the secret belongs to %v", o)
	}
	if diff := cmp.Diff([]corev1.LocalObjectReference{{Name: s.Name + "-pull"}}, of.Spec.ImagePullSecrets); diff != "" {
		t.Error(diff)
	}
	for _, c := range of.Spec.Containers {
		if policy := c.ImagePullPolicy; (c.Name == "job") != (policy == corev1.PullAlways) {
			t.Errorf("the image of %s is pulled %q", c.Name, policy)
		}
	}
	if text := of.String(); strings.Contains(text, "hunter2") || strings.Contains(text, "cm9ib3Q6") {
		t.Error("the password stands in the pod itself")
	}
	for _, v := range of.Spec.Volumes {
		if v.Secret != nil && v.Secret.SecretName != s.Name {
			t.Errorf("the pod mounts %s", v.Secret.SecretName)
		}
	}
}

package kube

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/monitor/place"
)

// over reports whether a pod has ended for good: its address is free.
func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// subject is what a release is known by.
func subject(p *corev1.Pod) Pod {
	out := Pod{UID: string(p.UID), Namespace: p.Namespace, Name: p.Name, Labels: p.Labels, Annotations: p.Annotations}
	for _, c := range p.Spec.Containers {
		out.Images = append(out.Images, c.Image)
	}
	return out
}

// workloadOf names what a person would: the Deployment behind the ReplicaSet, which is
// named after it and the hash of the pod's template.
func workloadOf(p *corev1.Pod) string {
	o := metav1.GetControllerOf(p)
	if o == nil {
		return "Pod/" + p.Name
	}
	if hash := p.Labels["pod-template-hash"]; o.Kind == "ReplicaSet" && hash != "" {
		if name, ok := strings.CutSuffix(o.Name, "-"+hash); ok {
			return "Deployment/" + name
		}
	}
	return o.Kind + "/" + o.Name
}

// containersOf lists the containers with what runs in them.
func containersOf(p *corev1.Pod) []place.Container {
	status := map[string]corev1.ContainerStatus{}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for _, s := range list {
			status[s.Name] = s
		}
	}
	var out []place.Container
	// The containers proper first: a pod with one of them is of one image, whatever began it.
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for _, c := range list {
			s := status[c.Name]
			out = append(out, place.Container{Name: c.Name, ID: afterScheme(s.ContainerID), Image: c.Image, Digest: digestOf(c.Image, s.ImageID)})
		}
	}
	return out
}

// digestOf returns the digest that an image is pinned to, else the one that was pulled.
func digestOf(image, pulled string) string {
	for _, name := range [...]string{image, pulled} {
		if _, d, ok := strings.Cut(name, "@"); ok && strings.HasPrefix(d, "sha256:") {
			return d
		}
	}
	return ""
}

func afterScheme(id string) string {
	if _, rest, ok := strings.Cut(id, "://"); ok {
		return rest
	}
	return id
}

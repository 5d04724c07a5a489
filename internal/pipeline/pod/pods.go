package pod

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/pool"
)

// Cluster is where the pods run. cluster.Cluster is one.
type Cluster interface {
	// Admin returns a client configuration with the platform's own rights, and
	// fault.Unavailable while the cluster is not ready.
	Admin(ctx context.Context) (*rest.Config, error)
}

// Place says how pods reach what they need.
type Place interface {
	// Image is the image of towpath-agent, by digest.
	Image(ctx context.Context) (string, error)
	// Server is the URL of the server as pods reach it.
	Server(ctx context.Context) (string, error)
}

// Pods makes the pods of agents. It is safe for concurrent use.
type Pods struct {
	cluster Cluster
	place   Place
	connect func(*rest.Config) (kubernetes.Interface, error)
}

// New returns the pods of a cluster. connect makes a client of a configuration; nil is
// client-go's own.
func New(c Cluster, p Place, connect func(*rest.Config) (kubernetes.Interface, error)) *Pods {
	if connect == nil {
		connect = func(cfg *rest.Config) (kubernetes.Interface, error) { return kubernetes.NewForConfig(cfg) }
	}
	return &Pods{cluster: c, place: p, connect: connect}
}

func (p *Pods) client(ctx context.Context) (kubernetes.Interface, error) {
	cfg, err := p.cluster.Admin(ctx)
	if err != nil {
		return nil, err
	}
	c, err := p.connect(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a client of the cluster: %w", err)
	}
	return c, nil
}

// Create makes a pod and the secret with its token, which goes when the pod does. What the
// cluster refuses is fault.Denied with its words.
func (p *Pods) Create(ctx context.Context, s pool.PodSpec) error {
	c, err := p.client(ctx)
	if err != nil {
		return err
	}
	image, err := p.place.Image(ctx)
	if err != nil {
		return fmt.Errorf("finding the agent's image: %w", err)
	}
	server, err := p.place.Server(ctx)
	if err != nil {
		return err
	}
	if err := p.prepare(ctx, c, s.Settings); err != nil {
		return err
	}
	made, err := c.CoreV1().Pods(s.Settings.In()).Create(ctx, Spec(s, server, image), metav1.CreateOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return fault.Wrap(fault.Denied, err, "The cluster refuses the pod of the job: %v", err)
	}
	if err != nil {
		return fmt.Errorf("making the pod %s: %w", s.Name, err)
	}
	immutable := true
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Settings.In(), Labels: labels(s), OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: made.Name, UID: made.UID}}},
		Immutable:  &immutable, Data: map[string][]byte{"token": []byte(s.Token)},
	}
	if _, err := c.CoreV1().Secrets(s.Settings.In()).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return errors.Join(fmt.Errorf("making the secret of pod %s: %w", s.Name, err), p.Delete(ctx, s.Settings, s.Name, true))
	}
	return nil
}

// prepare makes the namespace of the pods and what protects them.
func (p *Pods) prepare(ctx context.Context, c kubernetes.Interface, s pool.Settings) error {
	_, err := c.NetworkingV1().NetworkPolicies(s.In()).Get(ctx, "towpath-agents", metav1.GetOptions{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("looking for the namespace of agents: %w", err)
	}
	if _, err := c.CoreV1().Namespaces().Create(ctx, namespace(s), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the namespace of agents: %w", err)
	}
	if _, err := c.NetworkingV1().NetworkPolicies(s.In()).Create(ctx, closed(s), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the network policy of agents: %w", err)
	}
	return nil
}

// stuck are the reasons for which a container that waits will not begin.
var stuck = []string{"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"}

// List returns how the pods of a pool are.
func (p *Pods) List(ctx context.Context, poolName string, s pool.Settings) ([]pool.PodState, error) {
	c, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	selector := LabelPool + "=" + labels(pool.PodSpec{Pool: poolName})[LabelPool]
	list, err := c.CoreV1().Pods(s.In()).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("listing the pods of pool %s: %w", poolName, err)
	}
	out := make([]pool.PodState, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, state(&list.Items[i]))
	}
	return out, nil
}

// state sums up how a pod is. One of whose containers has ended before the agent's has is of
// no use any more.
func state(p *corev1.Pod) pool.PodState {
	s := pool.PodState{Name: p.Name, Over: p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded || p.DeletionTimestamp != nil}
	if s.Over {
		s.Why = p.Status.Message
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		switch t, w := c.State.Terminated, c.State.Waiting; {
		case t != nil && (c.Name == "agent" || t.ExitCode != 0):
			s.Over, s.Why = true, fmt.Sprintf("container %s ended with exit code %d %s", c.Name, t.ExitCode, t.Reason)
		case w != nil && slices.Contains(stuck, w.Reason):
			s.Stuck, s.Why = true, fmt.Sprintf("container %s: %s: %s", c.Name, w.Reason, w.Message)
		}
	}
	return s
}

// Delete takes a pod away; one that is gone is no error. now leaves its programs no time.
func (p *Pods) Delete(ctx context.Context, s pool.Settings, name string, now bool) error {
	c, err := p.client(ctx)
	if err != nil {
		return err
	}
	o := metav1.DeleteOptions{}
	if now {
		o.GracePeriodSeconds = new(int64)
	}
	if err := c.CoreV1().Pods(s.In()).Delete(ctx, name, o); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing the pod %s: %w", name, err)
	}
	return nil
}

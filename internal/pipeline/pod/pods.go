package pod

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	// Pull is what opens the registry of that image to the nodes, nil when they need nothing.
	Pull(ctx context.Context) (*pool.Pull, error)
	// Server is the URL of the server as pods reach it.
	Server(ctx context.Context) (string, error)
	// Installation tells the pods of this server from those of others in the same cluster; it
	// can stand in a label.
	Installation(ctx context.Context) (string, error)
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
	pull, err := p.place.Pull(ctx)
	if err != nil {
		return err
	}
	if pull != nil {
		s.Pulls = append(slices.Clone(s.Pulls), *pull)
	}
	installation, err := p.place.Installation(ctx)
	if err != nil {
		return err
	}
	want := Spec(s, server, image)
	want.Labels[LabelInstallation] = installation
	made, err := c.CoreV1().Pods(s.Settings.In()).Create(ctx, want, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return fault.Wrap(fault.Denied, err, "The cluster refuses the pod of the job: %v", err)
	}
	if err != nil {
		return fmt.Errorf("making the pod %s: %w", s.Name, err)
	}
	all, err := secrets(s, made)
	if err != nil {
		return errors.Join(err, p.remove(ctx, c, s.Settings.In(), s.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	}
	for _, secret := range all {
		if _, err := c.CoreV1().Secrets(s.Settings.In()).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
			return errors.Join(fmt.Errorf("making the secret of pod %s: %w", s.Name, err), p.remove(ctx, c, s.Settings.In(), s.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
		}
	}
	return nil
}

// prepare makes the namespace of the pods and what protects them. A namespace of ours that was
// made for pods without root is opened to one whose pool allows it, never the other way.
func (p *Pods) prepare(ctx context.Context, c kubernetes.Interface, s pool.Settings) error {
	want := namespace(s)
	got, err := c.CoreV1().Namespaces().Get(ctx, want.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = c.CoreV1().Namespaces().Create(ctx, want, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = nil
		}
	case err == nil && s.Root && got.Labels[labelManaged] == "towpath" && got.Labels[labelSecurity] == "restricted":
		got.Labels[labelSecurity] = want.Labels[labelSecurity]
		_, err = c.CoreV1().Namespaces().Update(ctx, got, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("making the namespace of agents: %w", err)
	}
	_, err = c.NetworkingV1().NetworkPolicies(s.In()).Get(ctx, "towpath-agents", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = c.NetworkingV1().NetworkPolicies(s.In()).Create(ctx, closed(s), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("making the network policy of agents: %w", err)
	}
	return nil
}

// List returns how all pods of agents of this installation are, whatever their pool.
func (p *Pods) List(ctx context.Context) ([]pool.PodState, error) {
	c, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	installation, err := p.place.Installation(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: LabelPool + "," + LabelInstallation + "=" + installation})
	if err != nil {
		return nil, fmt.Errorf("listing the pods of agents: %w", err)
	}
	out := make([]pool.PodState, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, state(&list.Items[i]))
	}
	return out, nil
}

// Delete takes a pod away; one that is gone is no error.
func (p *Pods) Delete(ctx context.Context, namespace, name string) error {
	c, err := p.client(ctx)
	if err != nil {
		return err
	}
	return p.remove(ctx, c, namespace, name, metav1.DeleteOptions{})
}

func (p *Pods) remove(ctx context.Context, c kubernetes.Interface, namespace, name string, o metav1.DeleteOptions) error {
	if err := c.CoreV1().Pods(namespace).Delete(ctx, name, o); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing the pod %s: %w", name, err)
	}
	return nil
}

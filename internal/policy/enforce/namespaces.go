package enforce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
)

// Namespaces knows the labels of a cluster's namespaces, for programs that read them. It is
// safe for concurrent use.
type Namespaces struct {
	cluster Cluster
	logger  *slog.Logger
	mu      sync.Mutex
	labels  map[string]map[string]string
}

// NewNamespaces returns the namespaces of a cluster.
func NewNamespaces(c Cluster, logger *slog.Logger) *Namespaces {
	return &Namespaces{cluster: c, logger: logger, labels: map[string]map[string]string{}}
}

// Labels returns the labels of a namespace, nil when it is not known. They must not be
// changed.
func (n *Namespaces) Labels(namespace string) map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.labels[namespace]
}

// Run follows the namespaces until ctx ends. It waits for the cluster and comes back after
// it was away.
func (n *Namespaces) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := n.cluster.Changed()
		if err := n.follow(ctx); err != nil && ctx.Err() == nil {
			n.logger.Debug("namespaces are not followed", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(retryEvery):
		}
	}
	return nil
}

func (n *Namespaces) follow(ctx context.Context) error {
	if err := n.cluster.Await(ctx); err != nil {
		return err
	}
	cfg, err := n.cluster.Admin(ctx)
	if err != nil {
		return err
	}
	client, err := metadata.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	c := client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces"))
	l, err := c.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing namespaces: %w", err)
	}
	all := map[string]map[string]string{}
	for _, i := range l.Items {
		all[i.Name] = maps.Clone(i.Labels)
	}
	n.mu.Lock()
	n.labels = all
	n.mu.Unlock()
	w, err := c.Watch(ctx, metav1.ListOptions{ResourceVersion: l.ResourceVersion})
	if err != nil {
		return fmt.Errorf("watching namespaces: %w", err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		m, ok := e.Object.(*metav1.PartialObjectMetadata)
		if !ok {
			break
		}
		n.mu.Lock()
		if e.Type == watch.Deleted {
			delete(n.labels, m.Name)
		} else {
			n.labels[m.Name] = maps.Clone(m.Labels)
		}
		n.mu.Unlock()
	}
	return errors.New("the watch of namespaces ended")
}

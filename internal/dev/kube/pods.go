package kube

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/fault"
)

// Labels of what belongs to a session.
const (
	LabelSession   = "towpath.dev/session"    // its id, in lower case
	LabelSessionOf = "towpath.dev/session-of" // the service that it stands in for
)

// Pods makes and reads the objects of sessions. It is safe for concurrent use.
type Pods struct {
	clusters dev.Clusters
	images   dev.Images
	connect  func(*rest.Config) (kubernetes.Interface, error)
}

var _ dev.Pods = (*Pods)(nil)

// New returns the pods of a cluster. connect makes a client of a configuration; nil is
// client-go's own.
func New(c dev.Clusters, i dev.Images, connect func(*rest.Config) (kubernetes.Interface, error)) *Pods {
	if connect == nil {
		connect = func(cfg *rest.Config) (kubernetes.Interface, error) { return kubernetes.NewForConfig(cfg) }
	}
	return &Pods{clusters: c, images: i, connect: connect}
}

func (p *Pods) client(ctx context.Context) (kubernetes.Interface, *rest.Config, error) {
	if err := p.clusters.Await(ctx); err != nil {
		return nil, nil, err
	}
	cfg, err := p.clusters.Admin(ctx)
	if err != nil {
		return nil, nil, err
	}
	c, err := p.connect(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("making a client of the cluster: %w", err)
	}
	return c, cfg, nil
}

// Logs returns the last lines that the session's pod wrote.
func (p *Pods) Logs(ctx context.Context, s dev.Session, lines int) (string, error) {
	c, _, err := p.client(ctx)
	if err != nil {
		return "", err
	}
	n, limit := int64(lines), int64(1<<20)
	r, err := c.CoreV1().Pods(s.Namespace).GetLogs(name(s), &corev1.PodLogOptions{TailLines: &n, LimitBytes: &limit}).Stream(ctx)
	if err != nil {
		return "", fault.Wrap(fault.Unavailable, err, "The log of session %s cannot be read: its pod is not there or does not answer.", s.ID)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit))
	return string(b), err
}

var deleteNow = metav1.DeleteOptions{GracePeriodSeconds: new(int64)}

package deploy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/fault"
)

// leaseName is the one Lease of an environment's namespace.
const leaseName = "towpath-release"

// A holder that has not renewed for leaseTTL is gone; leaseRenew is how often it renews.
const (
	leaseTTL   = 30 * time.Second
	leaseRenew = 10 * time.Second
)

// locks makes releases of one environment wait for each other within this process.
type locks struct {
	mu sync.Mutex
	m  map[string]chan struct{}
}

func newLocks() *locks { return &locks{m: map[string]chan struct{}{}} }

// take waits for the key; the function returned gives it back.
func (l *locks) take(ctx context.Context, key string) (func(), error) {
	l.mu.Lock()
	ch, ok := l.m[key]
	if !ok {
		ch = make(chan struct{}, 1)
		l.m[key] = ch
	}
	l.mu.Unlock()
	select {
	case ch <- struct{}{}:
		return func() { <-ch }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lease takes the Lease of a namespace for a holder and renews it until the function
// returned is called. Another server's live lease is a conflict.
func lease(ctx context.Context, c kubernetes.Interface, namespace, holder string, log *slog.Logger) (func(), error) {
	api := c.CoordinationV1().Leases(namespace)
	now := metav1.NowMicro()
	seconds := int32(leaseTTL / time.Second)
	want := coordination.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now}
	got, err := api.Get(ctx, leaseName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		got, err = api.Create(ctx, &coordination.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaseName}, Spec: want}, metav1.CreateOptions{})
	case err == nil && live(got, now.Time):
		return nil, fault.New(fault.Conflict, "A release to namespace %s is under way (%s).", namespace, *got.Spec.HolderIdentity).
			WithNext("wait for it, or run again")
	case err == nil:
		got.Spec = want
		got, err = api.Update(ctx, got, metav1.UpdateOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("taking the release lease of namespace %s: %w", namespace, err)
	}
	renewing, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		renew(renewing, c, got, log)
	}()
	return func() {
		stop()
		<-done
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := api.Delete(clean, leaseName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			log.Warn("release lease was not given back; it expires by itself", "namespace", namespace, "error", err)
		}
	}, nil
}

func live(l *coordination.Lease, now time.Time) bool {
	return l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity != "" && l.Spec.RenewTime != nil && now.Sub(l.Spec.RenewTime.Time) < leaseTTL
}

func renew(ctx context.Context, c kubernetes.Interface, l *coordination.Lease, log *slog.Logger) {
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := metav1.NowMicro()
		l.Spec.RenewTime = &now
		got, err := c.CoordinationV1().Leases(l.Namespace).Update(ctx, l, metav1.UpdateOptions{})
		if err != nil {
			if ctx.Err() == nil {
				log.Warn("renewing the release lease", "namespace", l.Namespace, "error", err)
			}
			continue
		}
		l = got
	}
}

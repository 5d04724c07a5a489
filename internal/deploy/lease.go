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

// A holder that has not renewed for leaseTTL is gone; leaseRenew is how often it renews,
// leaseAsk how often somebody who waits looks again.
const (
	leaseTTL   = 15 * time.Second
	leaseRenew = 5 * time.Second
	leaseAsk   = time.Second
)

// locks makes releases of one environment wait for each other within this process.
type locks struct {
	mu sync.Mutex
	m  map[string]chan struct{}
}

func newLocks() *locks { return &locks{m: map[string]chan struct{}{}} }

// of returns the channel of a key: it is full while somebody has the key.
func (l *locks) of(key string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch, ok := l.m[key]
	if !ok {
		ch = make(chan struct{}, 1)
		l.m[key] = ch
	}
	return ch
}

// take waits for the key; the function returned gives it back.
func (l *locks) take(ctx context.Context, key string) (func(), error) {
	ch := l.of(key)
	select {
	case ch <- struct{}{}:
		return func() { <-ch }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lease takes the Lease of a namespace for a holder and renews it until the function
// returned is called. A lease that somebody else renews is a conflict. One that nobody
// renews any more, as a server that was killed leaves it, is waited for: it expires.
func lease(ctx context.Context, c kubernetes.Interface, namespace, holder string, say Say, log *slog.Logger) (func(), error) {
	var first *coordination.Lease
	var got *coordination.Lease
	for {
		var held bool
		var err error
		got, held, err = tryLease(ctx, c, namespace, holder)
		if err != nil {
			return nil, fmt.Errorf("taking the release lease of namespace %s: %w", namespace, err)
		}
		if !held {
			break
		}
		switch {
		case first == nil:
			first = got
			say(fmt.Sprintf("Namespace %s is held by %s; waiting up to %s to see whether it is still at work.", namespace, *got.Spec.HolderIdentity, leaseTTL))
		case !got.Spec.RenewTime.Equal(first.Spec.RenewTime):
			return nil, fault.New(fault.Conflict, "A release to namespace %s is under way (%s).", namespace, *got.Spec.HolderIdentity).
				WithNext("wait for it, or run again")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(leaseAsk):
		}
	}
	return keepLease(ctx, c, got, log), nil
}

// tryLease takes the Lease if it is free or expired; held says that it is not, and then
// the Lease is the one that somebody else holds.
func tryLease(ctx context.Context, c kubernetes.Interface, namespace, holder string) (l *coordination.Lease, held bool, err error) {
	api := c.CoordinationV1().Leases(namespace)
	now := metav1.NowMicro()
	seconds := int32(leaseTTL / time.Second)
	want := coordination.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now}
	l, err = api.Get(ctx, leaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		l, err = api.Create(ctx, &coordination.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaseName, Namespace: namespace}, Spec: want}, metav1.CreateOptions{})
		return l, false, err
	}
	if err != nil || live(l, now.Time) {
		return l, err == nil, err
	}
	l.Spec = want
	// The API server refuses the update when somebody else was quicker.
	l, err = api.Update(ctx, l, metav1.UpdateOptions{})
	return l, false, err
}

// keepLease renews a Lease until the function returned gives it back.
func keepLease(ctx context.Context, c kubernetes.Interface, l *coordination.Lease, log *slog.Logger) func() {
	renewing, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		renew(renewing, c, l, log)
	}()
	return func() {
		stop()
		<-done
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := c.CoordinationV1().Leases(l.Namespace).Delete(clean, leaseName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			log.Warn("release lease was not given back; it expires by itself", "namespace", l.Namespace, "error", err)
		}
	}
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

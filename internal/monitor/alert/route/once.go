package route

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"
)

// Once sends an alert to the receivers that the routes name for it, once each: it is not
// grouped, not repeated and never resolved. Receivers that open work items are left out. It
// returns an attempt for each receiver; the error joins those of the ones that failed. A
// silence keeps it from everybody.
func (r *Router) Once(ctx context.Context, a Alert) ([]Attempt, error) {
	if silences, inhibited := r.Held(ctx, a.Labels); len(silences) > 0 || inhibited {
		return nil, nil
	}
	r.mu.Lock()
	root, receivers := r.root, r.receivers
	r.mu.Unlock()
	if root == nil {
		return nil, nil
	}
	var out []Attempt
	var errs []error
	told := map[string]bool{nowhere: true}
	for _, m := range root.Match(set(a.Labels)) {
		name := m.RouteOpts.Receiver
		to, ok := receivers[name]
		if told[name] || !ok || to.Kind == Item {
			continue
		}
		told[name] = true
		got, err := r.once(ctx, to, a)
		out, errs = append(out, got), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// Test sends one invented alert to a receiver, once, and returns the error.
func (r *Router) Test(ctx context.Context, to Receiver, a Alert) (Attempt, error) {
	got, err := r.once(ctx, to, a)
	got.Reason = "test"
	return got, err
}

// once sends one alert to a receiver, past the dispatcher.
func (r *Router) once(ctx context.Context, to Receiver, a Alert) (Attempt, error) {
	var got Attempt
	o := r.opts
	o.Record = func(x Attempt) { got = x }
	n, err := o.notifier(to, r.template, o.Logger)
	if err != nil {
		return Attempt{}, err
	}
	now := time.Now()
	ctx = notify.WithGroupKey(ctx, "{}/{once}:"+key(to.Project, to.Name)+"/"+a.URL)
	ctx = notify.WithNow(ctx, now)
	ctx = notify.WithReceiverName(ctx, key(to.Project, to.Name))
	ctx = notify.WithGroupLabels(ctx, set(a.Labels))
	ctx = notify.WithRepeatInterval(ctx, DefaultRepeatInterval)
	ctx = notify.WithNflogStore(ctx, nflog.NewStore(nil))
	ctx = notify.WithNotificationReason(ctx, notify.ReasonFirstNotification)
	_, err = n.Notify(ctx, &alert.Alert{
		Alert:     model.Alert{Labels: set(a.Labels), Annotations: set(a.Annotations), StartsAt: a.Starts, EndsAt: a.Ends, GeneratorURL: a.URL},
		UpdatedAt: now,
	})
	got.Retry = false
	return got, err
}

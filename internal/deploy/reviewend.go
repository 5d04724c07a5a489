package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// stillThere wants that a review app did not end while somebody waited for it.
func (s *Service) stillThere(ctx context.Context, env Environment) error {
	if env.Review == nil {
		return nil
	}
	now, err := environment(ctx, s.DB, env.Project, env.Name)
	if err == nil && !now.review().Ended.IsZero() {
		err = fault.New(fault.Conflict, "Review app %s has ended.", env.Name)
	}
	return err
}

// EndReviewApp takes a review app away with its namespace; it needs the role write. One that has
// ended is no error.
func (s *Service) EndReviewApp(ctx context.Context, a identity.Actor, project, name string) (Environment, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return Environment{}, err
	}
	env, err := environment(ctx, s.DB, project, name)
	if err != nil {
		return env, err
	}
	if env.Review == nil {
		return env, fault.New(fault.Invalid, "Environment %s is no review app.", name).WithNext("only review apps end; `towpath env list` shows them")
	}
	if env.Review.Ended.IsZero() {
		if err := s.endReview(ctx, a, env, "ended by "+a.Name); err != nil {
			return env, err
		}
	}
	return environment(ctx, s.DB, project, name)
}

// SweepReviewApps has the review apps looked at soon whose pull request may be over.
func (s *Service) SweepReviewApps() {
	select {
	case s.review.wake <- struct{}{}:
	default:
	}
}

// reviewAll takes review apps away that are over, until ctx ends.
func (s *Service) reviewAll(ctx context.Context) {
	tick := time.NewTicker(reviewEvery)
	defer tick.Stop()
	for {
		if err := s.sweepReviews(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Warn("a review app is not taken away; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.review.wake:
		}
	}
}

// sweepReviews ends the review apps whose pull request is not open, or whose environment has
// none any more.
func (s *Service) sweepReviews(ctx context.Context) error {
	if s.Pulls == nil {
		return nil
	}
	list, err := scanEnvironments(ctx, s.DB, `base <> '' AND ended = 0`)
	if err != nil {
		return err
	}
	var errs []error
	for _, env := range list {
		why, err := s.overReview(ctx, env)
		if err == nil && why != "" {
			err = s.endReview(ctx, identity.SystemActor("deploy"), env, why)
		}
		errs = append(errs, err) // One that cannot end keeps no other.
	}
	return errors.Join(errs...)
}

// overReview is why a review app is over, "" while it is not.
func (s *Service) overReview(ctx context.Context, env Environment) (string, error) {
	base, err := environment(ctx, s.DB, env.Project, env.Review.Base)
	if err != nil {
		return "", err
	}
	if base.ReviewApps != On {
		return "environment " + base.Name + " has no review apps any more", nil
	}
	open, err := s.Pulls.Open(ctx, env.Review.Repo, env.Review.Pull)
	if fault.Is(err, fault.NotFound) || err == nil && !open {
		return fmt.Sprintf("pull request %d is not open any more", env.Review.Pull), nil
	}
	return "", err
}

// endReview takes a review app away: a release of it that is under way comes to its end first.
// Its namespace, which holds nothing else, is deleted; the cluster does that in its own time.
func (s *Service) endReview(ctx context.Context, a identity.Actor, env Environment, why string) error {
	ctx, at, err := s.occupy(ctx, env, a.String(), func(string) {})
	if err != nil {
		return err
	}
	defer at.free()
	if open, err := s.openCanary(ctx, env); err != nil {
		return err
	} else if open != nil {
		if err := s.supersede(ctx, at, open.View.Release, a.String(), func(string) {}); err != nil {
			return err
		}
	}
	if err := dropNamespace(ctx, at.admin, env); err != nil {
		return err
	}
	if err := s.keepDrifts(ctx, env, nil); err != nil {
		return err
	}
	now := s.Clock.Now().UnixMilli()
	return s.DB.Tx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		for _, do := range []string{
			`UPDATE environment SET ended = ? WHERE project = ? AND name = ?`,
			`UPDATE release SET removed = ? WHERE project = ? AND environment = ? AND removed = 0`,
		} {
			if _, err := tx.Exec(ctx, do, now, env.Project, env.Name); err != nil {
				return fmt.Errorf("recording the end of review app %s: %w", env.Name, err)
			}
		}
		return s.Log.Append(ctx, tx, event.Fact{
			Type: event.TypeEnvironmentEnded, Subject: event.Of(event.KindPull, fmt.Sprintf("%s/%d", env.Review.Repo, env.Review.Pull)), Project: env.Project, Actor: a.String(),
			Payload: event.EnvironmentEnded{V: 1, Environment: env.Name, Namespace: env.Namespace, Repo: env.Review.Repo, Pull: env.Review.Pull, Why: why},
		})
	})
}

// dropNamespace deletes the namespace of a review app. occupy has looked at its labels; one that
// a person handed over, which bears no installation, stays. The precondition keeps another one
// of the same name alive.
func dropNamespace(ctx context.Context, c kubernetes.Interface, env Environment) error {
	ns, err := c.CoreV1().Namespaces().Get(ctx, env.Namespace, metav1.GetOptions{})
	if err == nil && ns.Labels[labelInstallation] != "" {
		err = c.CoreV1().Namespaces().Delete(ctx, env.Namespace, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &ns.UID}})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting namespace %s: %w", env.Namespace, err)
	}
	return nil
}

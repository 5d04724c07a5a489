package deploy

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// How many review apps there may be at a time: of one environment, and of one pull request in it.
const (
	maxReviewApps = 20
	maxOfPull     = 5
)

// reviewEvery is how often it is asked which review apps have lost their pull request;
// terminating is how long a new one waits for the namespace of the last to go.
const (
	reviewEvery = time.Minute
	terminating = 2 * time.Minute
)

// Pulls knows the pull requests.
type Pulls interface {
	// Open reports whether a pull request of a repository ("project/repo") is open: not
	// merged, not closed. One that never was is fault.NotFound.
	Open(ctx context.Context, repo string, number int64) (bool, error)
}

// Review is about a review app.
type Review struct {
	Base  string    `json:"base" doc:"environment that it is a review app of"`
	Repo  string    `json:"repo" doc:"of the pull request: project/repo"`
	Pull  int64     `json:"pull"`
	Ended time.Time `json:"ended,omitzero" doc:"when it was taken away"`
}

// review is what is stored of an environment about its pull request.
func (e Environment) review() Review {
	if e.Review == nil {
		return Review{}
	}
	return *e.Review
}

// reviews lets only one review app begin at a time, and wakes who looks for those that are over.
type reviews struct {
	begin sync.Mutex
	wake  chan struct{}
}

func newReviews() *reviews { return &reviews{wake: make(chan struct{}, 1)} }

// ReviewApps reports whether runs of pull requests may make review apps of an environment;
// false when there is no such environment. It asks for no rights: it is for the platform itself.
func (s *Service) ReviewApps(ctx context.Context, h store.Handle, project, name string) (bool, error) {
	env, err := environment(ctx, h, project, name)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil && env.ReviewApps == On && s.Pulls != nil, err
}

// mayHaveReviewApps says why an environment can have no review apps.
func mayHaveReviewApps(env Environment) error {
	switch {
	case env.Review != nil:
		return fault.New(fault.Invalid, "Environment %s is a review app, which has none itself.", env.Name).WithNext("change environment %s", env.Review.Base)
	case env.Connection != "":
		return fault.New(fault.Invalid, "Environment %s is on the cluster of the connection %s; review apps are made on the platform's own.", env.Name, env.Connection).
			WithNext("turn them on for an environment of the platform's cluster")
	case env.Production():
		return fault.New(fault.Invalid, "Environment %s is production; what nobody has reviewed does not stand beside it.", env.Name).
			WithNext("make one for reviews: towpath env create review --project %s", env.Project)
	}
	return nil
}

// MakeReviewApp makes the review app that the actor's job names, or finds the one that an
// earlier run of the same pull request made: the step reviewApp. It is a namespace of its own,
// to which the run has rights and to nothing else; it goes when the pull request is merged or
// closed. fault.Denied when the environment has no review apps, or the pull request is not open;
// fault.Conflict when another pull request has it, or there are as many as there may be.
func (s *Service) MakeReviewApp(ctx context.Context, a identity.Actor, say Say) (Environment, error) {
	job := a.Job
	if err := s.Auth.Require(ctx, a, job.Project, identity.Write); err != nil {
		return Environment{}, err
	}
	name, resource, ok := event.ReviewApp(job.Environment)
	if !ok || job.Pull == 0 || s.Pulls == nil {
		return Environment{}, fault.New(fault.Denied, "Job %s.%s has no review app.", job.Stage, job.Job).
			WithNext("the step reviewApp belongs into a deployment job of the run of a pull request")
	}
	s.review.begin.Lock()
	defer s.review.begin.Unlock()
	base, err := s.reviewable(ctx, job, name)
	if err != nil {
		return Environment{}, err
	}
	env, err := environment(ctx, s.DB, job.Project, job.Environment)
	switch {
	case fault.Is(err, fault.NotFound):
		env = Environment{
			Project: job.Project, Name: job.Environment, Namespace: base.Namespace + "-" + resource, Created: s.Clock.Now(),
			Review: &Review{Base: base.Name, Repo: job.Repo, Pull: job.Pull}, Settings: Settings{Sessions: base.Sessions},
		}
		if len(env.Name) > 63 || len(env.Namespace) > 63 || !envName.MatchString(resource) {
			return env, fault.New(fault.Invalid, "The review app %s would have the namespace %s; both may have at most 63 characters.", env.Name, env.Namespace).
				WithNext("name a shorter resource in the step reviewApp")
		}
		if err := s.roomForReview(ctx, env); err != nil {
			return env, err
		}
		if env, err = s.record(ctx, a, env); err != nil {
			return env, err
		}
		say(fmt.Sprintf("Review app %s is made: namespace %s. It goes when pull request %d is merged or closed.", env.Name, env.Namespace, job.Pull))
		return env, nil
	case err != nil:
		return env, err
	case !env.Review.Ended.IsZero():
		return s.reviveReview(ctx, a, env, say)
	}
	if err := env.belongsTo(job); err != nil {
		return env, err
	}
	say(fmt.Sprintf("Review app %s is there: namespace %s.", env.Name, env.Namespace))
	return env, nil
}

// reviewable returns the environment that a job's review app is of, when it has review apps and
// the pull request is open.
func (s *Service) reviewable(ctx context.Context, job identity.JobClaims, name string) (Environment, error) {
	base, err := environment(ctx, s.DB, job.Project, name)
	if err != nil {
		return base, err
	}
	if base.ReviewApps != On {
		return base, fault.New(fault.Denied, "Environment %s has no review apps.", name).WithNext("who maintains the project turns them on: towpath env edit %s --review-apps on", name)
	}
	open, err := s.Pulls.Open(ctx, job.Repo, job.Pull)
	if err != nil {
		return base, err
	}
	if !open {
		return base, fault.New(fault.Denied, "Pull request %d of %s is not open any more, so it has no review app.", job.Pull, job.Repo)
	}
	return base, nil
}

// belongsTo wants that a review app is of the pull request of a job.
func (e Environment) belongsTo(job identity.JobClaims) error {
	if r := e.review(); r.Pull == job.Pull && r.Repo == job.Repo {
		return nil
	}
	return fault.New(fault.Conflict, "Review app %s belongs to pull request %d of %s.", e.Name, e.review().Pull, e.review().Repo).
		WithNext("let the name of the resource hold $(System.PullRequest.PullRequestId), or leave it out of `environment`")
}

// roomForReview wants that there may be one review app more.
func (s *Service) roomForReview(ctx context.Context, env Environment) error {
	list, err := scanEnvironments(ctx, s.DB, `project = ? AND base = ? AND ended = 0`, env.Project, env.Review.Base)
	if err != nil {
		return err
	}
	own := 0
	for _, e := range list {
		if e.Review.Pull == env.Review.Pull && e.Review.Repo == env.Review.Repo {
			own++
		}
	}
	switch {
	case own >= maxOfPull:
		return fault.New(fault.Conflict, "Pull request %d has %d review apps in environment %s, as many as it may have.", env.Review.Pull, own, env.Review.Base).
			WithNext("use one for several services, or end one: towpath env end NAME")
	case len(list) >= maxReviewApps:
		return fault.New(fault.Conflict, "Environment %s has %d review apps, as many as it may have.", env.Review.Base, len(list)).
			WithNext("merge or close a pull request, or end a review app: towpath env end NAME")
	}
	return nil
}

// reviveReview makes a review app again that had ended: its pull request was opened again, or
// another one uses the same name.
func (s *Service) reviveReview(ctx context.Context, a identity.Actor, env Environment, say Say) (Environment, error) {
	env.Review = &Review{Base: env.Review.Base, Repo: a.Job.Repo, Pull: a.Job.Pull}
	if err := s.roomForReview(ctx, env); err != nil {
		return env, err
	}
	if err := s.awaitGone(ctx, env, say); err != nil {
		return env, err
	}
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE environment SET ended = 0, created = ?, repo = ?, pull = ? WHERE project = ? AND name = ?`,
			s.Clock.Now().UnixMilli(), env.Review.Repo, env.Review.Pull, env.Project, env.Name)
		if err != nil {
			return fmt.Errorf("making review app %s again: %w", env.Name, err)
		}
		return s.Log.Append(ctx, tx, event.Fact{
			Type: event.TypeEnvironmentMade, Subject: event.Of(event.KindProject, env.Project), Project: env.Project, Actor: a.String(),
			Payload: event.Created{V: 1, Name: env.Name},
		})
	})
	if err == nil {
		say(fmt.Sprintf("Review app %s is made again: namespace %s. It goes when pull request %d is merged or closed.", env.Name, env.Namespace, a.Job.Pull))
	}
	return env, err
}

// awaitGone waits while the namespace of a review app that has ended is still going.
func (s *Service) awaitGone(ctx context.Context, env Environment, say Say) error {
	client, err := s.adminClient(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, terminating)
	defer cancel()
	for told := false; ; told = true {
		ns, err := client.CoreV1().Namespaces().Get(ctx, env.Namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && ns.DeletionTimestamp == nil {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("reading namespace %s: %w", env.Namespace, err)
		}
		if !told {
			say(fmt.Sprintf("Namespace %s of the review app before is still going; waiting up to %s.", env.Namespace, terminating))
		}
		select {
		case <-ctx.Done():
			return fault.New(fault.Unavailable, "Namespace %s of the review app before is still going.", env.Namespace).WithNext("run again in a minute")
		case <-time.After(time.Second):
		}
	}
}

// openReviewApp returns the review app that the actor's job deploys to: the step reviewApp has
// made it. namespace may be "", its namespace, or the name of the resource, which is what files
// written for the service give to their tasks.
func (s *Service) openReviewApp(ctx context.Context, a identity.Actor, project, name, namespace string) (Environment, error) {
	job := a.Job
	base, resource, _ := event.ReviewApp(name)
	if job.Environment != name || job.Project != project {
		return Environment{}, noEnvironment(job)
	}
	env, err := environment(ctx, s.DB, project, name)
	if fault.Is(err, fault.NotFound) || err == nil && !env.review().Ended.IsZero() {
		return env, fault.New(fault.Conflict, "Review app %s is not there.", name).WithNext("put the step reviewApp before those that deploy")
	}
	if err != nil {
		return env, err
	}
	if err := env.belongsTo(job); err != nil {
		return env, err
	}
	if _, err := s.reviewable(ctx, job, base); err != nil {
		return env, err
	}
	if err := s.here(env); err != nil {
		return env, err
	}
	if namespace != "" && namespace != env.Namespace && namespace != resource {
		return env, fault.New(fault.Invalid, "Review app %s deploys to namespace %s, not to %s.", name, env.Namespace, namespace).
			WithNext("leave the namespace out")
	}
	return env, nil
}

// owns reports whether an object is the namespace of the environment itself, which the platform
// makes: files for the service often bring it. A review app's may be called as its resource is.
func (e Environment) owns(o map[string]any) bool {
	_, resource, _ := event.ReviewApp(e.Name)
	return kindOf(o) == "Namespace" && (nameOf(o) == e.Namespace || e.Review != nil && nameOf(o) == resource)
}

// leftOut says that what the environment owns is not applied.
func leftOut(e Environment) string {
	return fmt.Sprintf("The object Namespace is left out: the platform makes %s, with labels of its own.", e.Namespace)
}

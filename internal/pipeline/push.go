package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// pushed is the payload of a push job: the event and who pushed.
type pushed struct {
	Event   string             `json:"event"`
	Project string             `json:"project"`
	Actor   string             `json:"actor"`
	Commit  event.CommitPushed `json:"commit"`
	// Pipeline is the key of the one pipeline that is meant; "" means all of the repository.
	Pipeline string `json:"pipeline,omitempty"`
	// Batch says that other pushes have collected behind this one.
	Batch bool `json:"batch,omitempty"`
}

// onEvent turns a pushed commit into a job, because compiling takes time.
func (s *Service) onEvent(ctx context.Context, tx *store.Tx, e event.Event) error {
	if err := s.onTrigger(ctx, tx, e); err != nil {
		return err
	}
	if e.Type != event.TypeCommitPushed {
		return nil
	}
	p := pushed{Event: e.ID, Project: e.Project, Actor: e.Actor}
	if err := e.Into(&p.Commit); err != nil {
		s.logger.Error("a pushed commit is skipped", "error", err)
		return nil
	}
	return s.queue.Enqueue(ctx, tx, kindPush, e.ID, p)
}

// onPush compiles the pipeline files of a pushed commit and starts a run of each whose trigger
// says so. It may be repeated.
func (s *Service) onPush(ctx context.Context, payload json.RawMessage) error {
	var p pushed
	if err := json.Unmarshal(payload, &p); err != nil {
		return fmt.Errorf("reading a push: %w", err)
	}
	if c := p.Commit; !strings.HasPrefix(c.Ref, "refs/heads/") && !strings.HasPrefix(c.Ref, "refs/tags/") {
		return nil
	}
	list, err := s.ofRepo(ctx, p.Commit.Repo)
	if err != nil {
		return err
	}
	if p.Batch && p.Pipeline == "" {
		p.Pipeline = p.Commit.Repo
	}
	var errs []error
	for _, d := range list {
		if p.Pipeline == "" || p.Pipeline == d.Key() {
			errs = append(errs, s.pushTo(ctx, p, d))
		}
	}
	return errors.Join(errs...)
}

// pushTo is onPush for one pipeline of the repository.
func (s *Service) pushTo(ctx context.Context, p pushed, d Definition) error {
	c := p.Commit
	p.Pipeline = d.Key()
	order := Order{
		Repo: c.Repo, File: d.File, Project: p.Project, Ref: c.Ref, Commit: c.Commit, Title: c.Title, Reason: reasonCI, Requester: userOf(p.Actor), actor: p.Actor,
	}
	order.cause = order.because("push:" + p.Event)
	skip := plan.SkipsCI(c.Title) || d.Disabled
	if p.Batch {
		order.Reason, order.cause = reasonBatch, order.cause+":batch"
	}
	compiled, found, err := s.compile(ctx, order)
	if fault.Is(err, fault.NotFound) {
		// No pipeline file in this commit, or the repository is gone.
		return s.keepTimed(ctx, order, nil)
	}
	if err != nil {
		return err
	}
	if found.Failed() {
		if skip {
			return nil
		}
		return s.refuse(ctx, order, found)
	}
	if strings.HasPrefix(c.Ref, "refs/heads/") {
		if err := s.keepTimed(ctx, order, compiled); err != nil {
			return err
		}
	}
	if skip {
		return nil
	}
	matches, err := s.triggers(ctx, compiled.Trigger, c)
	if err != nil || !matches {
		return err
	}
	if compiled.Trigger.Batch {
		if kept, err := s.collect(ctx, p); err != nil || kept {
			return err
		}
	}
	_, err = s.start(ctx, order, compiled)
	return s.refuseStart(ctx, order, err)
}

// keepTimed keeps what starts the pipeline of a branch beside its pushes; p is nil when the
// branch has no file.
func (s *Service) keepTimed(ctx context.Context, o Order, p *plan.Plan) error {
	if !strings.HasPrefix(o.Ref, "refs/heads/") {
		return nil
	}
	var schedules []plan.Schedule
	if p != nil {
		schedules = p.Schedules
	}
	if err := s.keepSchedules(ctx, o, schedules); err != nil {
		return err
	}
	if err := s.keepWatches(ctx, o, p); !fault.Is(err, fault.NotFound) {
		return err
	}
	return nil
}

// refuseStart records that a run could not be made of a file that compiles, such as one
// that names a variable group that is not there. Other errors stay what they are.
func (s *Service) refuseStart(ctx context.Context, o Order, err error) error {
	if !fault.Is(err, fault.Invalid) {
		return err
	}
	var found parse.Diagnostics
	message, _ := fault.Public(err)
	found.Errorf(parse.Pos{File: o.file()}, "", "%s", message)
	return s.refuse(ctx, o, found)
}

// triggers reports whether a push starts a run.
func (s *Service) triggers(ctx context.Context, t plan.Trigger, c event.CommitPushed) (bool, error) {
	var changed []string
	if !t.Paths.Empty() && strings.Trim(c.Before, "0") != "" {
		var err error
		if changed, err = s.source.ChangedPaths(ctx, system(), c.Repo, c.Before, c.Commit); err != nil && !fault.Is(err, fault.NotFound) {
			return false, fmt.Errorf("comparing the push with its predecessor: %w", err)
		}
	}
	return t.Matches(c.Ref, changed), nil
}

// userOf is the user of an actor as the logbook writes it, or the whole actor.
func userOf(actor string) string {
	if name, ok := strings.CutPrefix(actor, identity.KindUser+":"); ok {
		return name
	}
	return actor
}

func system() identity.Actor { return identity.SystemActor(consumer) }

// compile compiles the pipeline file of a commit. fault.NotFound says that there is
// none.
func (s *Service) compile(ctx context.Context, o Order) (*plan.Plan, parse.Diagnostics, error) {
	first, err := s.source.File(ctx, system(), o.Repo, o.Commit, o.file())
	if err != nil {
		return nil, nil, err
	}
	if _, err := s.define(ctx, &o); err != nil {
		return nil, nil, err
	}
	repositories := &resolver{s: s, order: o, known: map[string]pin{}}
	loader := expand.LoaderFunc(func(ctx context.Context, ref expand.Ref) ([]byte, error) {
		if ref.Repository == nil && ref.Path == o.file() {
			return first, nil
		}
		return repositories.Load(ctx, ref)
	})
	catalog, err := s.gallery.Catalog(ctx, s.db, o.Project)
	if err != nil {
		return nil, nil, err
	}
	p, found := compile.Compile(ctx, o.file(), loader, compile.Options{
		Parameters: o.Parameters, Variables: s.Predefined(o), Payloads: o.payloads(), Tasks: catalog, Features: *s.opts.Features,
	})
	if p != nil {
		if err := s.pinResources(ctx, o, p); err != nil {
			found.Errorf(parse.Pos{File: o.file()}, "Y046", "%s", sentence(err))
			return nil, found, ctx.Err()
		}
		if err := repositories.pin(ctx, p); err != nil {
			found.Errorf(parse.Pos{File: o.file()}, "Y047", "%s", sentence(err))
			p = nil
		}
	}
	return p, found, ctx.Err()
}

// sentence is an error as the beginning of a sentence.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// maxErrors is how many errors of a refused file are kept.
const maxErrors = 20

// refuse records that a file did not compile; no run is made.
func (s *Service) refuse(ctx context.Context, o Order, found parse.Diagnostics) error {
	return s.again(ctx, func(tx *store.Tx) error {
		done, err := s.claimCause(ctx, tx, o.cause, 0)
		if err != nil || done {
			return err
		}
		payload, commit := event.RunRefused{V: 1, Repo: o.Repo, File: o.file(), Errors: messages(found)}, o.Commit
		if o.Pull != nil {
			payload.Pull, commit = o.Pull.Number, o.Pull.Head
		}
		return s.log.Append(ctx, tx, event.Fact{
			Type: event.TypeRunRefused, Subject: event.Of(event.KindCommit, commit), Project: o.Project, Actor: o.actor, Payload: payload,
		})
	})
}

// messages are the errors of a file, "file (Line: n, Col: m): …".
func messages(found parse.Diagnostics) []string {
	var out []string
	for _, d := range found.Errors() {
		if len(out) == maxErrors {
			break
		}
		msg := d.Error()
		if len(msg) > 2000 {
			msg = strings.ToValidUTF8(msg[:2000], "") + "…"
		}
		out = append(out, msg)
	}
	return out
}

// claimCause notes that a cause has had its effect; done says that it had before.
func (s *Service) claimCause(ctx context.Context, tx *store.Tx, cause string, run int64) (done bool, err error) {
	if cause == "" {
		return false, nil
	}
	res, err := tx.Exec(ctx, `INSERT INTO pipeline_cause (cause, run) VALUES (?, ?) ON CONFLICT (cause) DO NOTHING`, cause, run)
	if err != nil {
		return false, fmt.Errorf("noting the cause of a run: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 0, err
}

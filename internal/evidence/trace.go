package evidence

import (
	"cmp"
	"context"
	"slices"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
)

// Chain is the evidence of one subject, from commit to pod.
type Chain struct {
	Subject  event.Subject `json:"subject"`
	Project  string        `json:"project"`
	Stations []Station     `json:"stations"` // in the order of the chain
	// Missing names the kinds of evidence that one would expect beside an image of the
	// chain and of which the log says nothing: sbom, scan, signature, provenance, tests.
	Missing []string `json:"missing,omitempty"`
	// Truncated says that there is more of some kind than a chain shows.
	Truncated bool `json:"truncated,omitempty"`
}

// Station is one thing of a chain, with the event that says it.
type Station struct {
	// Kind is user, project, repo, commit, pull, review, merge, run, job, tests, image, sbom,
	// scan, signature, provenance, decision, release, canary, pod, session, telemetry,
	// comparison, drift, error, alert or item.
	Kind    string        `json:"kind"`
	Subject event.Subject `json:"subject"`
	Title   string        `json:"title"`
	Digest  string        `json:"digest,omitempty"` // of the bytes that are the evidence
	Time    time.Time     `json:"time"`             // when it was said
	Actor   string        `json:"actor"`
	Facts   []Fact        `json:"facts,omitempty"`
	Seq     int64         `json:"seq"`  // of the event
	Hash    string        `json:"hash"` // of the event
}

// Fact is a named value for people.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// kindTests is the one kind of station that has no kind of subject of its own.
const kindTests = "tests"

// order is the order of the stations in a chain. All decisions stand together, so that
// what the pull request was told can be compared with what the API server said.
var order = []string{
	event.KindUser, event.KindProject, event.KindRepo, event.KindCommit, event.KindPull, kindReview, kindMerge, event.KindRun, event.KindJob, kindTests,
	event.KindImage, event.KindSBOM, event.KindScan, event.KindSignature, event.KindProvenance, event.KindDecision, event.KindRelease, kindCanary,
	event.KindPod, event.KindSession, kindTelemetry, kindComparison, kindDrift, kindError, event.KindAlert, event.KindItem,
}

// perStep and perChain bound a chain: how many things one step follows, and how many
// things there are in all.
const (
	perStep  = 50
	perChain = 400
)

// Trace returns the chain of what ref names: commit/SHA (also shortened), image/DIGEST,
// image/REPOSITORY@DIGEST, image/REPOSITORY:TAG, pull/PROJECT/REPOSITORY/N, run/N,
// job/N/STAGE.JOB, decision/ID, release/PROJECT/ENVIRONMENT/N, pod/NAME, pod/UID, alert/ID,
// item/N, session/ID, sbom/DIGEST, scan/ID, signature/DIGEST, provenance/DIGEST,
// repo/PROJECT/REPOSITORY, project/NAME or user/NAME. What the actor may not read is
// fault.NotFound.
func (s *Service) Trace(ctx context.Context, a identity.Actor, ref string) (Chain, error) {
	c, _, err := s.chain(ctx, a, ref)
	return c, err
}

// chain makes a chain and hands out the walk that it was made from.
func (s *Service) chain(ctx context.Context, a identity.Actor, ref string) (Chain, *walk, error) {
	f, err := s.resolve(ctx, a, ref)
	if err != nil {
		return Chain{}, nil, err
	}
	w := &walk{service: s, project: f.project, events: map[event.Subject][]event.Event{}, parts: map[event.Subject]string{}}
	if err := w.from(ctx, f.subject); err != nil {
		return Chain{}, nil, err
	}
	c := Chain{Subject: f.subject, Project: f.project, Truncated: w.truncated}
	for _, subject := range w.list {
		made := stations(subject, w.events[subject])
		if part := w.parts[subject]; part != "" && len(made) > 0 {
			made[0].fact("is", part)
		}
		c.Stations = append(c.Stations, made...)
	}
	slices.SortStableFunc(c.Stations, func(a, b Station) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(a.Seq, b.Seq))
	})
	c.Missing = missingEvidence(c.Stations)
	return c, w, nil
}

// walk collects the subjects of a chain.
type walk struct {
	service   *Service
	project   string
	events    map[event.Subject][]event.Event // of subjects in the chain, in the project
	list      []event.Subject
	parts     map[event.Subject]string // what a subject is to an item: "suspect of item 12"
	truncated bool
}

// add takes a subject into the chain; it reports whether it is new and belongs to the
// project.
func (w *walk) add(ctx context.Context, s event.Subject) (bool, error) {
	if _, ok := w.events[s]; ok {
		return false, nil
	}
	if len(w.list) >= perChain {
		w.truncated = true
		return false, nil
	}
	all, err := w.service.about(ctx, s)
	if err != nil {
		return false, err
	}
	own := slices.DeleteFunc(all, func(e event.Event) bool { return e.Project != w.project })
	if len(own) == 0 {
		return false, nil
	}
	w.events[s] = own
	w.list = append(w.list, s)
	return true, nil
}

// out and in return the neighbours of a relation, newest first.
func (w *walk) out(ctx context.Context, s event.Subject, rel string) ([]event.Subject, error) {
	edges, err := w.service.events.Out(ctx, s, rel, perStep+1)
	return w.ends(edges, func(e event.Edge) event.Subject { return e.To }), err
}

func (w *walk) in(ctx context.Context, s event.Subject, rel, kind string) ([]event.Subject, error) {
	edges, err := w.service.events.In(ctx, s, rel, perStep+1)
	edges = slices.DeleteFunc(edges, func(e event.Edge) bool { return e.From.Kind() != kind })
	return w.ends(edges, func(e event.Edge) event.Subject { return e.From }), err
}

func (w *walk) ends(edges []event.Edge, end func(event.Edge) event.Subject) []event.Subject {
	if len(edges) > perStep {
		w.truncated = true
		edges = edges[:perStep]
	}
	out := make([]event.Subject, 0, len(edges))
	for _, e := range edges {
		out = append(out, end(e))
	}
	return out
}

// from walks from the chain's subject, up to its origin and down to what came of it.
func (w *walk) from(ctx context.Context, s event.Subject) error {
	if err := w.up(ctx, s, ""); err != nil {
		return err
	}
	switch s.Kind() {
	case event.KindPull:
		return w.fromPull(ctx, s)
	case event.KindItem:
		return w.fromItem(ctx, s)
	case event.KindPod:
		if err := w.releaseOf(ctx, s); err != nil {
			return err
		}
	}
	return w.down(ctx, s)
}

// up takes s and everything that it came from. via is the run that is known to be the
// origin, when the same image was built more than once.
func (w *walk) up(ctx context.Context, s, via event.Subject) error {
	fresh, err := w.add(ctx, s)
	if err != nil || !fresh {
		return err
	}
	if judged(s.Kind()) {
		if err := w.decided(ctx, s); err != nil {
			return err
		}
	}
	switch s.Kind() {
	case event.KindCommit:
		return w.pullsOf(ctx, s)
	case event.KindDecision:
		return w.upDecision(ctx, s)
	case event.KindRun:
		return w.upEach(ctx, s, event.RelBuiltFrom, "")
	case event.KindImage:
		if err := w.attached(ctx, s); err != nil {
			return err
		}
		return w.producer(ctx, s, via)
	case event.KindRelease:
		if via, err = w.releasing(ctx, s); err != nil {
			return err
		}
		return w.upEach(ctx, s, event.RelDeploys, via)
	case event.KindPod:
		return w.upPod(ctx, s)
	case event.KindAlert:
		return w.upAlert(ctx, s)
	case event.KindJob:
		return w.upEach(ctx, s, event.RelPartOf, "")
	case event.KindSBOM, event.KindScan, event.KindSignature, event.KindProvenance:
		return w.upEach(ctx, s, event.RelDescribes, "")
	case event.KindItem:
		return w.upItem(ctx, s)
	}
	return nil
}

// upAlert takes the pod that an alert concerns, and by it the release and the images of
// that pod alone; without one the release.
func (w *walk) upAlert(ctx context.Context, s event.Subject) error {
	list, err := w.out(ctx, s, event.RelConcerns)
	if err != nil {
		return err
	}
	for _, kind := range []string{event.KindPod, event.KindRelease} {
		known := false
		for _, to := range list {
			if to.Kind() != kind {
				continue
			}
			if err := w.up(ctx, to, ""); err != nil {
				return err
			}
			_, there := w.events[to]
			known = known || there
		}
		if known {
			return nil
		}
	}
	return nil
}

// judged reports whether decisions about things of a kind belong to their chain. Of a pull
// request they depend on where the chain begins; those about an image are found at what
// runs it.
func judged(kind string) bool {
	return kind == event.KindCommit || kind == event.KindRun || kind == event.KindRelease || kind == event.KindPod
}

func (w *walk) upEach(ctx context.Context, s event.Subject, rel string, via event.Subject) error {
	list, err := w.out(ctx, s, rel)
	if err != nil {
		return err
	}
	for _, to := range list {
		if err := w.up(ctx, to, via); err != nil {
			return err
		}
	}
	return nil
}

// releasing takes the run that released s and returns it.
func (w *walk) releasing(ctx context.Context, s event.Subject) (event.Subject, error) {
	runs, err := w.out(ctx, s, event.RelReleasedBy)
	if err != nil || len(runs) == 0 {
		return "", err
	}
	return runs[0], w.up(ctx, runs[0], "")
}

// upPod takes the newest release of the pod and the images that the pod itself runs, not
// the release's other ones.
func (w *walk) upPod(ctx context.Context, s event.Subject) error {
	releases, err := w.out(ctx, s, event.RelPartOf)
	if err != nil {
		return err
	}
	via := event.Subject("")
	if len(releases) > 0 {
		fresh, err := w.add(ctx, releases[0])
		if err != nil {
			return err
		}
		if fresh {
			if err := w.decided(ctx, releases[0]); err != nil {
				return err
			}
		}
		if via, err = w.releasing(ctx, releases[0]); err != nil {
			return err
		}
	}
	return w.upEach(ctx, s, event.RelRunsIn, via)
}

// producer takes the run that made an image: via when it is one of them, else the newest.
func (w *walk) producer(ctx context.Context, image, via event.Subject) error {
	runs, err := w.out(ctx, image, event.RelProducedBy)
	if err != nil || len(runs) == 0 {
		return err
	}
	if slices.Contains(runs, via) {
		return w.up(ctx, via, "")
	}
	return w.up(ctx, runs[0], "")
}

// attached takes what describes an image: the newest of each kind, because a later scan
// replaces an earlier one.
func (w *walk) attached(ctx context.Context, image event.Subject) error {
	list, err := w.service.events.In(ctx, image, event.RelDescribes, 4*perStep)
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, e := range list {
		if have[e.From.Kind()] {
			continue
		}
		fresh, err := w.add(ctx, e.From)
		if err != nil {
			return err
		}
		have[e.From.Kind()] = fresh
	}
	return nil
}

// down takes everything that came of s.
func (w *walk) down(ctx context.Context, s event.Subject) error {
	for _, step := range map[string][]struct{ rel, kind string }{
		event.KindCommit:  {{event.RelBuiltFrom, event.KindRun}},
		event.KindRun:     {{event.RelProducedBy, event.KindImage}, {event.RelReleasedBy, event.KindRelease}},
		event.KindImage:   {{event.RelDeploys, event.KindRelease}, {event.RelRunsIn, event.KindPod}},
		event.KindRelease: {{event.RelPartOf, event.KindPod}, {event.RelConcerns, event.KindAlert}},
		event.KindPod:     {{event.RelConcerns, event.KindAlert}},
		event.KindRepo:    {{event.RelInto, event.KindCommit}},
	}[s.Kind()] {
		// The pods of an image are found at the image, so that a release that also runs
		// others does not bring theirs.
		list, err := w.in(ctx, s, step.rel, step.kind)
		if err != nil {
			return err
		}
		for _, from := range list {
			if err := w.downTo(ctx, s, from); err != nil {
				return err
			}
		}
	}
	return w.itemsOf(ctx, s)
}

func (w *walk) downTo(ctx context.Context, s, next event.Subject) error {
	fresh, err := w.add(ctx, next)
	if err != nil || !fresh {
		return err
	}
	switch {
	case next.Kind() == event.KindImage:
		err = w.attached(ctx, next)
	case judged(next.Kind()):
		err = w.decided(ctx, next)
	}
	if err != nil {
		return err
	}
	// A release of an image also runs others, and what became of a pushed commit is asked
	// at the commit.
	if s.Kind() == event.KindImage && next.Kind() == event.KindRelease || s.Kind() == event.KindRepo {
		return w.itemsOf(ctx, next)
	}
	return w.down(ctx, next)
}

// missingEvidence names what an image of the chain should have and has not.
func missingEvidence(list []Station) []string {
	have := map[string]bool{}
	for _, s := range list {
		have[s.Kind] = true
	}
	if !have[event.KindImage] {
		return nil
	}
	var out []string
	for _, k := range []string{kindTests, event.KindSBOM, event.KindScan, event.KindSignature, event.KindProvenance} {
		if !have[k] {
			out = append(out, k)
		}
	}
	return out
}

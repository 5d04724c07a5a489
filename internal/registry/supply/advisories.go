package supply

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/registry/supply/seed"
	"towpath.dev/towpath/internal/store"
)

// Imported is the outcome of an import.
type Imported struct {
	Source   string              `json:"source"`
	Entries  int                 `json:"entries"`
	Changed  int                 `json:"changed"`  // new or different from what was known
	Images   int                 `json:"images"`   // images that are judged anew
	Date     time.Time           `json:"date"`     // newest change among the entries
	Coverage []advisory.Coverage `json:"coverage"` // per ecosystem
	Rejected int                 `json:"rejected,omitempty"`
	Why      []string            `json:"why,omitempty"` // the first rejected entries
}

// Import loads advisories from a directory, file or URL that the server can reach, and
// has the images judged anew that they touch. Only an administrator may: the server
// reads what is named.
func (s *Service) Import(ctx context.Context, a identity.Actor, source string) (Imported, error) {
	if err := s.auth.RequireAdmin(ctx, a); err != nil {
		return Imported{}, err
	}
	batch, err := advisory.Read(ctx, s.opt.Client, source)
	if err != nil {
		return Imported{}, err
	}
	return s.load(ctx, a.String(), source, batch, false)
}

// ImportZip loads advisories from a zip of OSV files that a client sent. name stands
// for the source in what is shown.
func (s *Service) ImportZip(ctx context.Context, a identity.Actor, name string, r io.ReaderAt, size int64) (Imported, error) {
	if err := s.auth.RequireAdmin(ctx, a); err != nil {
		return Imported{}, err
	}
	batch, err := advisory.ReadZip(ctx, r, size)
	if err != nil {
		return Imported{}, err
	}
	return s.load(ctx, a.String(), name, batch, false)
}

// LoadSeed loads the built-in advisories unless the same or newer ones were loaded. An
// advisory that another source brought is not replaced by an equally old one.
func (s *Service) LoadSeed(ctx context.Context) error {
	date, err := seed.Date()
	if err != nil {
		return err
	}
	have, err := s.advisories.Sources(ctx)
	if err != nil {
		return err
	}
	for _, c := range have {
		if c.Source == seed.Source && !c.Date.Before(date) {
			return nil
		}
	}
	records, err := seed.Records()
	if err != nil {
		return err
	}
	_, err = s.load(ctx, actor, seed.Source, advisory.Batch{Records: records}, true)
	return err
}

func (s *Service) load(ctx context.Context, who, source string, batch advisory.Batch, keep bool) (Imported, error) {
	if len(batch.Records) == 0 {
		f := fault.New(fault.Invalid, "%s holds no advisory in OSV form.", source)
		if len(batch.Why) > 0 {
			f.Next = "first refused entry: " + batch.Why[0]
		}
		return Imported{}, f
	}
	out := Imported{Source: source, Entries: len(batch.Records), Rejected: batch.Rejected, Why: batch.Why}
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		loaded, err := s.advisories.Load(ctx, tx, source, batch.Records, s.clock.Now(), keep)
		if err != nil {
			return err
		}
		images, err := s.matcher.Rematch(ctx, tx, loaded.Changed)
		if err != nil {
			return err
		}
		out.Changed, out.Images, out.Date, out.Coverage = len(loaded.Changed), len(images), loaded.Date, loaded.Ecosystem
		if err := s.judgeLater(ctx, tx, images); err != nil {
			return err
		}
		facts := make([]event.Fact, 0, len(loaded.Ecosystem))
		for _, c := range loaded.Ecosystem {
			facts = append(facts, event.Fact{
				Type: event.TypeAdvisoriesLoaded, Subject: event.Of(event.KindProject, ""), Actor: who,
				Payload: event.AdvisoriesLoaded{V: 1, Source: source, Ecosystem: c.Ecosystem, Count: c.Entries, Date: c.Date},
			})
		}
		return s.log.Append(ctx, tx, facts...)
	})
	return out, err
}

// judgeChunk is how many images are judged in one transaction: few enough not to hold
// the writer long.
const judgeChunk = 100

// judgeJob is the payload of kindJudge.
type judgeJob struct {
	Images []string `json:"images"`
}

func (s *Service) judgeLater(ctx context.Context, tx *store.Tx, images []string) error {
	for len(images) > 0 {
		n := min(len(images), judgeChunk)
		if err := s.queue.Enqueue(ctx, tx, kindJudge, "", judgeJob{Images: images[:n]}); err != nil {
			return err
		}
		images = images[n:]
	}
	return nil
}

func (s *Service) workJudge(ctx context.Context, payload json.RawMessage) error {
	var j judgeJob
	if err := json.Unmarshal(payload, &j); err != nil {
		return job.Fatal(fmt.Errorf("decoding the job: %w", err))
	}
	return s.judgeAll(ctx, j.Images)
}

// judgeAll renews the verdicts of images from the index alone. A verdict that changed is
// said in the logbook for each repository that holds the image, and its report is
// written anew by a later job.
func (s *Service) judgeAll(ctx context.Context, images []string) error {
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		coverage, err := s.advisories.Coverage(ctx, tx)
		if err != nil {
			return err
		}
		for _, image := range images {
			if err := s.judge(ctx, tx, image, coverage); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) judge(ctx context.Context, tx *store.Tx, image string, coverage []advisory.Coverage) error {
	repositories, err := repositoriesOf(ctx, tx, image)
	if err != nil || len(repositories) == 0 {
		return err // Deleted meanwhile.
	}
	v, changed, err := s.matcher.Judge(ctx, tx, image, coverage, s.clock.NewID, s.clock.Now())
	if err != nil || !changed {
		return err
	}
	for _, r := range repositories {
		p, err := s.push(ctx, tx, r, image)
		if err != nil {
			return err
		}
		if err := s.say(ctx, tx, p, v.Scan, scanned(p, v, "")); err != nil {
			return err
		}
		if err := s.queue.Enqueue(ctx, tx, kindImage, r+"@"+image, imageJob{Repository: r, Image: image}); err != nil {
			return err
		}
	}
	return nil
}

func repositoriesOf(ctx context.Context, h store.Handle, image string) (out []string, err error) {
	rows, err := h.Query(ctx, `SELECT repository FROM supply_push WHERE image = ? ORDER BY repository`, image)
	if err != nil {
		return nil, fmt.Errorf("looking up the pushes of %s: %w", image, err)
	}
	defer rows.Close()
	for rows.Next() {
		var r string
		if err := rows.Scan(&r); err != nil {
			return nil, fmt.Errorf("looking up the pushes of %s: %w", image, err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// Advisories returns what is loaded, per source and ecosystem. Everybody who is logged
// in may ask: advisories are public facts.
func (s *Service) Advisories(ctx context.Context, a identity.Actor) ([]advisory.Coverage, error) {
	if err := known(a); err != nil {
		return nil, err
	}
	return s.advisories.Sources(ctx)
}

// ListAdvisories returns the newest advisories, those about a package when pkg is not
// empty, at most limit.
func (s *Service) ListAdvisories(ctx context.Context, a identity.Actor, pkg string, limit int) ([]advisory.Record, error) {
	if err := known(a); err != nil {
		return nil, err
	}
	return s.advisories.List(ctx, pkg, limit)
}

// Advisory returns one advisory by id or alias.
func (s *Service) Advisory(ctx context.Context, a identity.Actor, id string) (advisory.Record, error) {
	if err := known(a); err != nil {
		return advisory.Record{}, err
	}
	return s.advisories.Get(ctx, id)
}

func known(a identity.Actor) error {
	if !a.Known() {
		return fault.New(fault.Unauthentic, "Log in to see advisories.")
	}
	return nil
}

package metric

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// future is how far ahead of this server's clock a sample may be. One that is further would
// make all others of its series too old.
const future = 10 * time.Minute

// Reasons why a sample is refused.
const (
	reasonLimit     = "series_limit"
	reasonOld       = "too_old"
	reasonBounds    = "out_of_bounds"
	reasonDuplicate = "duplicate"
	reasonInvalid   = "invalid"
	reasonDelta     = "delta"
)

// gauges count what comes in.
type gauges struct {
	taken   *prometheus.CounterVec
	refused *prometheus.CounterVec
}

func newGauges(reg prometheus.Registerer) *gauges {
	g := &gauges{
		taken: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "towpath_metric_samples_total", Help: "Samples stored, by the way that they came.",
		}, []string{"way"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "towpath_metric_samples_refused_total", Help: "Samples refused, by the way that they came and the reason.",
		}, []string{"way", "reason"}),
	}
	reg.MustRegister(g.taken, g.refused)
	return g
}

// sieve is an appender that gives series their place, refuses what may not be stored sample
// by sample, and lets the rest through: one bad series must not cost a scrape or a push.
type sieve struct {
	s       *Store
	way     string                            // "push", "otlp", "write", "scrape"
	placed  func(labels.Labels) labels.Labels // gives the labels of the place
	durable bool                              // Commit returns after an fsync
	out     Outcome
	maxTime int64
}

func (s *Store) sieve(way string, placed func(labels.Labels) labels.Labels, durable bool) *sieve {
	return &sieve{s: s, way: way, placed: placed, durable: durable, maxTime: s.clock.Now().Add(future).UnixMilli()}
}

// pass runs one append and says whether its error is the appender's end.
func (v *sieve) pass(ls labels.Labels, t int64, stale bool, do func(labels.Labels) (storage.SeriesRef, error)) (storage.SeriesRef, error) {
	if t > v.maxTime {
		v.refuse(reasonBounds, fmt.Sprintf("a sample of %s is more than %s ahead of the server's clock", ls.Get(labels.MetricName), future))
		return 0, nil
	}
	ls = v.placed(ls)
	if ls.IsEmpty() {
		return 0, nil // left out: nobody's
	}
	if n := size(ls); n > maxSeriesSize {
		v.refuse(reasonInvalid, fmt.Sprintf("the labels of a series of %.100q have %d bytes, at most %d are kept", ls.Get(labels.MetricName), n, maxSeriesSize))
		return 0, nil
	}
	ref, err := do(ls)
	if err == nil {
		v.out.Taken++
		return ref, nil
	}
	reason, known := reasonOf(err)
	if !known {
		return 0, err
	}
	if !stale { // the end of a series that was never let in is no loss
		v.refuse(reason, fmt.Sprintf("%s: %v", ls.Get(labels.MetricName), err))
	}
	return 0, nil
}

// maxSeriesSize is how many bytes the labels of a series may have: each living one is held
// in memory, and their number alone bounds nothing.
const maxSeriesSize = 4 << 10

func size(ls labels.Labels) int {
	n := 0
	ls.Range(func(l labels.Label) { n += len(l.Name) + len(l.Value) })
	return n
}

func (v *sieve) refuse(reason, message string) {
	v.out.refuse(reason, message, 1)
}

func (o *Outcome) refuse(reason, message string, n int) {
	if o.Reasons == nil {
		o.Reasons = map[string]int{}
		o.Message = message
	}
	o.Refused += n
	o.Reasons[reason] += n
}

// reasonOf returns why an append was refused; known is false for an error of the storage.
func reasonOf(err error) (reason string, known bool) {
	var series errSeries
	var hist histogram.Error
	switch {
	case errors.As(err, &series):
		return reasonLimit, true
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrTooOldSample):
		return reasonOld, true
	case errors.Is(err, storage.ErrOutOfBounds):
		return reasonBounds, true
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		return reasonDuplicate, true
	case errors.As(err, &hist):
		return reasonInvalid, true
	}
	return "", false
}

// commit counts, commits and, when it is asked for, syncs.
func (v *sieve) commit(app storage.AppenderTransaction) error {
	if err := app.Commit(); err != nil {
		return err
	}
	v.s.gauge.taken.WithLabelValues(v.way).Add(float64(v.out.Taken))
	for reason, n := range v.out.Reasons {
		v.s.gauge.refused.WithLabelValues(v.way, reason).Add(float64(n))
	}
	if v.durable {
		return v.s.disk.sync()
	}
	return nil
}

// inV2 makes a sieve of a storage.AppenderV2.
type inV2 struct {
	storage.AppenderV2
	*sieve
}

// Append stores one sample, or counts it as refused.
func (a inV2) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AOptions) (storage.SeriesRef, error) {
	return a.pass(ls, t, value.IsStaleNaN(v), func(ls labels.Labels) (storage.SeriesRef, error) {
		return a.AppenderV2.Append(ref, ls, st, t, v, h, fh, o)
	})
}

// Commit stores what was let through.
func (a inV2) Commit() error { return a.commit(a.AppenderV2) }

// inV1 makes a sieve of a storage.Appender, which remote write needs.
type inV1 struct {
	storage.Appender
	*sieve
}

// Append stores one sample, or counts it as refused.
func (a inV1) Append(ref storage.SeriesRef, ls labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	return a.pass(ls, t, value.IsStaleNaN(v), func(ls labels.Labels) (storage.SeriesRef, error) { return a.Appender.Append(ref, ls, t, v) })
}

// AppendHistogram stores one histogram, or counts it as refused.
func (a inV1) AppendHistogram(ref storage.SeriesRef, ls labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return a.pass(ls, t, false, func(ls labels.Labels) (storage.SeriesRef, error) {
		return a.Appender.AppendHistogram(ref, ls, t, h, fh)
	})
}

// AppendExemplar leaves exemplars out: the store keeps none.
func (a inV1) AppendExemplar(ref storage.SeriesRef, _ labels.Labels, _ exemplar.Exemplar) (storage.SeriesRef, error) {
	return ref, nil
}

// UpdateMetadata notes what a metric means.
func (a inV1) UpdateMetadata(ref storage.SeriesRef, ls labels.Labels, m metadata.Metadata) (storage.SeriesRef, error) {
	ls = a.placed(ls)
	a.s.meta.note(ls.Get(labelProject), ls.Get(labels.MetricName), m)
	return ref, nil
}

// Commit stores what was let through.
func (a inV1) Commit() error { return a.commit(a.Appender) }

// scraped is what the scraper writes to.
type scraped struct {
	s      *Store
	placed func(labels.Labels) labels.Labels
}

// AppenderV2 returns an appender for one scrape.
func (a scraped) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return inV2{a.s.db.AppenderV2(ctx), a.s.sieve("scrape", a.placed, false)}
}

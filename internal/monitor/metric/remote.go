package metric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"

	"towpath.dev/towpath/internal/monitor/turn"
)

// maxWrite bounds the body of one remote write, compressed; the library bounds what it
// becomes (32 MiB).
const maxWrite = 8 << 20

// WriteAPI takes remote write 1.0 and 2.0 ("Prometheus Remote-Write Specification") and
// acknowledges after the samples lie fsynced in the WAL. origin says whose the series are;
// its error is the answer. Samples that are too old or too many are dropped and counted:
// the sender would otherwise stop at them for ever.
func (s *Store) WriteAPI(origin func(*http.Request) (Origin, error)) http.Handler {
	types := remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := origin(r)
		if err != nil {
			respondError(w, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxWrite)
		// The handler is a few counters and closures: one per request carries the origin.
		h := remote.NewWriteHandler(s.logger.With("part", "write"), prometheus.NewRegistry(), written{s, from}, types, false, false, true)
		h.ServeHTTP(w, r)
	})
}

// written is what a remote write of one origin is stored with.
type written struct {
	s    *Store
	from Origin
}

// Appender returns an appender for one request.
func (a written) Appender(ctx context.Context) storage.Appender {
	return checked{inV1{a.s.db.Appender(ctx), a.s.sieve("write", a.from.placed, true)}}
}

// checked also checks labels, as pushed samples are.
type checked struct{ inV1 }

// Append stores one sample, or counts it as refused.
func (a checked) Append(ref storage.SeriesRef, ls labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	if why := invalid(ls); why != "" {
		a.refuse(reasonInvalid, why)
		return 0, nil
	}
	return a.inV1.Append(ref, ls, t, v)
}

// UpdateMetadata notes what a metric means.
func (a checked) UpdateMetadata(ref storage.SeriesRef, ls labels.Labels, m metadata.Metadata) (storage.SeriesRef, error) {
	return a.inV1.UpdateMetadata(ref, ls, m)
}

// maxReads is how many remote reads run at a time.
const maxReads = 4

// ReadAPI answers remote read ("Remote Read API"), so that a Prometheus can put its own
// questions to this store. Scope as for API.
func (s *Store) ReadAPI(scope func(*http.Request) (Scope, error)) http.Handler {
	gate := turn.New(maxReads, maxReads/2)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := scope(r)
		if err == nil {
			err = in.check()
		}
		name := in.Project
		if in.All {
			name = turn.Everything
		}
		var leave func()
		if err == nil {
			leave, err = gate.Enter(r.Context(), name)
		}
		if err != nil {
			respondError(w, err)
			return
		}
		defer leave()
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		none := func() config.Config { return config.Config{} }
		remote.NewReadHandler(s.logger, nil, confine(s.db, in), none, s.o.QuerySamples, 1, 1<<20).ServeHTTP(w, r)
	})
}

// Forward writes everything that comes in from now on to other servers too, until ctx ends:
// Prometheus' own queue, which follows the WAL, sends in parallel, and tries again. What
// could not be sent when the process ends is sent from the WAL only as far as it is still
// there and new: remote write is no backup.
func (s *Store) Forward(ctx context.Context, to []Remote) error {
	if len(to) == 0 {
		<-ctx.Done()
		return nil
	}
	text, err := forwarding(to)
	if err != nil {
		return err
	}
	c, err := config.Load(text, s.logger)
	if err != nil {
		return fmt.Errorf("configuring remote write: %w", err)
	}
	reg := prometheus.NewRegistry()
	ws := remote.NewWriteStorage(s.logger.With("part", "forward"), reg, s.dir, 10*time.Second, notScraping{}, false)
	if err := ws.ApplyConfig(c); err != nil {
		return errors.Join(fmt.Errorf("configuring remote write: %w", err), ws.Close())
	}
	s.forwards.set(reg)
	defer s.forwards.set(nil)
	s.forwards.wake.Store(ws)
	defer s.forwards.wake.Store(nil)
	<-ctx.Done()
	if err := ws.Close(); err != nil {
		return fmt.Errorf("ending remote write: %w", err)
	}
	return nil
}

// forwarding writes the configuration of the queues: JSON is YAML.
func forwarding(to []Remote) (string, error) {
	var all []map[string]any
	for i, r := range to {
		u, err := url.Parse(r.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return "", fmt.Errorf("remote write %d has no http or https URL", i+1)
		}
		one := map[string]any{
			"url": r.URL, "name": fmt.Sprintf("remote-%d", i+1), "follow_redirects": false,
			"queue_config":    map[string]any{"max_shards": 4, "capacity": 5000, "max_samples_per_send": 1000},
			"metadata_config": map[string]any{"send": false},
		}
		switch {
		case r.Bearer != "":
			one["authorization"] = map[string]any{"type": "Bearer", "credentials": r.Bearer}
		case r.User != "":
			one["basic_auth"] = map[string]any{"username": r.User, "password": r.Password}
		}
		all = append(all, one)
	}
	text, err := json.Marshal(map[string]any{"remote_write": all})
	return string(text), err
}

// notScraping tells the queues that there are no targets to ask for metadata.
type notScraping struct{}

// Get returns an error.
func (notScraping) Get() (*scrape.Manager, error) {
	return nil, errors.New("metadata is not forwarded")
}

// forwards is the metrics of the queues while they run.
type forwards struct {
	mu   sync.Mutex
	reg  *prometheus.Registry
	wake atomic.Pointer[remote.WriteStorage]
}

// Notify tells the queues that the WAL has grown; the TSDB calls it.
func (f *forwards) Notify() {
	if ws := f.wake.Load(); ws != nil {
		ws.Notify()
	}
}

func (f *forwards) set(reg *prometheus.Registry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reg = reg
}

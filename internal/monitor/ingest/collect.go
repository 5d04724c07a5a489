package ingest

import "github.com/prometheus/client_golang/prometheus"

// Collector gives the counters of Stats as metrics:
// towpath_ingest_rows_total and towpath_ingest_bytes_total by project, signal, outcome and
// reason, towpath_ingest_inflight_bytes, towpath_ingest_watch_missed_rows_total.
func (s *Service) Collector() prometheus.Collector {
	labels := []string{"project", "signal", "outcome", "reason"}
	return &collector{
		service:  s,
		rows:     prometheus.NewDesc("towpath_ingest_rows_total", "Rows and samples that came in, by what became of them.", labels, nil),
		bytes:    prometheus.NewDesc("towpath_ingest_bytes_total", "Their size as _BilledSize counts it.", labels, nil),
		inflight: prometheus.NewDesc("towpath_ingest_inflight_bytes", "Bytes on the way to the lake.", nil, nil),
		missed:   prometheus.NewDesc("towpath_ingest_watch_missed_rows_total", "Rows that live tails did not see.", nil, nil),
	}
}

type collector struct {
	service                       *Service
	rows, bytes, inflight, missed *prometheus.Desc
}

// Describe lists the metrics.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.rows, c.bytes, c.inflight, c.missed} {
		ch <- d
	}
}

// Collect reads the counters.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.service.Stats()
	for _, n := range s.Counts {
		ch <- prometheus.MustNewConstMetric(c.rows, prometheus.CounterValue, float64(n.Rows), n.Project, n.Signal, n.What, n.Reason)
		ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.CounterValue, float64(n.Bytes), n.Project, n.Signal, n.What, n.Reason)
	}
	ch <- prometheus.MustNewConstMetric(c.inflight, prometheus.GaugeValue, float64(s.InFlight))
	ch <- prometheus.MustNewConstMetric(c.missed, prometheus.CounterValue, float64(s.Missed))
}

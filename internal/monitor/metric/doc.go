// Package metric keeps metrics and answers questions about them in PromQL. It is made of
// Prometheus' own libraries: its time series database (TSDB), its query engine, its
// scraper and its remote write queue.
//
// Nouns. A Store holds series. A Scope says whose series somebody may see. A Sample is one
// value that somebody pushed. A Target is one address that is scraped. Outcome says what
// became of what was pushed: taken, refused and why.
//
// Labels. Every series that belongs to a project carries `project`, and `environment` when
// it is known; a series without `project` is the platform's. Both come from the place that
// a series was found at, never from who exposes it: a target that has such labels of its
// own keeps them as `exported_project` and `exported_environment`. What applications push
// by OTLP carries `service_name`; what is scraped from annotated pods has the job
// "kubernetes-pods"; the cluster's own have the jobs "kubelet", "cadvisor" and
// "kube-state-metrics", and the server's "towpath".
//
// Invariants. A question is confined in the storage, below PromQL: whatever the text says,
// no series of another project is read. What Append returned without an error lies fsynced
// in the write-ahead log (WAL) of the TSDB; what is scraped is in the WAL without an fsync
// of its own, as in Prometheus: a crash of the process loses nothing, a crash of the
// machine the last seconds. A project that has as many series as it may have gets no new
// one; the old ones go on.
//
// It imports the kernel and Prometheus; the virtual tables over it are package
// metric/virtual. It asks for no rights: that is the business of package monitor.
package metric

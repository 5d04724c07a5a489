// Package recommended holds the alerting rules that come with the platform: the forty that
// Azure recommends for Kubernetes, corrected where they are wrong.
//
// Nouns. A Rule is one of them, as it stands in rules.yaml, a rules file of Prometheus.
//
// Invariants. Each rule has a fixture in testdata that makes it fire and resolve on the
// real engine, beside a case that is nearly the same and must stay quiet. Rules use only
// series that the platform has: the state series with the names of kube-state-metrics, and
// those of the kubelet and its cAdvisor; Series lists them.
//
// It imports the standard library and the libraries of Prometheus.
package recommended

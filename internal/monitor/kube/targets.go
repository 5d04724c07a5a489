package kube

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/metric"
	"towpath.dev/towpath/internal/monitor/table"
)

// Addresses of handlers in this process.
const (
	throughAPI  = "cluster-api"
	stateSeries = "kube-state"
)

// What is kept of the thousands of series that a kubelet offers: what the recommended
// rules, the virtual tables and `towpath top` read.
const (
	keepKubelet = `kubernetes_build_info|kubelet_node_name|kubelet_certificate_manager_.*|kubelet_server_expiration_renew_errors|` +
		`kubelet_pod_worker_duration_seconds_(bucket|sum|count)|kubelet_pod_start_duration_seconds_(bucket|sum|count)|kubelet_volume_stats_.*|` +
		`kubelet_running_(pods|containers)|rest_client_requests_total|prober_probe_total|` +
		`node_cpu_usage_seconds_total|node_memory_working_set_bytes|pod_cpu_usage_seconds_total|pod_memory_working_set_bytes|process_cpu_seconds_total|process_resident_memory_bytes`
	keepContainers = `container_cpu_usage_seconds_total|container_cpu_cfs_(throttled_)?periods_total|container_memory_(working_set_bytes|rss|usage_bytes)|` +
		`container_spec_(cpu_quota|cpu_period|memory_limit_bytes)|container_network_(receive|transmit)_(bytes|errors|packets_dropped)_total|` +
		`container_fs_(usage_bytes|limit_bytes|reads_bytes_total|writes_bytes_total|reads_total|writes_total|io_time_seconds_total)|` +
		`container_start_time_seconds|container_oom_events_total|machine_cpu_cores|machine_memory_bytes`
)

// The annotations by which pods ask to be scraped.
const (
	annotationScrape = "prometheus.io/scrape"
	annotationPort   = "prometheus.io/port"
	annotationPath   = "prometheus.io/path"
	annotationScheme = "prometheus.io/scheme"
)

// Targets returns what is to be scraped; see metric.Targets: the kubelets with what they
// know of containers, the state series, and pods whose annotations ask for it.
func (w *Watcher) Targets() []metric.Target {
	v := w.view.Load()
	if v == nil {
		return nil
	}
	out := []metric.Target{{
		Job: "kube-state-metrics", Address: stateSeries, Instance: stateSeries, ByNamespace: true, Labels: map[string]string{"cluster": w.o.Name},
	}}
	for _, n := range v.Nodes() {
		out = append(out, w.nodeTargets(n.Name)...)
	}
	for _, p := range v.Pods() {
		if t, ok := w.podTarget(p); ok {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b metric.Target) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Path, b.Path))
	})
	return out
}

// nodeTargets are those of a kubelet, through the API server: it knows the way, checks the
// kubelet's certificate and has its own right to ask, on any cluster.
func (w *Watcher) nodeTargets(node string) []metric.Target {
	var out []metric.Target
	for _, p := range [...]string{"/metrics", "/metrics/cadvisor", "/metrics/resource", "/metrics/probes"} {
		t := metric.Target{
			Job: "kubelet", Address: throughAPI, Path: "/api/v1/nodes/" + node + "/proxy" + p, Instance: node, ByNamespace: true, Keep: keepKubelet,
			Labels: map[string]string{"cluster": w.o.Name, "node": node, "metrics_path": p},
		}
		if p == "/metrics/cadvisor" {
			// Of control groups that belong to no pod only the whole node's is of interest, and
			// those of containers, which end in an id of 64 digits: the watcher knows whose.
			t.Job, t.Keep, t.Drop = "cadvisor", keepContainers, &metric.Match{Labels: []string{"pod", "id"}, Regex: ";/(.*/)?([^/]{1,63}|[^/]{65,})"}
		}
		out = append(out, t)
	}
	return out
}

// podTarget returns the target that a pod's annotations ask for. A pod of the host's
// network is scraped only when it is the platform's: its address is everybody's.
func (w *Watcher) podTarget(p *corev1.Pod) (metric.Target, bool) {
	at, known := w.ByUID(string(p.UID))
	if p.Annotations[annotationScrape] != "true" || !known || p.Status.Phase != corev1.PodRunning || p.Spec.HostNetwork && at.Project != "" {
		return metric.Target{}, false
	}
	port, ok := portOf(p)
	ip, err := netip.ParseAddr(p.Status.PodIP)
	if !ok || err != nil || ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() {
		return metric.Target{}, false
	}
	where := path.Clean("/" + cmp.Or(p.Annotations[annotationPath], "metrics"))
	scheme := cmp.Or(p.Annotations[annotationScheme], "http")
	if len(where) > 512 || strings.ContainsAny(where, "?#%\\") || scheme != "http" && scheme != "https" {
		return metric.Target{}, false
	}
	t := metric.Target{
		Job: "kubernetes-pods", Scheme: scheme, Path: where, Instance: net.JoinHostPort(ip.String(), strconv.Itoa(port)),
		Labels: map[string]string{
			"cluster": w.o.Name, "namespace": p.Namespace, "pod": p.Name, "node": p.Spec.NodeName, "project": at.Project, "environment": at.Environment, "workload": at.Workload,
		},
	}
	t.Address = t.Instance
	if !w.o.Direct {
		t.Address, t.Scheme = throughAPI, "http"
		t.Path = fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:%s:%d/proxy%s", p.Namespace, scheme, p.Name, port, where)
	}
	return t, true
}

// portOf returns the port that is asked for, else the first that the pod declares.
func portOf(p *corev1.Pod) (int, bool) {
	if text := p.Annotations[annotationPort]; text != "" {
		n, err := strconv.Atoi(text)
		return n, err == nil && n > 0 && n < 65536
	}
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Protocol == "" || port.Protocol == corev1.ProtocolTCP {
				return int(port.ContainerPort), true
			}
		}
	}
	return 0, false
}

// proxy reaches into the cluster with the platform's rights.
type proxy struct {
	to        *url.URL
	transport http.RoundTripper
}

func newProxy(cfg *rest.Config) (*proxy, error) {
	transport, err := rest.TransportFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	to, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return &proxy{to, transport}, nil
}

// proxied is what the scraper may ask through the API server, and nothing else.
var proxied = regexp.MustCompile(`^/api/v1/(nodes/[a-z0-9.-]+/proxy/metrics(/[a-z]+)?|namespaces/[a-z0-9-]+/pods/https?:[a-z0-9.-]+:[0-9]+/proxy/.*)$`)

// serveProxy answers the scraper. The credentials stay in this process.
func (w *Watcher) serveProxy(rw http.ResponseWriter, r *http.Request) {
	p := w.proxy.Load()
	if p == nil {
		http.Error(rw, "the cluster is away", fault.Unavailable.Status())
		return
	}
	if r.Method != http.MethodGet || !proxied.MatchString(r.URL.Path) || path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") {
		http.Error(rw, "not a path of metrics", fault.Denied.Status())
		return
	}
	(&httputil.ReverseProxy{
		Transport: p.transport,
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(p.to)
			pr.Out.Host = p.to.Host
			pr.Out.Header = http.Header{"Accept": pr.In.Header["Accept"], "Accept-Encoding": pr.In.Header["Accept-Encoding"], "User-Agent": {"towpath"}}
		},
		ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, err error) {
			http.Error(rw, "the API server does not answer: "+table.Clip(err.Error(), 200), http.StatusBadGateway)
		},
	}).ServeHTTP(rw, r)
}

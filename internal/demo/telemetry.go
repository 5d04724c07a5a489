package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// answer is a query's result as `towpath query -o json` prints it.
type answer struct {
	Columns []struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"columns"`
	Rows  [][]any        `json:"rows"`
	Stats map[string]any `json:"stats"`
}

// logsQuery is the question of the README.
const logsQuery = `ContainerLogV2 | where PodNamespace == "shop" | summarize count() by bin(TimeGenerated, 1m), LogLevel`

// visit sends a shopper's requests through the front door.
func (t *tour) visit(ctx context.Context, n int) error {
	for range n {
		for _, path := range []string{"/", "/api/shop"} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.door+path, nil)
			if err != nil {
				return err
			}
			req.Host = "shop.localhost"
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask runs a query until it has rows.
func (t *tour) ask(ctx context.Context, text string, limit time.Duration) (answer, error) {
	var a answer
	err := until(ctx, limit, text, func() (bool, error) {
		err := t.read(ctx, &a, "query", text)
		return err == nil && len(a.Rows) > 0, err
	})
	return a, err
}

// logsAsked asks every table that the sample and the cluster fill.
func (t *tour) logsAsked(ctx context.Context) (found, error) {
	if err := t.visit(ctx, 20); err != nil {
		return found{}, err
	}
	first, err := t.ask(ctx, logsQuery, time.Minute)
	if err != nil {
		return found{}, err
	}
	evidence := map[string]any{"query": logsQuery, "columns": first.Columns, "rows": first.Rows, "stats": first.Stats}
	for name, text := range map[string]string{
		"AppRequests":      `AppRequests | where AppRoleName == "web" | summarize Requests = sum(ItemCount), P95 = percentile(DurationMs, 95) by Name, Release`,
		"AppDependencies":  `AppDependencies | summarize Calls = sum(ItemCount) by AppRoleName, Target, DependencyType`,
		"AppExceptions":    `AppExceptions | summarize Exceptions = sum(ItemCount) by AppRoleName, ExceptionType, ProblemId`,
		"KubePodInventory": `KubePodInventory | where Namespace == "shop" | summarize arg_max(TimeGenerated, PodStatus, ContainerStatus) by Name`,
		"KubeEvents":       `KubeEvents | where Namespace == "shop" | summarize count() by Reason`,
		"Perf":             `Perf | where ObjectName == "K8SContainer" and CounterName == "memoryWorkingSetBytes" | summarize avg(CounterValue) by InstanceName`,
		"InsightsMetrics":  `InsightsMetrics | summarize count() by Namespace, Name | take 20`,
	} {
		if name == "AppExceptions" {
			if err := t.provoke(ctx); err != nil {
				return found{}, err
			}
		}
		a, err := t.ask(ctx, text, 90*time.Second)
		if err != nil {
			return found{}, err
		}
		evidence[name] = map[string]any{"query": text, "columns": a.Columns, "rows": a.Rows[:min(len(a.Rows), 20)]}
	}
	return found{detail: fmt.Sprintf("%d rows of logs by minute and level; seven other tables answer", len(first.Rows)), evidence: evidence}, nil
}

// metricsAsked asks the metrics in PromQL.
func (t *tour) metricsAsked(ctx context.Context) (found, error) {
	const expr = `sum by (namespace, pod) (container_memory_working_set_bytes{namespace="shop", container!=""})`
	var series []struct {
		Labels map[string]string `json:"labels"`
		Values []any             `json:"values"`
	}
	err := until(ctx, 90*time.Second, expr, func() (bool, error) {
		err := t.read(ctx, &series, "query", "--promql", expr)
		return err == nil && len(series) >= 4, err
	})
	if err != nil {
		return found{}, err
	}
	return found{detail: fmt.Sprintf("%d series of %s", len(series), "container_memory_working_set_bytes"), evidence: map[string]any{"query": expr, "series": series}}, nil
}

// traceAsked follows one request through the services of the sample.
func (t *tour) traceAsked(ctx context.Context) (found, error) {
	if err := t.visit(ctx, 2); err != nil {
		return found{}, err
	}
	const text = `AppRequests | where AppRoleName == "web" | join kind=inner (AppRequests | summarize Roles = dcount(AppRoleName) by OperationId | where Roles >= 3) on OperationId | top 1 by TimeGenerated | project OperationId`
	a, err := t.ask(ctx, text, time.Minute)
	if err != nil {
		return found{}, err
	}
	id, _ := a.Rows[0][0].(string)
	var trace struct {
		Spans    int      `json:"spans"`
		Roles    []string `json:"roles"`
		Releases []string `json:"releases"`
	}
	if err := t.read(ctx, &trace, "spans", id); err != nil {
		return found{}, err
	}
	for _, role := range []string{"web", "cart", "pricing", "catalog"} {
		if !slices.Contains(trace.Roles, role) {
			return found{}, fmt.Errorf("the trace %s has spans of %v, none of %s", id, trace.Roles, role)
		}
	}
	return found{
		detail:   fmt.Sprintf("%d spans of %s in %s", trace.Spans, strings.Join(trace.Roles, ", "), id),
		evidence: map[string]any{"trace": id, "spans": trace.Spans, "roles": trace.Roles, "releases": trace.Releases},
	}, nil
}

// told is what a webhook was sent.
type told struct {
	Status string `json:"status"`
	Alerts []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"alerts"`
}

// pager is a webhook on loopback that keeps what it is sent.
type pager struct {
	server *http.Server
	url    string

	mu  sync.Mutex
	got []told
}

func newPager() (*pager, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &pager{url: "http://" + l.Addr().String() + "/hook"}
	p.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var v told
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&v); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got = append(p.got, v)
	})}
	go func() { _ = p.server.Serve(l) }() // Ends with Close.
	return p, nil
}

// has reports whether an alert of the rule came in a state.
func (p *pager) has(rule, status string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.got {
		for _, a := range v.Alerts {
			if a.Labels["alertname"] == rule && a.Status == status {
				return true
			}
		}
	}
	return false
}

// rule is the recommended one that a container which ends again and again fires.
const rule = "KubePodCrashLooping"

// alarm is an alert as the command line shows it.
type alarm struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	State    string    `json:"state"`
	Severity string    `json:"severity"`
	Summary  string    `json:"summary"`
	Release  string    `json:"release"`
	Pod      string    `json:"pod"`
	Fired    time.Time `json:"fired"`
	Resolved time.Time `json:"resolved"`
	Why      string    `json:"why"`
}

// alerted waits until an alert of the rule is in a state.
func (t *tour) alerted(ctx context.Context, state string, limit time.Duration) (alarm, error) {
	var last []alarm
	err := until(ctx, limit, rule+" to be "+state, func() (bool, error) {
		var list []alarm
		if err := t.read(ctx, &list, "alert", "list", "--environment", "production", "--state", state); err != nil {
			return false, err
		}
		last = slices.DeleteFunc(list, func(a alarm) bool { return a.Name != rule })
		return len(last) > 0, nil
	})
	if err != nil {
		return alarm{}, err
	}
	return last[0], nil
}

// alertFired makes a pod crash and waits until the recommended rule fires and is routed.
func (t *tour) alertFired(ctx context.Context) (found, error) {
	p, err := newPager()
	if err != nil {
		return found{}, err
	}
	t.pager = p
	// The shipped rule waits a quarter of an hour before it wakes somebody. Whoever watches a
	// demonstration does not.
	if _, err := t.towpath(ctx, "alert", "rule", "tune", rule, "--for", "15s", "--every", "5s"); err != nil {
		return found{}, err
	}
	if _, err := t.towpath(ctx, "alert", "receiver", "put", "pager", "--webhook", p.url); err != nil {
		return found{}, err
	}
	routes := "routes:\n  - receiver: pager\n    group_wait: 1s\n    group_interval: 5s\n"
	if err := t.apply(ctx, "routes.yaml", routes, "alert", "route", "apply"); err != nil {
		return found{}, err
	}
	start := time.Now()
	if _, err := t.towpath(ctx, "kubectl", "-n", "shop", "set", "env", "deployment/cart", "CRASH=true"); err != nil {
		return found{}, err
	}
	a, err := t.alerted(ctx, "firing", 4*time.Minute)
	if err != nil {
		return found{}, err
	}
	err = until(ctx, time.Minute, "the webhook to be told", func() (bool, error) { return p.has(rule, "firing"), nil })
	if err != nil {
		return found{}, err
	}
	if a.Release == "" {
		return found{}, fmt.Errorf("the alert %s names no release", a.ID)
	}
	return found{
		detail:   fmt.Sprintf("%s (%s) on %s of %s, and the webhook was told", a.Name, a.Severity, a.Pod, a.Release),
		evidence: map[string]any{"alert": a, "seconds_since_crash": time.Since(start).Seconds()},
	}, nil
}

// alertResolved mends the pod and waits until the alert resolves.
func (t *tour) alertResolved(ctx context.Context) (found, error) {
	if _, err := t.towpath(ctx, "kubectl", "-n", "shop", "set", "env", "deployment/cart", "CRASH-"); err != nil {
		return found{}, err
	}
	a, err := t.alerted(ctx, "resolved", 3*time.Minute)
	if err != nil {
		return found{}, err
	}
	err = until(ctx, time.Minute, "the webhook to be told of the end", func() (bool, error) { return t.pager.has(rule, "resolved"), nil })
	if err != nil {
		return found{}, err
	}
	// Both stand in the release's chain.
	var chain struct {
		Stations []struct {
			Kind  string `json:"kind"`
			Title string `json:"title"`
		} `json:"stations"`
	}
	if err := t.read(ctx, &chain, "trace", "release/"+a.Release); err != nil {
		return found{}, err
	}
	there := false
	for _, s := range chain.Stations {
		there = there || s.Kind == "alert"
	}
	if !there {
		return found{}, fmt.Errorf("the chain of %s has no alert", a.Release)
	}
	if err := t.unpage(ctx); err != nil {
		return found{}, err
	}
	return found{detail: fmt.Sprintf("resolved after %.0f s: %s", a.Resolved.Sub(a.Fired).Seconds(), a.Why), evidence: map[string]any{"alert": a, "stations": chain.Stations}}, nil
}

// unpage puts rule, routes and receiver back as they were.
func (t *tour) unpage(ctx context.Context) error {
	if err := t.apply(ctx, "routes.yaml", "routes: []\n", "alert", "route", "apply"); err != nil {
		return err
	}
	if _, err := t.towpath(ctx, "alert", "receiver", "remove", "pager"); err != nil {
		return err
	}
	if _, err := t.towpath(ctx, "alert", "rule", "tune", rule, "--for", "15m", "--every", "1m"); err != nil {
		return err
	}
	return t.pager.server.Close()
}

// provoke makes requests fail for a moment: the catalogue is away while the shop is asked.
func (t *tour) provoke(ctx context.Context) error {
	scale := func(n string) error {
		_, err := t.towpath(ctx, "kubectl", "-n", "shop", "scale", "deployment/catalog", "--replicas="+n)
		return err
	}
	b, err := t.towpath(ctx, "kubectl", "-n", "shop", "get", "deployment/catalog", "-o", "jsonpath={.spec.replicas}")
	if err != nil {
		return err
	}
	if err := scale("0"); err != nil {
		return err
	}
	_, err = t.towpath(ctx, "kubectl", "-n", "shop", "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=catalog", "--timeout=60s")
	err = errors.Join(err, t.visit(ctx, 3), scale(string(b)))
	if err != nil {
		return err
	}
	_, err = t.towpath(ctx, "kubectl", "-n", "shop", "rollout", "status", "deployment/catalog", "--timeout=60s")
	return err
}

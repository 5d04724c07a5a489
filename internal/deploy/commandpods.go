package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/kubectl/pkg/polymorphichelpers"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
)

// podsNamed are the pods that a command means: by name, by the workload that has them, or by
// labels.
func (r *lookup) podsNamed(ctx context.Context, client kubernetes.Interface, c Command) ([]corev1.Pod, error) {
	selector := c.Call.Option("selector")
	if len(c.Call.Args) == 1 && selector == "" && !strings.Contains(c.Call.Args[0], "/") {
		p, err := client.CoreV1().Pods(r.env.Namespace).Get(ctx, c.Call.Args[0], metav1.GetOptions{})
		if err != nil {
			return nil, objectFault(err, "reading", manifest.Named{Kind: "pod", Name: c.Call.Args[0]})
		}
		return []corev1.Pod{*p}, nil
	}
	if selector == "" {
		_, list, err := c.Call.Targets()
		if err != nil || len(list) != 1 {
			return nil, fault.New(fault.Invalid, "kubectl %s names no pod.", c.Call.Verb).WithNext("write POD, or deployment/NAME")
		}
		o, err := r.read(ctx, list[0])
		if err != nil {
			return nil, err
		}
		if kindOf(o) == "Pod" {
			p, err := asObject[corev1.Pod](o)
			return []corev1.Pod{*p}, err
		}
		labels := map[string]string{}
		for k, v := range mapOf(mapOf(mapOf(o, "spec"), "selector"), "matchLabels") {
			labels[k] = fmt.Sprint(v)
		}
		if kindOf(o) == "Service" {
			for k, v := range mapOf(mapOf(o, "spec"), "selector") {
				labels[k] = fmt.Sprint(v)
			}
		}
		if len(labels) == 0 {
			return nil, fault.New(fault.Invalid, "%s %s selects no pods.", list[0].Kind, list[0].Name)
		}
		selector = metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: labels})
	}
	list, err := client.CoreV1().Pods(r.env.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, objectFault(err, "listing", manifest.Named{Kind: "pods"})
	}
	if len(list.Items) == 0 {
		return nil, fault.New(fault.NotFound, "No pod has the labels %s.", selector)
	}
	return list.Items, nil
}

func (r *lookup) clients() (kubernetes.Interface, error) {
	client, err := kubernetes.NewForConfig(r.cfg)
	if err != nil {
		return nil, fmt.Errorf("making a cluster client: %w", err)
	}
	return client, nil
}

// logs reads what pods have written so far.
func (r *lookup) logs(ctx context.Context, c Command) (string, error) {
	client, err := r.clients()
	if err != nil {
		return "", err
	}
	list, err := r.podsNamed(ctx, client, c)
	if err != nil {
		return "", err
	}
	if c.Call.Option("selector") == "" {
		list = list[:1] // as kubectl: one pod of a workload
	}
	o := corev1.PodLogOptions{Container: c.Call.Option("container"), Previous: c.Call.Flag("previous", false), Timestamps: c.Call.Flag("timestamps", false)}
	if v := c.Call.Option("tail"); v != "" && v != "-1" {
		n, err := c.Call.Whole("tail", 0)
		if err != nil {
			return "", err
		}
		lines := int64(n)
		o.TailLines = &lines
	}
	if since, err := c.Call.Wait("since", 0); err != nil {
		return "", err
	} else if since > 0 {
		seconds := int64(since / time.Second)
		o.SinceSeconds = &seconds
	}
	var out bytes.Buffer
	for _, p := range list {
		containers := []string{o.Container}
		if c.Call.Flag("all-containers", false) {
			containers = nil
			for _, v := range p.Spec.Containers {
				containers = append(containers, v.Name)
			}
		}
		for _, name := range containers {
			o := o
			o.Container = name
			body, err := client.CoreV1().Pods(r.env.Namespace).GetLogs(p.Name, &o).Stream(ctx)
			if err != nil {
				return "", objectFault(err, "reading the log of", manifest.Named{Kind: "pod", Name: p.Name})
			}
			_, err = io.Copy(&out, io.LimitReader(body, maxSaid-int64(out.Len())))
			if err = errors.Join(err, body.Close()); err != nil {
				return "", fmt.Errorf("reading the log of pod %s: %w", p.Name, err)
			}
		}
	}
	return out.String(), nil
}

// exec runs a program in a container, without a terminal and with nothing to read.
func (r *lookup) exec(ctx context.Context, c Command, say Say) (string, error) {
	client, err := r.clients()
	if err != nil {
		return "", err
	}
	words := c.Call.Rest
	if len(words) == 0 {
		return "", fault.New(fault.Invalid, "kubectl exec names no program.").WithNext("write exec POD -- PROGRAM ARGUMENT…")
	}
	list, err := r.podsNamed(ctx, client, c)
	if err != nil {
		return "", err
	}
	pod, container := list[0], c.Call.Option("container")
	if container == "" {
		container = pod.Spec.Containers[0].Name
	}
	req := client.CoreV1().RESTClient().Post().Resource("pods").Name(pod.Name).Namespace(r.env.Namespace).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: words, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	run, err := executor(r, req.URL())
	if err != nil {
		return "", err
	}
	out := &limited{}
	errs := &limited{}
	err = run.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: out, Stderr: errs})
	for line := range strings.Lines(errs.String()) {
		say(strings.TrimSuffix(line, "\n"))
	}
	if err != nil {
		return out.String(), fault.Wrap(fault.Invalid, err, "%s in pod %s: %s.", words[0], pod.Name, firstLine(err.Error()))
	}
	return out.String(), nil
}

// executor talks WebSocket, and SPDY to a cluster that does not.
func executor(r *lookup, at *url.URL) (remotecommand.Executor, error) {
	ws, err := remotecommand.NewWebSocketExecutor(r.cfg, "GET", at.String())
	if err != nil {
		return nil, fmt.Errorf("reaching a container: %w", err)
	}
	spdy, err := remotecommand.NewSPDYExecutor(r.cfg, "POST", at)
	if err != nil {
		return nil, fmt.Errorf("reaching a container: %w", err)
	}
	return remotecommand.NewFallbackExecutor(ws, spdy, func(err error) bool { return strings.Contains(err.Error(), "unable to upgrade") })
}

// limited keeps the first maxSaid bytes of what is written to it. It is safe for concurrent use.
type limited struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *limited) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(b[:min(len(b), max(0, maxSaid-l.buf.Len()))])
	return len(b), nil
}

func (l *limited) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// status waits until a workload is rolled out, as "rollout status" does.
func (r *lookup) status(ctx context.Context, c Command, say Say) (string, error) {
	_, list, err := c.Call.Targets()
	if err != nil {
		return "", err
	}
	limit, err := c.Call.Wait("timeout", DefaultTimeout)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	last := ""
	for _, o := range list {
		viewed := ""
		for {
			now, err := r.read(ctx, o)
			if err != nil {
				return "", err
			}
			viewer, err := polymorphichelpers.StatusViewerFor((&unstructured.Unstructured{Object: now}).GroupVersionKind().GroupKind())
			if err != nil {
				return "", fault.Wrap(fault.Invalid, err, "%s %s has no rollout.", o.Kind, o.Name)
			}
			word, done, err := viewer.Status(&unstructured.Unstructured{Object: now}, 0)
			if err != nil {
				return "", fault.Wrap(fault.Conflict, err, "The rollout of %s %s failed: %s", o.Kind, o.Name, firstLine(err.Error()))
			}
			if word = strings.TrimSpace(word); done {
				last += word + "\n"
				break
			}
			if word != viewed {
				viewed = word
				say(word)
			}
			if !c.Call.Flag("watch", true) {
				return word + "\n", nil
			}
			if err := sleep(ctx, pollEvery); err != nil {
				return "", fault.Wrap(fault.Unavailable, err, "%s %s is not rolled out after %s: %s", o.Kind, o.Name, limit, viewed)
			}
		}
	}
	return last, nil
}

// wait waits for a condition of objects, or until they are gone.
func (r *lookup) wait(ctx context.Context, c Command, say Say) (string, error) {
	kind, list, err := c.Call.Targets()
	if err != nil {
		return "", err
	}
	if kind != "" {
		found, err := r.all(ctx, kind, metav1.ListOptions{LabelSelector: c.Call.Option("selector")})
		if err != nil {
			return "", err
		}
		for _, o := range found {
			list = append(list, namedAs(o))
		}
	}
	limit, err := c.Call.Wait("timeout", 30*time.Second) // as kubectl has it
	if err != nil {
		return "", err
	}
	what, wanted, _ := strings.Cut(c.Call.Option("for"), "=")
	if what != "delete" && what != "condition" {
		return "", fault.New(fault.Invalid, "The option --for=%s of kubectl wait is none that Kubernetes@1 has here.", c.Call.Option("for")).WithNext("use --for=condition=NAME or --for=delete")
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out strings.Builder
	for _, o := range list {
		for {
			now, err := r.read(ctx, o)
			gone := fault.Is(err, fault.NotFound)
			if err != nil && !(gone && what == "delete") {
				return "", err
			}
			if what == "delete" && gone || what == "condition" && met(now, wanted) {
				fmt.Fprintf(&out, "%s/%s condition met\n", strings.ToLower(o.Kind), o.Name)
				break
			}
			if err := sleep(ctx, pollEvery); err != nil {
				return "", fault.Wrap(fault.Unavailable, err, "timed out waiting for the condition %s on %s/%s", c.Call.Option("for"), o.Kind, o.Name)
			}
		}
	}
	return out.String(), nil
}

// met reports whether an object has a condition: "Available", or "Ready=False".
func met(o map[string]any, want string) bool {
	name, value, has := strings.Cut(want, "=")
	if !has {
		value = "True"
	}
	for _, v := range listOf(mapOf(o, "status"), "conditions") {
		c, _ := v.(map[string]any)
		if strings.EqualFold(fmt.Sprint(c["type"]), name) {
			return strings.EqualFold(fmt.Sprint(c["status"]), value)
		}
	}
	return false
}

package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/fault"
)

// labelTrack marks pods with their track; a routed service's stable twin selects by it.
const (
	labelTrack = "towpath.dev/track"
	stable     = "stable"
)

// Domain is the cluster's DNS domain: that of the embedded cluster, and the default of all
// others.
const Domain = "cluster.local"

// maxServices bounds how many services of a namespace a session hears of.
const maxServices = 500

// Target reads a service with the Deployment behind it.
func (p *Pods) Target(ctx context.Context, namespace, service string, secrets bool) (dev.Target, error) {
	c, _, err := p.client(ctx)
	if err != nil {
		return dev.Target{}, err
	}
	list, err := c.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{Limit: maxServices})
	if err != nil {
		return dev.Target{}, fmt.Errorf("listing the services of %s: %w", namespace, err)
	}
	byName := map[string]*corev1.Service{}
	for i := range list.Items {
		byName[list.Items[i].Name] = &list.Items[i]
	}
	svc := byName[service]
	if svc == nil {
		return dev.Target{}, fault.New(fault.NotFound, "There is no service %s in namespace %s.", service, namespace).
			WithNext("choose one of: %s", strings.Join(offered(byName), ", "))
	}
	// The twin of a routed service has the selector and the target ports that the chart gave it.
	origin := svc
	if twin := byName[service+"-"+stable]; twin != nil {
		origin = twin
	}
	workload, err := behind(ctx, c, namespace, origin)
	if err != nil {
		return dev.Target{}, err
	}
	t := dev.Target{Workload: workload.Name, Ports: portsOf(origin, workload), Domain: Domain}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		t.Services = append(t.Services, neighbor(byName[name]))
	}
	v := &values{client: c, namespace: namespace, secrets: secrets, template: workload.Spec.Template, known: map[string]string{}}
	if err := v.resolve(ctx, workload.Spec.Template.Spec.Containers[0]); err != nil {
		return dev.Target{}, err
	}
	t.Env, t.LeftOut = v.out, v.left
	return t, nil
}

// offered names the services that a session may be on: not the tracks' own.
func offered(all map[string]*corev1.Service) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		base := name
		for _, track := range []string{"-stable", "-baseline", "-canary"} {
			base = strings.TrimSuffix(base, track)
		}
		if base == name || all[base] == nil {
			out = append(out, name)
		}
	}
	return out[:min(len(out), 20)]
}

// behind finds the Deployment whose pods a service selects, the stable one when there are
// several, the first by name.
func behind(ctx context.Context, c kubernetes.Interface, namespace string, svc *corev1.Service) (*appsv1.Deployment, error) {
	want := maps.Clone(svc.Spec.Selector)
	delete(want, labelTrack)
	var found *appsv1.Deployment
	if len(want) > 0 {
		all, err := c.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("listing the deployments of %s: %w", namespace, err)
		}
		for i := range all.Items {
			d := &all.Items[i]
			has := d.Spec.Template.Labels
			if track := has[labelTrack]; track != "" && track != stable || !labels.SelectorFromSet(want).Matches(labels.Set(has)) || len(d.Spec.Template.Spec.Containers) == 0 {
				continue
			}
			if found == nil || d.Name < found.Name {
				found = d
			}
		}
	}
	if found == nil {
		return nil, fault.New(fault.Invalid, "No Deployment is behind service %s of namespace %s, and a session stands in for one.", svc.Name, namespace).
			WithNext("choose a service of a Deployment; StatefulSets and services without a selector have no sessions")
	}
	return found, nil
}

func portsOf(svc *corev1.Service, d *appsv1.Deployment) []dev.Port {
	var out []dev.Port
	for _, p := range svc.Spec.Ports {
		if p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
			continue
		}
		out = append(out, dev.Port{Name: p.Name, Port: int(p.Port), Target: targetOf(p, d)})
	}
	return out
}

func targetOf(p corev1.ServicePort, d *appsv1.Deployment) int {
	if p.TargetPort.Type == intstr.Int && p.TargetPort.IntValue() > 0 {
		return p.TargetPort.IntValue()
	}
	if d != nil && p.TargetPort.Type == intstr.String {
		for _, c := range d.Spec.Template.Spec.Containers {
			for _, port := range c.Ports {
				if port.Name == p.TargetPort.StrVal {
					return int(port.ContainerPort)
				}
			}
		}
	}
	return int(p.Port)
}

func neighbor(svc *corev1.Service) dev.Neighbor {
	n := dev.Neighbor{Name: svc.Name, Address: svc.Spec.ClusterIP, Ports: []dev.Port{}}
	if n.Address == corev1.ClusterIPNone {
		n.Address = ""
	}
	for _, p := range svc.Spec.Ports {
		if p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
			n.Ports = append(n.Ports, dev.Port{Name: p.Name, Port: int(p.Port), Target: int(p.Port)})
		}
	}
	return n
}

// values resolves the environment of a container as the kubelet does, but for secrets that
// may not be read and for shares of the node's resources.
type values struct {
	client    kubernetes.Interface
	namespace string
	secrets   bool
	template  corev1.PodTemplateSpec
	known     map[string]string
	out       []dev.Value
	left      []string
}

func (v *values) resolve(ctx context.Context, c corev1.Container) error {
	for _, from := range c.EnvFrom {
		if err := v.whole(ctx, from); err != nil {
			return err
		}
	}
	for _, e := range c.Env {
		if err := v.one(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (v *values) put(name, value string, secret bool) {
	v.known[name] = value
	entry := dev.Value{Name: name, Value: value, Secret: secret}
	for i := range v.out {
		if v.out[i].Name == name { // The later one wins, as in a pod.
			v.out[i] = entry
			return
		}
	}
	v.out = append(v.out, entry)
}

func (v *values) isSecret(name string) bool {
	return slices.ContainsFunc(v.out, func(e dev.Value) bool { return e.Name == name && e.Secret })
}

func (v *values) whole(ctx context.Context, from corev1.EnvFromSource) error {
	switch {
	case from.ConfigMapRef != nil:
		data, err := v.configMap(ctx, from.ConfigMapRef.Name)
		for _, k := range slices.Sorted(maps.Keys(data)) {
			v.put(from.Prefix+k, data[k], false)
		}
		return err
	case from.SecretRef != nil && !v.secrets:
		v.left = append(v.left, fmt.Sprintf("all of secret %s", from.SecretRef.Name))
	case from.SecretRef != nil:
		data, err := v.secret(ctx, from.SecretRef.Name)
		for _, k := range slices.Sorted(maps.Keys(data)) {
			v.put(from.Prefix+k, string(data[k]), true)
		}
		return err
	}
	return nil
}

func (v *values) one(ctx context.Context, e corev1.EnvVar) error {
	switch f := e.ValueFrom; {
	case f == nil:
		value, used := expand(e.Value, v.known)
		v.put(e.Name, value, slices.ContainsFunc(used, v.isSecret)) // What a secret went into is secret.
	case f.ConfigMapKeyRef != nil:
		data, err := v.configMap(ctx, f.ConfigMapKeyRef.Name)
		if err != nil {
			return err
		}
		if value, ok := data[f.ConfigMapKeyRef.Key]; ok {
			v.put(e.Name, value, false)
		}
	case f.SecretKeyRef != nil && !v.secrets:
		v.left = append(v.left, fmt.Sprintf("%s (secret %s)", e.Name, f.SecretKeyRef.Name))
	case f.SecretKeyRef != nil:
		data, err := v.secret(ctx, f.SecretKeyRef.Name)
		if err != nil {
			return err
		}
		if value, ok := data[f.SecretKeyRef.Key]; ok {
			v.put(e.Name, string(value), true)
		}
	case f.FieldRef != nil:
		value, ok := v.field(f.FieldRef.FieldPath)
		if !ok {
			v.left = append(v.left, fmt.Sprintf("%s (field %s of a pod)", e.Name, f.FieldRef.FieldPath))
			break
		}
		v.put(e.Name, value, false)
	default:
		v.left = append(v.left, e.Name+" (belongs to a pod)")
	}
	return nil
}

// field resolves a field of the downward API: who the workload is, by its template; which
// pod it is and where, by a mark for the session's own pod, which stands in for it.
func (v *values) field(path string) (string, bool) {
	switch path {
	case "metadata.namespace":
		return v.namespace, true
	case "spec.serviceAccountName":
		if name := v.template.Spec.ServiceAccountName; name != "" {
			return name, true
		}
		return "default", true
	case "metadata.name", "metadata.uid", "spec.nodeName", "status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs":
		return dev.Mark(path), true
	}
	// "metadata.labels['app']"
	if key, ok := subscript(path, "metadata.labels"); ok {
		return v.template.Labels[key], true
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return v.template.Annotations[key], true
	}
	return "", false
}

func subscript(path, of string) (string, bool) {
	key, ok := strings.CutPrefix(path, of+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(key, "']")
}

func (v *values) configMap(ctx context.Context, name string) (map[string]string, error) {
	m, err := v.client.CoreV1().ConfigMaps(v.namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil // Optional, or the pods of the service do not start either.
	}
	if err != nil {
		return nil, fmt.Errorf("reading config map %s of %s: %w", name, v.namespace, err)
	}
	return m.Data, nil
}

func (v *values) secret(ctx context.Context, name string) (map[string][]byte, error) {
	m, err := v.client.CoreV1().Secrets(v.namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a secret of %s: %w", v.namespace, err)
	}
	return m.Data, nil
}

// expand replaces $(NAME) by values that are known and returns their names too; $$ stands
// for $, and what is not known stays (Kubernetes API reference, EnvVar.value).
func expand(s string, known map[string]string) (text string, used []string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		end := strings.IndexByte(s[i:], ')')
		switch {
		case s[i+1] == '$':
			b.WriteByte('$')
			i++
		case s[i+1] == '(' && end > 0:
			if value, ok := known[s[i+2:i+end]]; ok {
				b.WriteString(value)
				used = append(used, s[i+2:i+end])
			} else {
				b.WriteString(s[i : i+end+1])
			}
			i += end
		default:
			b.WriteByte('$')
		}
	}
	return b.String(), used
}

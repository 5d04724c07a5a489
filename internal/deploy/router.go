package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/deploy/route"
	"towpath.dev/towpath/internal/fault"
)

// The objects of a namespace's router.
const (
	routerName    = "towpath-router"
	routerApp     = "app.kubernetes.io/name"
	routerAdmin   = route.AdminPort
	routerManager = "towpath-routing" // field manager of what the platform applies
)

// routerSelector is what selects the router's pods; nobody else's pods carry it.
var routerSelector = map[string]any{routerApp: routerName}

// routerReadyIn bounds how long the router may take to become ready.
const routerReadyIn = 2 * time.Minute

// applied is an object that the platform applies server-side.
type applied struct {
	path string // of its collection, namespace included
	name string
	body map[string]any
}

// routerObjects are the objects of a router but its table, in the order in which they are
// applied.
func routerObjects(env Environment, image string, replicas int) []applied {
	labels := map[string]any{routerApp: routerName, managedBy: "towpath"}
	object := func(api, kind, collection, name string, rest map[string]any) applied {
		group := "/apis/" + api
		if api == "v1" {
			group = "/api/v1"
		}
		body := map[string]any{"apiVersion": api, "kind": kind, "metadata": map[string]any{"name": name, "namespace": env.Namespace, "labels": labels}}
		for k, v := range rest {
			body[k] = v
		}
		return applied{path: group + "/namespaces/" + env.Namespace + "/" + collection, name: name, body: body}
	}
	list := []applied{
		object("v1", "ServiceAccount", "serviceaccounts", routerName, map[string]any{"automountServiceAccountToken": false}),
		object("rbac.authorization.k8s.io/v1", "Role", "roles", routerName, map[string]any{"rules": []any{map[string]any{
			"apiGroups": []any{""}, "resources": []any{"configmaps"}, "resourceNames": []any{route.ConfigMap}, "verbs": []any{"get", "list", "watch"},
		}}}),
		object("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", routerName, map[string]any{
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": routerName},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": routerName, "namespace": env.Namespace}},
		}),
		object("apps/v1", "Deployment", "deployments", routerName, map[string]any{"spec": routerSpec(labels, image, replicas)}),
	}
	if replicas > 1 {
		list = append(list, object("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", routerName, map[string]any{"spec": map[string]any{
			"minAvailable": 1, "selector": map[string]any{"matchLabels": routerSelector},
		}}))
	}
	return list
}

func routerSpec(labels map[string]any, image string, replicas int) map[string]any {
	return map[string]any{
		"replicas": replicas,
		"strategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxUnavailable": 0, "maxSurge": 1}},
		"selector": map[string]any{"matchLabels": routerSelector},
		"template": map[string]any{
			"metadata": map[string]any{"labels": labels},
			"spec": map[string]any{
				"serviceAccountName": routerName, "automountServiceAccountToken": true, "enableServiceLinks": false,
				"terminationGracePeriodSeconds": 30,
				"securityContext": map[string]any{
					"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532, "seccompProfile": map[string]any{"type": "RuntimeDefault"},
				},
				"containers": []any{map[string]any{
					"name": "router", "image": image, "imagePullPolicy": "IfNotPresent", "args": []any{"router"},
					"env": []any{
						map[string]any{"name": "POD_NAMESPACE", "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "metadata.namespace"}}},
						map[string]any{"name": "POD_NAME", "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "metadata.name"}}},
					},
					"ports": []any{map[string]any{"name": "admin", "containerPort": routerAdmin, "protocol": "TCP"}},
					"securityContext": map[string]any{
						"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": map[string]any{"drop": []any{"ALL"}},
					},
					"readinessProbe": map[string]any{
						"httpGet": map[string]any{"path": "/readyz", "port": "admin"}, "periodSeconds": 1, "failureThreshold": 2,
					},
					"livenessProbe": map[string]any{
						"httpGet": map[string]any{"path": "/healthz", "port": "admin"}, "periodSeconds": 10, "failureThreshold": 3,
					},
					"resources": map[string]any{
						"requests": map[string]any{"cpu": "10m", "memory": "32Mi"}, "limits": map[string]any{"cpu": "1", "memory": "256Mi"},
					},
				}},
			},
		},
	}
}

// apply brings objects to the cluster, each as the platform's field manager.
func apply(ctx context.Context, c kubernetes.Interface, manager string, list []applied) error {
	for _, o := range list {
		body, err := json.Marshal(o.body)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", o.name, err)
		}
		err = c.CoreV1().RESTClient().Patch(types.ApplyPatchType).AbsPath(o.path, o.name).
			Param("fieldManager", manager).Param("force", "true").Body(body).Do(ctx).Error()
		if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
			// Whoever assigned the policy that refuses it has to let the platform's own objects be.
			return fault.Wrap(fault.Denied, err, "The platform's own %v %s is refused: %v.", o.body["kind"], o.name, err).
				WithNext("take it out of the policy: `towpath policy exempt ASSIGNMENT --object %v/NAMESPACE/%s --reason router`, or change the assignment", o.body["kind"], o.name)
		}
		if err != nil {
			return fmt.Errorf("applying %v %s: %w", o.body["kind"], o.name, err)
		}
	}
	return nil
}

// startRouter applies the objects of a router and waits until it is ready and knows the
// table of that version.
func (s *Service) startRouter(ctx context.Context, c kubernetes.Interface, env Environment, version int64) error {
	if s.Agent == nil {
		return fault.New(fault.Unavailable, "This server has no image of the router.").WithNext("start it from a build that has bin/towpath-agent")
	}
	image, err := s.Agent.AgentImage(ctx)
	if err != nil {
		return err
	}
	replicas := 1
	if env.Production() {
		replicas = 2
	}
	if err := applyRouter(ctx, c, env, image, replicas); err != nil {
		return err
	}
	if _, err := s.police(ctx, c, env); err != nil {
		return err
	}
	return awaitRouter(ctx, c, env.Namespace, version)
}

// awaitRouter waits until every pod of the router is ready and has the table of a version.
func awaitRouter(ctx context.Context, c kubernetes.Interface, namespace string, version int64) error {
	ctx, cancel := context.WithTimeout(ctx, routerReadyIn)
	defer cancel()
	why := "no pod of it is there"
	for {
		d, err := c.AppsV1().Deployments(namespace).Get(ctx, routerName, metav1.GetOptions{})
		if err == nil && d.Status.ObservedGeneration >= d.Generation && d.Spec.Replicas != nil && d.Status.UpdatedReplicas == *d.Spec.Replicas &&
			d.Status.AvailableReplicas == *d.Spec.Replicas && d.Status.Replicas == *d.Spec.Replicas {
			list := routers(ctx, c, namespace)
			i := slices.IndexFunc(list, func(r Router) bool { return !r.Ready || r.Version < version })
			if len(list) > 0 && i < 0 {
				return nil
			}
			if i >= 0 {
				why = fmt.Sprintf("pod %s has table %d of %d %s", list[i].Pod, list[i].Version, version, list[i].Why)
			}
		} else if list := routers(ctx, c, namespace); len(list) > 0 && list[0].Why != "" {
			why = "pod " + list[0].Pod + ": " + list[0].Why
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); cause != context.DeadlineExceeded {
				return cause
			}
			return fault.New(fault.Unavailable, "The router of namespace %s does not become ready: %s.", namespace, why).
				WithNext("look at it with `towpath kubectl -n %s describe pods -l %s=%s`", namespace, routerApp, routerName)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// routers lists the pods of a router with what they know.
func routers(ctx context.Context, c kubernetes.Interface, namespace string) []Router {
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: routerApp + "=" + routerName})
	if err != nil {
		return nil
	}
	var out []Router
	for _, p := range pods.Items {
		if p.DeletionTimestamp != nil {
			continue
		}
		word, _ := condition(&p)
		r := Router{Pod: p.Name, Ready: word == "ready"}
		if !r.Ready {
			r.Why = word
		} else if r.Version, err = routerVersion(ctx, c, &p); err != nil {
			r.Why = firstLine(err.Error())
		}
		out = append(out, r)
	}
	return out
}

// maxAnswer bounds what is read of a router, in bytes.
const maxAnswer = 16 << 20

// askRouter reads a page of a router pod's admin port through the API server, so that it
// works on clusters whose pods this host does not reach.
func askRouter(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod, page string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	b, err := c.CoreV1().Pods(pod.Namespace).ProxyGet("http", pod.Name, fmt.Sprint(routerAdmin), page, nil).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking router %s for %s: %w", pod.Name, page, err)
	}
	if len(b) > maxAnswer {
		return nil, fault.New(fault.TooLarge, "Router %s answers with %d bytes.", pod.Name, len(b))
	}
	return b, nil
}

// routerVersion is the version of the table that a router pod has.
func routerVersion(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) (int64, error) {
	b, err := askRouter(ctx, c, pod, "routes")
	if err != nil {
		return 0, err
	}
	var got struct {
		Version int64 `json:"version"`
		Table   struct {
			Version int64 `json:"version"`
		} `json:"table"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		return 0, fmt.Errorf("decoding what router %s knows: %w", pod.Name, err)
	}
	return max(got.Version, got.Table.Version), nil
}

// writeTable puts a table into its ConfigMap, unless a newer one is there.
func writeTable(ctx context.Context, c kubernetes.Interface, namespace string, t route.Table) error {
	document, err := route.Encode(t)
	if err != nil {
		return err
	}
	const annotation = "towpath.dev/version"
	api := c.CoreV1().ConfigMaps(namespace)
	for {
		now, err := api.Get(ctx, route.ConfigMap, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			_, err = api.Create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{
					Name: route.ConfigMap, Labels: map[string]string{"app.kubernetes.io/managed-by": "towpath"},
					Annotations: map[string]string{annotation: fmt.Sprint(t.Version)},
				},
				Data: map[string]string{route.Key: string(document)},
			}, metav1.CreateOptions{FieldManager: routerManager})
		case err == nil:
			var has route.Table
			if json.Unmarshal([]byte(now.Data[route.Key]), &has) == nil && has.Version > t.Version {
				return nil
			}
			if now.Annotations == nil {
				now.Annotations = map[string]string{}
			}
			now.Annotations[annotation], now.Data = fmt.Sprint(t.Version), map[string]string{route.Key: string(document)}
			_, err = api.Update(ctx, now, metav1.UpdateOptions{FieldManager: routerManager})
		}
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			continue // somebody was quicker: look again
		}
		if err != nil {
			return fmt.Errorf("writing the routes of namespace %s: %w", namespace, err)
		}
		return nil
	}
}

// stopRouter takes the objects of a router away.
func stopRouter(ctx context.Context, c kubernetes.Interface, env Environment) error {
	list := routerObjects(env, "", 2)
	for _, o := range slices.Backward(list) {
		err := c.CoreV1().RESTClient().Delete().AbsPath(o.path, o.name).Do(ctx).Error()
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("taking away %v %s: %w", o.body["kind"], o.name, err)
		}
	}
	if err := removePolicies(ctx, c, env.Namespace); err != nil {
		return err
	}
	err := c.CoreV1().ConfigMaps(env.Namespace).Delete(ctx, route.ConfigMap, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("taking away the routes of namespace %s: %w", env.Namespace, err)
	}
	return nil
}

// ours reports whether an object of a namespace is the router's and no part of a release.
func ours(name string) bool {
	return name == routerName || name == routedPolicy || name == route.ConfigMap || strings.HasPrefix(name, "towpath-session-")
}

package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"towpath.dev/towpath/internal/deploy/route"
)

// Names and labels of the platform's network policies. The label tells them from the
// owner's; a name that is not one of these does so, too, whatever its labels.
const (
	managedBy      = "app.kubernetes.io/managed-by"
	policyLabel    = "towpath.dev/policy"
	policyRouting  = "routing"
	routedPolicy   = "towpath-routed"   // towpath-routed-SERVICE: the router reaches its pods
	egressPolicy   = "towpath-egress"   // towpath-egress-POLICY: whom it selects reaches the router
	sessionsPolicy = "towpath-sessions" // towpath-sessions[-SERVICE]: where sessions' pods may go
)

// policySettle gathers changes that come together; policyRetry is the pause after a failure.
const (
	policySettle = 50 * time.Millisecond
	policyRetry  = 2 * time.Second
)

// ourPolicy tells the platform's policies of a namespace from its owner's.
func ourPolicy(p *networkingv1.NetworkPolicy) bool {
	return derivedPolicy(p) || p.Labels[managedBy] == "towpath" && p.Labels[sessionLabel] != "" && strings.HasPrefix(p.Name, "towpath-session-")
}

// derivedPolicy tells those that derive returns, and those that an earlier version made.
func derivedPolicy(p *networkingv1.NetworkPolicy) bool {
	named := p.Name == routerName || slices.ContainsFunc([]string{routedPolicy, egressPolicy, sessionsPolicy}, func(prefix string) bool {
		return p.Name == prefix || strings.HasPrefix(p.Name, prefix+"-")
	})
	return named && p.Labels[managedBy] == "towpath"
}

// police makes the platform's policies of a routed namespace what its owner's make of them,
// and returns the services that nobody is let through to.
func (s *Service) police(ctx context.Context, c kubernetes.Interface, env Environment) ([]Unrouted, error) {
	unlock, err := s.locks.take(ctx, "policies/"+env.Namespace)
	if err != nil {
		return nil, err
	}
	defer unlock()
	p, live, err := s.readPoliced(ctx, c, env)
	if err != nil {
		return nil, err
	}
	list, closed := p.derive()
	// What narrows goes first: the router's own before what leads to it and away from it.
	slices.SortStableFunc(list, func(a, b *networkingv1.NetworkPolicy) int {
		return boolInt(b.Name == routerName) - boolInt(a.Name == routerName)
	})
	for _, want := range list {
		if now, there := live[want.Name]; there && equality.Semantic.DeepEqual(now.Spec, want.Spec) && maps.Equal(now.Labels, want.Labels) {
			delete(live, want.Name)
			continue
		}
		delete(live, want.Name)
		body, err := json.Marshal(want)
		if err != nil {
			return nil, fmt.Errorf("encoding network policy %s: %w", want.Name, err)
		}
		force := true
		_, err = c.NetworkingV1().NetworkPolicies(env.Namespace).Patch(ctx, want.Name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: routerManager, Force: &force})
		if err != nil {
			return nil, fmt.Errorf("applying network policy %s of %s: %w", want.Name, env.Namespace, err)
		}
	}
	for name := range live {
		if err := c.NetworkingV1().NetworkPolicies(env.Namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("taking network policy %s of %s away: %w", name, env.Namespace, err)
		}
	}
	return closed, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// readPoliced reads what derive needs, and the derived policies that are there, by name.
func (s *Service) readPoliced(ctx context.Context, c kubernetes.Interface, env Environment) (policed, map[string]*networkingv1.NetworkPolicy, error) {
	p, live := policed{namespace: env.Namespace}, map[string]*networkingv1.NetworkPolicy{}
	namespace, err := c.CoreV1().Namespaces().Get(ctx, env.Namespace, metav1.GetOptions{})
	if err != nil {
		return p, nil, fmt.Errorf("reading namespace %s: %w", env.Namespace, err)
	}
	p.labels = namespace.Labels
	policies, err := c.NetworkingV1().NetworkPolicies(env.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return p, nil, fmt.Errorf("listing network policies of %s: %w", env.Namespace, err)
	}
	for i := range policies.Items {
		switch policy := &policies.Items[i]; {
		case derivedPolicy(policy):
			live[policy.Name] = policy
		case !ourPolicy(policy):
			p.owners = append(p.owners, *policy)
		}
	}
	slices.SortFunc(p.owners, func(a, b networkingv1.NetworkPolicy) int { return strings.Compare(a.Name, b.Name) })
	t, err := readTable(ctx, s.DB, env)
	if err != nil {
		return p, nil, err
	}
	services, err := c.CoreV1().Services(env.Namespace).List(ctx, metav1.ListOptions{LabelSelector: route.Label + "=" + route.Stable})
	if err != nil {
		return p, nil, fmt.Errorf("listing services of %s: %w", env.Namespace, err)
	}
	deployments, err := c.AppsV1().Deployments(env.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return p, nil, fmt.Errorf("listing deployments of %s: %w", env.Namespace, err)
	}
	for _, routed := range t.Services {
		i := slices.IndexFunc(services.Items, func(v corev1.Service) bool { return v.Name == trackService(routed.Name, route.Stable) })
		if i >= 0 { // else its release is still on its way
			p.services = append(p.services, policedOf(routed, services.Items[i], deployments.Items))
		}
	}
	if len(p.owners) > 0 {
		p.api, p.apiPorts, err = apiServer(ctx, c)
	}
	return p, live, err
}

// policedOf finds the pods behind a routed service: those of Deployments that the Service of
// its stable track would select, were it not for the track.
func policedOf(routed route.Service, stable corev1.Service, deployments []appsv1.Deployment) policedService {
	out := policedService{name: routed.Name, selector: maps.Clone(stable.Spec.Selector)}
	delete(out.selector, route.Label)
	for _, port := range routed.Ports {
		target := intstr.FromInt(port.Port)
		for _, p := range stable.Spec.Ports {
			if int(p.Port) == port.Port && p.TargetPort != (intstr.IntOrString{}) {
				target = p.TargetPort
			}
		}
		out.ports = append(out.ports, policedPort{listen: port.Listen, target: target})
	}
	for _, d := range deployments {
		set := labels.Set(d.Spec.Template.Labels)
		if _, tracked := set[route.Label]; !tracked || !labels.SelectorFromSet(out.selector).Matches(set) {
			continue
		}
		shape := podShape{labels: set}
		for _, container := range slices.Concat(d.Spec.Template.Spec.InitContainers, d.Spec.Template.Spec.Containers) {
			shape.ports = append(shape.ports, container.Ports...)
		}
		out.shapes = append(out.shapes, shape)
	}
	return out
}

// apiServer returns where the API server is, before and behind its Service: which of the two
// a policy sees differs between clusters.
func apiServer(ctx context.Context, c kubernetes.Interface) (peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, err error) {
	const name = "kubernetes"
	service, err := c.CoreV1().Services(metav1.NamespaceDefault).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the API server's service: %w", err)
	}
	list, err := c.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + name})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the API server's addresses: %w", err)
	}
	addresses, numbers := map[string]bool{service.Spec.ClusterIP: true}, map[int]bool{}
	for _, p := range service.Spec.Ports {
		numbers[int(p.Port)] = true
	}
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			for _, address := range e.Addresses {
				addresses[address] = true
			}
		}
		for _, p := range slice.Ports {
			if p.Port != nil {
				numbers[int(*p.Port)] = true
			}
		}
	}
	for _, address := range slices.Sorted(maps.Keys(addresses)) {
		bits := "/32"
		if strings.Contains(address, ":") {
			bits = "/128"
		}
		peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: address + bits}})
	}
	for _, number := range slices.Sorted(maps.Keys(numbers)) {
		ports = append(ports, tcp(number)...)
	}
	return peers, ports, nil
}

// removePolicies takes the derived policies of a namespace away.
func removePolicies(ctx context.Context, c kubernetes.Interface, namespace string) error {
	list, err := c.NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing network policies of %s: %w", namespace, err)
	}
	for i := range list.Items {
		if policy := &list.Items[i]; derivedPolicy(policy) {
			if err := c.NetworkingV1().NetworkPolicies(namespace).Delete(ctx, policy.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("taking network policy %s of %s away: %w", policy.Name, namespace, err)
			}
		}
	}
	return nil
}

// policeAll follows owners' policies, and the services and pods that they are about, in all
// routed namespaces until ctx ends.
func (s *Service) policeAll(ctx context.Context) {
	for ctx.Err() == nil {
		client, err := s.adminClient(ctx)
		if err == nil {
			err = s.policeWith(ctx, client)
		}
		if err != nil && ctx.Err() == nil {
			s.Logger.Debug("network policies of routed namespaces are not followed", "error", err)
		}
		_ = sleep(ctx, policyRetry)
	}
}

// policeWith follows until ctx ends or something fails.
func (s *Service) policeWith(ctx context.Context, c kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactoryWithOptions(c, 10*time.Minute, informers.WithTransform(nameOnly))
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() }}
	stopped, stop := context.WithCancel(ctx)
	defer stop()
	for _, informer := range []cache.SharedIndexInformer{
		factory.Networking().V1().NetworkPolicies().Informer(), factory.Core().V1().Services().Informer(),
		factory.Apps().V1().Deployments().Informer(), factory.Core().V1().Namespaces().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("following network policies: %w", err)
		}
	}
	factory.Start(stopped.Done())
	defer factory.Shutdown()
	defer stop()
	for _, synced := range factory.WaitForCacheSync(stopped.Done()) {
		if !synced {
			return ctx.Err()
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		if err := sleep(ctx, policySettle); err != nil {
			return err
		}
		if err := s.policeNow(ctx, c, factory); err != nil {
			return err
		}
	}
}

// policeNow looks at every environment once. Its router, and not its setting, tells whether
// it is routed: while routing is turned on or off the setting is not yet what it will be.
func (s *Service) policeNow(ctx context.Context, c kubernetes.Interface, known informers.SharedInformerFactory) error {
	places, err := s.Places(ctx)
	if err != nil {
		return err
	}
	for _, env := range places {
		if _, err := known.Apps().V1().Deployments().Lister().Deployments(env.Namespace).Get(routerName); err == nil {
			if _, err := s.police(ctx, c, env); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			continue
		}
		left, err := known.Networking().V1().NetworkPolicies().Lister().NetworkPolicies(env.Namespace).List(labels.Everything())
		if err != nil {
			return fmt.Errorf("listing network policies of %s: %w", env.Namespace, err)
		}
		if slices.ContainsFunc(left, derivedPolicy) {
			if err := removePolicies(ctx, c, env.Namespace); err != nil {
				return err
			}
		}
	}
	return nil
}

// nameOnly drops what wakes nobody: the objects themselves are read anew.
func nameOnly(v any) (any, error) {
	if o, ok := v.(metav1.Object); ok {
		o.SetManagedFields(nil)
		o.SetAnnotations(nil)
	}
	switch o := v.(type) {
	case *appsv1.Deployment:
		o.Spec, o.Status = appsv1.DeploymentSpec{}, appsv1.DeploymentStatus{}
	case *corev1.Service:
		o.Spec = corev1.ServiceSpec{}
	}
	return v, nil
}

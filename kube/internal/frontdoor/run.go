package frontdoor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"

	"towpath.dev/towpath/kube/internal/bootstrap"
)

const (
	// settle gathers changes that come together into one new table.
	settle = 10 * time.Millisecond
	// drain is how long running requests may take to end when the front door is stopped.
	drain = 10 * time.Second
)

// Run serves the ingress on address until ctx ends, then lets running requests end. It returns nil when it was asked to end.
func Run(ctx context.Context, client kubernetes.Interface, address string, log *slog.Logger) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("opening the front door: %w", err)
	}
	door := NewDoor(log)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: door, Protocols: protocols, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: headLimit,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	watched := make(chan error, 1)
	go func() { watched <- watch(ctx, client, door, address, log) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving the front door: %w", err)
	case err := <-watched:
		if err != nil {
			return err
		}
	}
	ending, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := server.Shutdown(ending); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("closing the front door: %w", err)
	}
	return nil
}

// routes reads the caches that tables are made from.
type routes struct {
	ingresses networkinglisters.IngressLister
	services  corelisters.ServiceLister
	slices    discoverylisters.EndpointSliceLister
}

// watch keeps the door's table up to date until ctx ends.
func watch(ctx context.Context, client kubernetes.Interface, door *Door, address string, log *slog.Logger) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(trim))
	read := routes{
		ingresses: factory.Networking().V1().Ingresses().Lister(),
		services:  factory.Core().V1().Services().Lister(),
		slices:    factory.Discovery().V1().EndpointSlices().Lister(),
	}
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() }}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Networking().V1().Ingresses().Informer(), factory.Core().V1().Services().Informer(), factory.Discovery().V1().EndpointSlices().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watching the cluster: %w", err)
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	factory.WaitForCacheSync(ctx.Done())
	for ctx.Err() == nil {
		ingresses, err := read.update(door)
		if err != nil {
			return err
		}
		publish(ctx, client, ingresses, address, log)
		select {
		case <-ctx.Done():
		case <-changed:
			time.Sleep(settle)
		}
	}
	return nil
}

// trim drops what tables do not need from the caches.
func trim(object any) (any, error) {
	if accessor, ok := object.(metav1.ObjectMetaAccessor); ok {
		accessor.GetObjectMeta().SetManagedFields(nil)
	}
	return object, nil
}

// update gives the door a table of what the caches say now, and returns the Ingresses in it.
func (r routes) update(door *Door) ([]*networkingv1.Ingress, error) {
	all, err := r.ingresses.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing ingresses: %w", err)
	}
	services, err := r.services.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing services: %w", err)
	}
	endpointSlices, err := r.slices.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing endpoint slices: %w", err)
	}
	sources := Sources{Services: map[string]*corev1.Service{}, Slices: map[string][]*discoveryv1.EndpointSlice{}}
	for _, ingress := range all {
		if ours(ingress) {
			sources.Ingresses = append(sources.Ingresses, ingress)
		}
	}
	for _, service := range services {
		sources.Services[service.Namespace+"/"+service.Name] = service
	}
	for _, slice := range endpointSlices {
		key := slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]
		sources.Slices[key] = append(sources.Slices[key], slice)
	}
	door.Replace(NewTable(sources))
	return sources.Ingresses, nil
}

// legacyClass is how Ingresses named their class before the field was there.
const legacyClass = "kubernetes.io/ingress.class"

// ours says whether the door serves an Ingress: one of its class, or one that names none,
// since the class is the default and nobody else serves here. The API server writes the
// default into an Ingress when it is made only; a later server-side apply of a manifest
// without a class takes it away again.
func ours(ingress *networkingv1.Ingress) bool {
	if class := ingress.Spec.IngressClassName; class != nil {
		return *class == bootstrap.IngressClass
	}
	class := ingress.Annotations[legacyClass]
	return class == "" || class == bootstrap.IngressClass
}

// publish writes the front door's address into the status of Ingresses that do not show it yet; tools wait for that.
func publish(ctx context.Context, client kubernetes.Interface, ingresses []*networkingv1.Ingress, address string, log *slog.Logger) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) == nil || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	for _, ingress := range ingresses {
		if shown := ingress.Status.LoadBalancer.Ingress; len(shown) == 1 && shown[0].IP == host {
			continue
		}
		update := ingress.DeepCopy()
		update.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: host}}
		if _, err := client.NetworkingV1().Ingresses(update.Namespace).UpdateStatus(ctx, update, metav1.UpdateOptions{FieldManager: bootstrap.IngressController}); err != nil {
			log.Warn("writing the address into an ingress failed; the next change tries again", "ingress", update.Namespace+"/"+update.Name, "error", err)
		}
	}
}

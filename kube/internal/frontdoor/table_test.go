package frontdoor_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/kube/internal/frontdoor"
)

func pointer[T any](value T) *T { return &value }

// ingress makes an Ingress with one rule; age orders several.
func ingress(name string, age time.Duration, host, path string, kind networkingv1.PathType, service string) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
			Paths: []networkingv1.HTTPIngressPath{{Path: path, PathType: &kind, Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Name: "http"}}}}},
		}}}}},
	}
}

func service(appProtocol *string) *corev1.Service {
	return &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "metrics", Port: 9090}, {Name: "http", Port: 80, AppProtocol: appProtocol}}}}
}

// slice makes an EndpointSlice for the port "http".
func slice(endpoints ...discoveryv1.Endpoint) []*discoveryv1.EndpointSlice {
	return []*discoveryv1.EndpointSlice{{AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints, Ports: []discoveryv1.EndpointPort{
		{Name: pointer("metrics"), Port: pointer[int32](9090)}, {Name: pointer("http"), Port: pointer[int32](8080)},
	}}}
}

func endpoint(address string, ready, serving, terminating bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}}
}

func TestFindChoosesTheMostSpecificRoute(t *testing.T) {
	table := frontdoor.NewTable(frontdoor.Sources{Ingresses: []*networkingv1.Ingress{
		ingress("a", 0, "shop.localhost", "/", networkingv1.PathTypePrefix, "web"),
		ingress("b", 0, "shop.localhost", "/api/", networkingv1.PathTypePrefix, "api"),
		ingress("c", 0, "shop.localhost", "/api", networkingv1.PathTypeExact, "root"),
		ingress("d", 0, "*.preview.localhost", "/", networkingv1.PathTypePrefix, "preview"),
		ingress("e", 0, "", "/any", networkingv1.PathTypePrefix, "any"),
		ingress("new", 0, "old.localhost", "/", networkingv1.PathTypePrefix, "thief"),
		ingress("old", time.Hour, "old.localhost", "/", networkingv1.PathTypePrefix, "owner"),
	}})
	for _, test := range []struct{ host, path, want string }{
		{"shop.localhost", "/", "web"},
		{"SHOP.localhost:7480", "/apix", "web"},
		{"shop.localhost.", "/api", "root"},
		{"shop.localhost", "/api/items", "api"},
		{"pr-7.preview.localhost", "/", "preview"},
		{"a.b.preview.localhost", "/", ""},
		{"preview.localhost", "/", ""},
		{"elsewhere", "/any/thing", "any"},
		{"elsewhere", "/anything", ""},
		{"old.localhost", "/", "owner"},
		{"ada-1f3a9c.shop.localhost:7480", "/api/items", "api"},
		{"x.ada-1f3a9c.shop.localhost", "/", ""},
	} {
		route, found := table.Find(test.host, test.path)
		if route.Service != test.want || found != (test.want != "") {
			t.Errorf("%s%s leads to %q (found %v), want %q", test.host, test.path, route.Service, found, test.want)
		}
	}
	if want := []string{"*.preview.localhost", "old.localhost", "shop.localhost"}; !slices.Equal(table.Hosts(), want) {
		t.Errorf("hosts are %v, want %v", table.Hosts(), want)
	}
}

func TestEndpointsOfARoute(t *testing.T) {
	for name, test := range map[string]struct {
		service   *corev1.Service
		slices    []*discoveryv1.EndpointSlice
		want      []string
		missing   bool
		wantHTTP2 bool
	}{
		"no service":              {missing: true},
		"no port of that name":    {service: &corev1.Service{}, missing: true},
		"ready ones only":         {service: service(nil), slices: slice(endpoint("10.0.0.2", true, true, false), endpoint("10.0.0.1", true, true, false), endpoint("10.0.0.3", false, false, false), endpoint("10.0.0.4", false, true, true)), want: []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		"ending ones if no other": {service: service(nil), slices: slice(endpoint("10.0.0.3", false, false, true), endpoint("10.0.0.4", false, true, true)), want: []string{"10.0.0.4:8080"}},
		"none":                    {service: service(nil)},
		"HTTP/2":                  {service: service(pointer("kubernetes.io/h2c")), slices: slice(endpoint("10.0.0.1", true, true, false)), want: []string{"10.0.0.1:8080"}, wantHTTP2: true},
	} {
		t.Run(name, func(t *testing.T) {
			sources := frontdoor.Sources{
				Ingresses: []*networkingv1.Ingress{ingress("a", 0, "h", "/", networkingv1.PathTypePrefix, "web")},
				Services:  map[string]*corev1.Service{}, Slices: map[string][]*discoveryv1.EndpointSlice{"shop/web": test.slices},
			}
			if test.service != nil {
				sources.Services["shop/web"] = test.service
			}
			route, _ := frontdoor.NewTable(sources).Find("h", "/")
			if !slices.Equal(route.Endpoints, test.want) || route.Missing != test.missing || route.HTTP2 != test.wantHTTP2 {
				t.Errorf("got %+v", route)
			}
		})
	}
}

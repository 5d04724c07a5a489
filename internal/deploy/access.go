package deploy

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// access gives Helm the clients it asks for, all with one identity.
type access struct {
	cfg       *rest.Config
	namespace string
	cache     discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
}

func newAccess(cfg *rest.Config, namespace string) (*access, error) {
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a discovery client: %w", err)
	}
	cache := memory.NewMemCacheClient(d)
	return &access{cfg: cfg, namespace: namespace, cache: cache, mapper: restmapper.NewDeferredDiscoveryRESTMapper(cache)}, nil
}

// ToRESTConfig returns the client configuration.
func (a *access) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(a.cfg), nil }

// ToDiscoveryClient returns a client that remembers what it discovered.
func (a *access) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) { return a.cache, nil }

// ToRESTMapper returns a mapper over the discovered kinds.
func (a *access) ToRESTMapper() (meta.RESTMapper, error) { return a.mapper, nil }

// ToRawKubeConfigLoader returns a loader that knows the namespace.
func (a *access) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), &clientcmd.ConfigOverrides{
		Context: clientcmdapi.Context{Namespace: a.namespace},
	})
}

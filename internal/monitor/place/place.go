package place

import (
	"net/netip"
	"time"
)

// Place is what the platform knows of a pod. The zero value is an unknown place.
type Place struct {
	Project     string // "" belongs to the platform
	Environment string
	Release     string // "shop/production/48"

	Cluster   string // name of the cluster
	Node      string
	Namespace string
	Pod       string
	UID       string
	Address   netip.Addr
	Workload  string // "Deployment/cart": what a person would name
	Labels    map[string]string
	Started   time.Time

	Containers []Container
}

// Container is one container of a pod.
type Container struct {
	Name   string
	ID     string // without the runtime's prefix
	Image  string // as the pod's specification names it
	Digest string // "sha256:…", "" while it is not pulled
}

// Digest returns the digest of the container's image; with one container the name may be "".
func (p Place) Digest(container string) string {
	for _, c := range p.Containers {
		if c.Name == container || (container == "" && len(p.Containers) == 1) {
			return c.Digest
		}
	}
	return ""
}

// Places finds a pod. ok is false for one that was never seen; a pod that is gone is known
// for ten minutes more, because its last lines come late.
type Places interface {
	ByUID(uid string) (p Place, ok bool)
	ByName(namespace, pod string) (p Place, ok bool)
	ByAddress(a netip.Addr) (p Place, ok bool)
}

package foreign

import (
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"towpath.dev/towpath/internal/fault"
)

// Hub is the host of Docker Hub in image names, and HubServer its address in the files of
// docker's own client.
const (
	Hub       = "docker.io"
	HubServer = "https://index.docker.io/v1/"
)

// Login is a registry and what opens it; without a User it is asked as anybody may.
type Login struct {
	// Server is its address, "https://images.example.com", or its host alone. The path means
	// nothing.
	Server       string
	User, Secret string
}

// Host is the registry of the login as image names write it: "images.example.com:5000".
func (l Login) Host() (string, error) {
	host := l.Server
	if strings.Contains(host, "://") {
		u, err := url.Parse(host)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			return "", bad(l.Server)
		}
		host = u.Host
	}
	host, _, _ = strings.Cut(strings.ToLower(host), "/")
	if _, err := name.NewRegistry(host, name.StrictValidation); err != nil {
		return "", bad(l.Server)
	}
	if isHub(host) {
		return Hub, nil
	}
	return host, nil
}

func bad(server string) error {
	return fault.New(fault.Invalid, "%.200q is not the address of a registry.", server).WithNext("write it as https://images.example.com")
}

func isHub(host string) bool {
	switch host {
	case Hub, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return true
	}
	return false
}

// plain reports whether the registry may be asked without TLS.
func (l Login) plain() bool {
	if scheme, _, ok := strings.Cut(l.Server, "://"); ok {
		return strings.EqualFold(scheme, "http")
	}
	host, err := l.Host()
	return err == nil && local(host)
}

// local reports whether a host of an image name is this host.
func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && a.IsLoopback()
}

// of finds the login for a registry of an image name.
func of(logins []Login, host string) Login {
	if isHub(host) {
		host = Hub
	}
	for _, l := range logins {
		if h, err := l.Host(); err == nil && h == host {
			return l
		}
	}
	return Login{Server: host}
}

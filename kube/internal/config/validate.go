package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var (
	dnsLabel   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	deviceName = regexp.MustCompile(`^[a-z][a-z0-9]{0,9}$`)
	// registryHost is a host name or address with an optional port; nothing in it can leave the folder it names.
	registryHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	dataFolder   = regexp.MustCompile(`^/[A-Za-z0-9._/+@-]+$`)
)

// Validate reports everything that is wrong with the configuration, each with the key it belongs to.
func (c Config) Validate() error {
	return errors.Join(c.validateNames(), c.validateAddresses(), c.validatePorts(), c.validateMirrors(), c.validateOIDC())
}

func (c Config) validateNames() error {
	var problems []error
	switch {
	case c.Data == "":
		problems = append(problems, errors.New(`"data" is missing: name the folder that shall hold the cluster's state`))
	case !filepath.IsAbs(c.Data) || filepath.Clean(c.Data) != c.Data || c.Data == "/":
		problems = append(problems, fmt.Errorf(`"data" %q must be a clean absolute path`, c.Data))
	case len(c.Data) > maxDataPath:
		problems = append(problems, fmt.Errorf(`"data" is %d bytes long, at most %d are possible because unix sockets live below it: choose a shorter path`, len(c.Data), maxDataPath))
	case !dataFolder.MatchString(c.Data):
		problems = append(problems, fmt.Errorf(`"data" %q may hold only letters, digits and . _ / + @ -, because it becomes part of other programs' configuration`, c.Data))
	}
	if !dnsLabel.MatchString(c.NodeName) {
		problems = append(problems, fmt.Errorf(`"node_name" %q must be a DNS label (lower case letters, digits and dashes)`, c.NodeName))
	}
	if !deviceName.MatchString(c.Bridge) {
		problems = append(problems, fmt.Errorf(`"bridge" %q must be 1 to 10 lower case letters and digits, a letter first`, c.Bridge))
	}
	if c.AuditMaxMB < 2 || c.AuditMaxMB > 1<<20 {
		problems = append(problems, fmt.Errorf(`"audit_max_mb" %d must be between 2 and %d`, c.AuditMaxMB, 1<<20))
	}
	return errors.Join(problems...)
}

func (c Config) validateAddresses() error {
	var problems []error
	node, err := netip.ParseAddr(c.NodeIP)
	if err != nil || !node.Is4() || node.IsLoopback() || node.IsUnspecified() || node.IsMulticast() {
		problems = append(problems, fmt.Errorf(`"node_ip" %q must be an IPv4 address that is not a loopback one: the API server refuses to advertise those`, c.NodeIP))
	}
	if local, err := netip.ParseAddr(c.LocalIP); err != nil || !local.Is4() || !local.IsLoopback() {
		problems = append(problems, fmt.Errorf(`"local_ip" %q must be an IPv4 loopback address`, c.LocalIP))
	}
	pods, podErr := validatePrefix("pod_cidr", c.PodCIDR, 24)
	services, serviceErr := validatePrefix("service_cidr", c.ServiceCIDR, 24)
	problems = append(problems, podErr, serviceErr)
	if podErr == nil && serviceErr == nil {
		if pods.Overlaps(services) {
			problems = append(problems, fmt.Errorf(`"pod_cidr" %s and "service_cidr" %s overlap`, pods, services))
		}
		if pods.Contains(node) || services.Contains(node) {
			problems = append(problems, fmt.Errorf(`"node_ip" %s must be outside of "pod_cidr" and "service_cidr"`, c.NodeIP))
		}
	}
	host, port, err := net.SplitHostPort(c.FrontDoorAddr)
	if err != nil {
		problems = append(problems, fmt.Errorf(`"front_door_addr" %q must be host:port`, c.FrontDoorAddr))
	} else {
		if _, err := netip.ParseAddr(host); err != nil && host != "" {
			problems = append(problems, fmt.Errorf(`"front_door_addr" %q must start with an IP address`, c.FrontDoorAddr))
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			problems = append(problems, fmt.Errorf(`"front_door_addr" %q must end in a port from 1 to 65535`, c.FrontDoorAddr))
		}
	}
	return errors.Join(problems...)
}

func validatePrefix(key, text string, longest int) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil || !prefix.Addr().Is4() || prefix != prefix.Masked() {
		return netip.Prefix{}, fmt.Errorf(`%q %q must be an IPv4 range such as 10.42.0.0/16`, key, text)
	}
	if prefix.Bits() > longest || prefix.Bits() < 8 {
		return netip.Prefix{}, fmt.Errorf(`%q %q must be between /8 and /%d`, key, text, longest)
	}
	return prefix, nil
}

func (c Config) validatePorts() error {
	var problems []error
	seen := map[string]string{}
	for _, port := range c.Ports() {
		if port.Number < 1 || port.Number > 65535 {
			problems = append(problems, fmt.Errorf("%q %d must be a port from 1 to 65535", port.Key, port.Number))
			continue
		}
		place := net.JoinHostPort(port.Address, strconv.Itoa(port.Number))
		if other, taken := seen[place]; taken {
			problems = append(problems, fmt.Errorf("%q and %q are both %s", other, port.Key, place))
		}
		seen[place] = port.Key
	}
	return errors.Join(problems...)
}

// Port is one TCP port that the cluster listens on.
type Port struct {
	// Key is the configuration key that sets it.
	Key string
	// Address is the IP address it is bound to; empty means every address.
	Address string
	// Number is the port.
	Number int
}

// Ports lists every fixed port of the cluster.
func (c Config) Ports() []Port {
	host, text, _ := net.SplitHostPort(c.FrontDoorAddr)
	number, _ := strconv.Atoi(text)
	return []Port{
		{Key: "front_door_addr", Address: host, Number: number},
		{Key: "api_port", Address: c.NodeIP, Number: c.APIPort},
		{Key: "kubelet_port", Address: c.NodeIP, Number: c.KubeletPort},
		{Key: "dns_port", Address: c.NodeIP, Number: c.DNSPort},
		{Key: "etcd_port", Address: c.LocalIP, Number: c.EtcdPort},
		{Key: "etcd_peer_port", Address: c.LocalIP, Number: c.EtcdPeerPort},
		{Key: "controller_port", Address: c.LocalIP, Number: c.ControllerPort},
		{Key: "scheduler_port", Address: c.LocalIP, Number: c.SchedulerPort},
		{Key: "proxy_port", Address: c.LocalIP, Number: c.ProxyPort},
		{Key: "proxy_health_port", Address: c.LocalIP, Number: c.ProxyHealthPort},
	}
}

func (c Config) validateMirrors() error {
	var problems []error
	for _, mirror := range c.RegistryMirrors {
		if !registryHost.MatchString(mirror.Host) {
			problems = append(problems, fmt.Errorf(`"registry_mirrors": host %q must be a registry host such as localhost:7080`, mirror.Host))
		}
		if u, err := url.Parse(mirror.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
			problems = append(problems, fmt.Errorf(`"registry_mirrors": the url of host %q must be an http or https URL without user and password`, mirror.Host))
		}
		if strings.ContainsAny(mirror.Authorization, "\r\n\x00") {
			problems = append(problems, fmt.Errorf(`"registry_mirrors": the authorization of host %q has a line break in it`, mirror.Host))
		}
	}
	return errors.Join(problems...)
}

func (c Config) validateOIDC() error {
	if c.OIDC == nil {
		return nil
	}
	var problems []error
	if u, err := url.Parse(c.OIDC.Issuer); err != nil || u.Scheme != "https" || u.Host == "" {
		problems = append(problems, fmt.Errorf(`"oidc": issuer %q must be an https URL`, c.OIDC.Issuer))
	}
	if c.OIDC.DiscoveryURL != "" {
		if u, err := url.Parse(c.OIDC.DiscoveryURL); err != nil || u.Scheme != "https" || u.Host == "" {
			problems = append(problems, fmt.Errorf(`"oidc": discovery_url %q must be an https URL: the API server speaks to issuers by TLS only`, c.OIDC.DiscoveryURL))
		}
	}
	if c.OIDC.Audience == "" {
		problems = append(problems, errors.New(`"oidc": audience is missing; without it a token meant for another service would be accepted`))
	}
	return errors.Join(problems...)
}

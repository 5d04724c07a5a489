package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
)

// ClusterDomain is the DNS suffix of Services inside the cluster.
const ClusterDomain = "cluster.local"

// maxConfigBytes bounds the configuration file; a real one is below 4 KiB.
const maxConfigBytes = 1 << 20

// Config describes one embedded cluster. Addresses are IPv4, ports are TCP unless said otherwise. Zero values take the value
// that Default shows, so a file names only what differs.
type Config struct {
	// Data is the absolute path of the folder that holds the cluster's whole state. At most 70 bytes: unix sockets live in it.
	Data string `json:"data"`

	// NodeName is the name of the one node, a DNS label.
	NodeName string `json:"node_name"`
	// Bridge is the name of the network device that carries NodeIP, and what makes the cluster's names on the host unique:
	// its run folder, its cgroup and its nftables tables are named after it. At most 10 characters.
	Bridge string `json:"bridge"`
	// NodeIP is the address of the node on Bridge. The API server, the kubelet and cluster DNS listen on it; the host and the
	// pods reach it, other machines do not.
	NodeIP string `json:"node_ip"`
	// LocalIP is the loopback address of what only the cluster's own processes need (etcd, scheduler, …). Empty means NodeIP
	// with 127 as its first number, so that two clusters never meet.
	LocalIP string `json:"local_ip"`
	// PodCIDR and ServiceCIDR are the address ranges of pods and Services. They must not overlap with each other.
	PodCIDR     string `json:"pod_cidr"`
	ServiceCIDR string `json:"service_cidr"`

	// FrontDoorAddr is host:port of the HTTP ingress.
	FrontDoorAddr string `json:"front_door_addr"`
	// APIPort, KubeletPort and DNSPort (UDP and TCP) are on NodeIP; the others are on LocalIP.
	APIPort        int `json:"api_port"`
	KubeletPort    int `json:"kubelet_port"`
	DNSPort        int `json:"dns_port"`
	EtcdPort       int `json:"etcd_port"`
	EtcdPeerPort   int `json:"etcd_peer_port"`
	ControllerPort int `json:"controller_port"`
	SchedulerPort  int `json:"scheduler_port"`
	// ProxyPort serves kube-proxy's metrics, ProxyHealthPort its health.
	ProxyPort       int `json:"proxy_port"`
	ProxyHealthPort int `json:"proxy_health_port"`

	// RegistryMirrors says where the node pulls the images of a registry host from.
	RegistryMirrors []Mirror `json:"registry_mirrors,omitempty"`
	// OIDC, when set, makes the API server accept tokens of that issuer.
	OIDC *OIDC `json:"oidc,omitempty"`
	// AuditMaxMB bounds the audit log on disk, in MiB, all kept files together.
	AuditMaxMB int `json:"audit_max_mb"`
}

// Mirror makes the node pull the images of one registry host from another address.
type Mirror struct {
	// Host is the registry as it stands in image names, with its port if it has one: "localhost:7080".
	Host string `json:"host"`
	// URL is where to pull from: "http://127.0.0.1:7080".
	URL string `json:"url"`
	// Authorization, when set, is sent as the header of that name. It is a secret: it is written to files of mode 0600 only.
	Authorization string `json:"authorization,omitempty"`
}

// OIDC names the issuer whose tokens the API server accepts, as `towpath:<sub>` with the claim `groups` as groups and the
// claims run, job, project and commit as userInfo.extra.
type OIDC struct {
	// Issuer is the exact value of the claim `iss`; it must be an https URL but need not be reachable.
	Issuer string `json:"issuer"`
	// DiscoveryURL is where the discovery document is fetched, https, when it differs from Issuer's well-known place.
	DiscoveryURL string `json:"discovery_url,omitempty"`
	// CAFile holds the PEM certificates that DiscoveryURL is verified with; empty means the host's trust store.
	CAFile string `json:"ca_file,omitempty"`
	// Audience must be among the token's `aud`.
	Audience string `json:"audience"`
}

// Default returns the configuration of a host's first cluster. Data is left empty: the caller must choose it.
func Default() Config {
	return Config{
		NodeName:        "towpath",
		Bridge:          "tp0",
		NodeIP:          "10.41.0.1",
		PodCIDR:         "10.42.0.0/16",
		ServiceCIDR:     "10.43.0.0/16",
		FrontDoorAddr:   "127.0.0.1:7480",
		APIPort:         6443,
		KubeletPort:     10250,
		DNSPort:         10053,
		EtcdPort:        12379,
		EtcdPeerPort:    12380,
		ControllerPort:  10257,
		SchedulerPort:   10259,
		ProxyPort:       10249,
		ProxyHealthPort: 10256,
		AuditMaxMB:      100,
	}
}

// Load reads the configuration file at path over the defaults and validates the result. Unknown keys are an error, because a
// misspelt key would otherwise silently keep its default.
func Load(path string) (Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the cluster configuration: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxConfigBytes+1))
	if err != nil {
		return Config{}, fmt.Errorf("reading the cluster configuration %s: %w", path, err)
	}
	config, err := Parse(data)
	if err != nil {
		return Config{}, fmt.Errorf("cluster configuration %s: %w", path, err)
	}
	return config, nil
}

// Parse is Load for a file's content.
func Parse(data []byte) (Config, error) {
	if len(data) > maxConfigBytes {
		return Config{}, fmt.Errorf("larger than %d bytes", maxConfigBytes)
	}
	config := Default()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return Config{}, fmt.Errorf("parsing JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("parsing JSON: there is more after the closing brace")
	}
	if config.LocalIP == "" {
		config.LocalIP = localFor(config.NodeIP)
	}
	if err := config.Validate(); err != nil {
		return Config{}, err
	}
	return config, nil
}

// localFor maps a node address to the loopback address with the same last three numbers, or to "" if it is no IPv4 address.
func localFor(nodeIP string) string {
	address, err := netip.ParseAddr(nodeIP)
	if err != nil || !address.Is4() {
		return ""
	}
	bytes := address.As4()
	bytes[0] = 127
	return netip.AddrFrom4(bytes).String()
}

// APIServerURL is where clients on the host reach the API server.
func (c Config) APIServerURL() string {
	return fmt.Sprintf("https://%s:%d", c.NodeIP, c.APIPort)
}

// APIServiceIP is the cluster address of the Service "kubernetes": the first of ServiceCIDR.
func (c Config) APIServiceIP() string { return nth(c.ServiceCIDR, 1) }

// DNSServiceIP is the cluster address of cluster DNS: the tenth of ServiceCIDR.
func (c Config) DNSServiceIP() string { return nth(c.ServiceCIDR, 10) }

// nth returns the n-th address of a valid IPv4 range, counting its network address as 0.
func nth(cidr string, n int) string {
	address := netip.MustParsePrefix(cidr).Masked().Addr()
	for range n {
		address = address.Next()
	}
	return address.String()
}

package node

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"towpath.dev/towpath/kube/internal/config"
)

// object is a configuration file's content; upstream programs read JSON where they read YAML.
type object = map[string]any

// writeFiles renders the configuration of every component.
func writeFiles(c config.Config, layout config.Layout, host Host) error {
	authentication, err := authenticationConfig(c)
	if err != nil {
		return err
	}
	encryption, err := encryptionConfig(layout)
	if err != nil {
		return err
	}
	for name, content := range map[string]object{
		"authentication.json": authentication,
		"encryption.json":     encryption,
		"audit-policy.json":   auditPolicy(),
		"kubelet.json":        kubeletConfig(c, layout, host),
		"kube-proxy.json":     proxyConfig(c, layout),
	} {
		if err := writeJSON(layout.File(name), content); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(layout.Network(), "10-towpath.conflist"), networkConfig(c, layout)); err != nil {
		return err
	}
	if err := writeTemplate(layout.File("containerd.toml"), containerdTOML, struct {
		config.Layout
		Host
	}{layout, host}); err != nil {
		return err
	}
	if err := writeTemplate(layout.File("Corefile"), corefile, struct {
		config.Config
		Kubeconfig, Domain, Resolver string
	}{c, layout.Kubeconfig("coredns"), config.ClusterDomain, host.Resolver}); err != nil {
		return err
	}
	return writeMirrors(c, layout)
}

func writeJSON(path string, content object) error {
	data, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return writeFile(path, append(data, '\n'))
}

func writeTemplate(path string, text *template.Template, values any) error {
	var out bytes.Buffer
	if err := text.Execute(&out, values); err != nil {
		return fmt.Errorf("rendering %s: %w", path, err)
	}
	return writeFile(path, out.Bytes())
}

// writeFile replaces a file in one step. Nobody but root may read any of them: some hold secrets.
func writeFile(path string, content []byte) error {
	draft := path + ".new"
	if err := os.WriteFile(draft, content, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// authenticationConfig accepts the platform's own issuer, and anonymous callers for health endpoints only. Users of the issuer
// are called towpath:<sub>; a token that claims one of Kubernetes' own groups is refused, so no token can become an
// administrator by its groups.
func authenticationConfig(c config.Config) (object, error) {
	content := object{
		"apiVersion": "apiserver.config.k8s.io/v1",
		"kind":       "AuthenticationConfiguration",
		"jwt":        []object{},
		"anonymous": object{"enabled": true, "conditions": []object{
			{"path": "/livez"}, {"path": "/readyz"}, {"path": "/healthz"},
		}},
	}
	if c.OIDC == nil {
		return content, nil
	}
	issuer := object{"url": c.OIDC.Issuer, "audiences": []string{c.OIDC.Audience}}
	if c.OIDC.DiscoveryURL != "" {
		issuer["discoveryURL"] = c.OIDC.DiscoveryURL
	}
	if c.OIDC.CAFile != "" {
		authority, err := os.ReadFile(c.OIDC.CAFile)
		if err != nil {
			return nil, fmt.Errorf(`reading the certificates of the token issuer ("oidc.ca_file"): %w`, err)
		}
		issuer["certificateAuthority"] = string(authority)
	}
	var extra []object
	for _, claim := range []string{"run", "job", "project", "commit"} {
		extra = append(extra, object{"key": "towpath.dev/" + claim, "valueExpression": fmt.Sprintf("has(claims.%s) ? string(claims.%s) : ''", claim, claim)})
	}
	content["jwt"] = []object{{
		"issuer": issuer,
		"claimMappings": object{
			"username": object{"claim": "sub", "prefix": "towpath:"},
			"groups":   object{"claim": "groups", "prefix": ""},
			"extra":    extra,
		},
		"userValidationRules": []object{{
			"expression": "!user.groups.exists(group, group.startsWith('system:'))",
			"message":    "a token must not claim a group that begins with system:",
		}},
	}}
	return content, nil
}

// encryptionConfig makes the API server encrypt Secrets before they reach etcd. The key is made once and kept in a file of
// mode 0600 beside the certificates; without it the Secrets of this data folder cannot be read again.
func encryptionConfig(layout config.Layout) (object, error) {
	path := layout.Key("secrets-encryption")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw := make([]byte, 32)
		if _, err := rand.Read(raw); err != nil {
			return nil, fmt.Errorf("making the key that encrypts Secrets: %w", err)
		}
		key = []byte(base64.StdEncoding.EncodeToString(raw))
		err = writeFile(path, key)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, fmt.Errorf("reading the key that encrypts Secrets: %w", err)
	}
	return object{
		"apiVersion": "apiserver.config.k8s.io/v1",
		"kind":       "EncryptionConfiguration",
		"resources": []object{{
			"resources": []string{"secrets"},
			"providers": []object{
				{"secretbox": object{"keys": []object{{"name": "towpath", "secret": strings.TrimSpace(string(key))}}}},
				{"identity": object{}},
			},
		}},
	}, nil
}

// auditPolicy records who changed what, and who read Secrets, without any request or response body: bodies hold secrets. The
// control plane's own housekeeping is left out, it would be nine tenths of the log.
func auditPolicy() object {
	writes := []string{"create", "update", "patch", "delete", "deletecollection"}
	housekeepers := []string{"system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy", "system:apiserver", dnsUser, frontDoorUser}
	return object{
		"apiVersion":        "audit.k8s.io/v1",
		"kind":              "Policy",
		"omitStages":        []string{"RequestReceived"},
		"omitManagedFields": true,
		"rules": []object{
			{"level": "None", "nonResourceURLs": []string{"/healthz*", "/livez*", "/readyz*", "/version", "/openapi/*", "/api", "/api/*", "/apis", "/apis/*"}},
			{"level": "None", "resources": []object{{"group": "coordination.k8s.io", "resources": []string{"leases"}}, {"group": "", "resources": []string{"events"}}, {"group": "events.k8s.io", "resources": []string{"events"}}}},
			{"level": "None", "userGroups": []string{"system:nodes"}, "verbs": []string{"update", "patch"}, "resources": []object{{"group": "", "resources": []string{"nodes/status", "pods/status"}}}},
			{"level": "None", "users": housekeepers, "verbs": []string{"get", "list", "watch"}},
			{"level": "None", "userGroups": []string{"system:nodes", "system:serviceaccounts:kube-system"}, "verbs": []string{"get", "list", "watch"}},
			{"level": "None", "verbs": []string{"create"}, "resources": []object{{"group": "authentication.k8s.io", "resources": []string{"tokenreviews"}}, {"group": "authorization.k8s.io", "resources": []string{"subjectaccessreviews", "selfsubjectaccessreviews"}}}},
			{"level": "Metadata", "verbs": writes},
			{"level": "Metadata", "resources": []object{{"group": "", "resources": []string{"secrets", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy"}}}},
			{"level": "None"},
		},
	}
}

func kubeletConfig(c config.Config, layout config.Layout, host Host) object {
	content := object{
		"apiVersion":                       "kubelet.config.k8s.io/v1beta1",
		"kind":                             "KubeletConfiguration",
		"address":                          c.NodeIP,
		"port":                             c.KubeletPort,
		"healthzPort":                      0,
		"containerRuntimeEndpoint":         "unix://" + layout.ContainerdSocket(),
		"authentication":                   object{"anonymous": object{"enabled": false}, "webhook": object{"enabled": true}, "x509": object{"clientCAFile": layout.Certificate("ca")}},
		"authorization":                    object{"mode": "Webhook"},
		"tlsCertFile":                      layout.Certificate("kubelet-server"),
		"tlsPrivateKeyFile":                layout.Key("kubelet-server"),
		"tlsMinVersion":                    "VersionTLS12",
		"cgroupDriver":                     "cgroupfs",
		"cgroupRoot":                       "/" + cgroupName(c),
		"enforceNodeAllocatable":           []string{},
		"failSwapOn":                       false,
		"resolvConf":                       host.Resolver,
		"clusterDNS":                       []string{c.DNSServiceIP()},
		"clusterDomain":                    config.ClusterDomain,
		"podLogsDir":                       layout.PodLogs(),
		"staticPodPath":                    "",
		"volumePluginDir":                  filepath.Join(layout.Kubelet(), "volume-plugins"),
		"makeIPTablesUtilChains":           false,
		"serializeImagePulls":              false,
		"maxParallelImagePulls":            4,
		"containerLogMaxSize":              "10Mi",
		"seccompDefault":                   true,
		"nodeStatusUpdateFrequency":        "10s",
		"shutdownGracePeriod":              "0s",
		"enableDebuggingHandlers":          true,
		"imageGCHighThresholdPercent":      95,
		"imageGCLowThresholdPercent":       90,
		"evictionPressureTransitionPeriod": "30s",
		// The node shares its disk with everything else on the machine: evict only when it is about to be unusable.
		"evictionHard": object{"memory.available": "100Mi", "nodefs.available": "2%", "nodefs.inodesFree": "1%", "imagefs.available": "2%"},
	}
	if !host.CgroupV2 {
		content["failCgroupV1"] = false
	}
	if host.RestrictOOM {
		content["oomScoreAdj"] = 0
	}
	return content
}

func proxyConfig(c config.Config, layout config.Layout) object {
	return object{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"mode":               "nftables",
		"clientConnection":   object{"kubeconfig": layout.Kubeconfig("kube-proxy")},
		"clusterCIDR":        c.PodCIDR,
		"hostnameOverride":   c.NodeName,
		"bindAddress":        c.NodeIP,
		"metricsBindAddress": fmt.Sprintf("%s:%d", c.LocalIP, c.ProxyPort),
		"healthzBindAddress": fmt.Sprintf("%s:%d", c.LocalIP, c.ProxyHealthPort),
		// NodePorts are served on the node's own address only: nothing of the cluster is open to other machines but the front door.
		"nodePortAddresses": []string{c.NodeIP + "/32"},
		// Connection tracking limits belong to the host; 0 leaves them alone.
		"conntrack":   object{"maxPerCore": 0, "min": 0},
		"oomScoreAdj": 0,
		// Listing by netlink would go around towpath-nft, which gives this cluster a table of its own.
		"featureGates": object{"NFTablesNetlink": false},
	}
}

// networkConfig connects each pod by a point-to-point device. With a bridge, an answer from one pod to another would not pass
// the host, which then could not translate a Service's address back, unless the kernel module br_netfilter is at hand.
func networkConfig(c config.Config, layout config.Layout) object {
	return object{
		"cniVersion": "1.0.0",
		"name":       "towpath-" + c.Bridge,
		"plugins": []object{
			{"type": "ptp", "ipMasq": false, "ipam": object{
				"type":    "host-local",
				"dataDir": layout.NetworkState(),
				"ranges":  [][]object{{{"subnet": c.PodCIDR}}},
				"routes":  []object{{"dst": "0.0.0.0/0"}},
			}},
			{"type": "portmap", "capabilities": object{"portMappings": true}, "backend": "nftables"},
		},
	}
}

// writeMirrors writes where to pull from, one folder a registry host, and removes hosts that are no longer configured.
func writeMirrors(c config.Config, layout config.Layout) error {
	if err := os.RemoveAll(layout.RegistryHosts()); err != nil {
		return fmt.Errorf("removing former registry mirrors: %w", err)
	}
	for _, mirror := range c.RegistryMirrors {
		dir := filepath.Join(layout.RegistryHosts(), mirror.Host)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the folder of registry mirror %s: %w", mirror.Host, err)
		}
		address, err := url.Parse(mirror.URL)
		if err != nil {
			return fmt.Errorf("parsing the address of registry mirror %s: %w", mirror.Host, err)
		}
		if err := writeTemplate(filepath.Join(dir, "hosts.toml"), hostsTOML, struct{ URL, Authorization string }{address.String(), mirror.Authorization}); err != nil {
			return err
		}
	}
	return nil
}

// quote writes a TOML basic string; JSON's escapes are a subset of TOML's.
func quote(text string) (string, error) {
	data, err := json.Marshal(text)
	return string(data), err
}

func parse(name, text string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{"quote": quote}).Parse(text))
}

var hostsTOML = parse("hosts.toml", `server = {{quote .URL}}

[host.{{quote .URL}}]
  capabilities = ["pull", "resolve"]
{{- if .Authorization}}
  [host.{{quote .URL}}.header]
    Authorization = {{quote .Authorization}}
{{- end}}
`)

var corefile = parse("Corefile", `.:{{.DNSPort}} {
	bind {{.NodeIP}}
	errors
	kubernetes {{.Domain}} in-addr.arpa ip6.arpa {
		kubeconfig {{.Kubeconfig}}
		pods insecure
		fallthrough in-addr.arpa ip6.arpa
		ttl 5
	}
{{- if .Resolver}}
	forward . {{.Resolver}} {
		max_concurrent 1000
	}
{{- end}}
	cache 30 {
		disable success {{.Domain}}
		disable denial {{.Domain}}
	}
	loop
}
`)

// containerdTOML keeps everything below the cluster's own folders, and leaves out the plugins that reach for host-wide places
// (node resource interface, optional snapshotters) or need devices that a plain host does not have.
var containerdTOML = parse("containerd.toml", `version = 3
root = {{quote .Containerd}}
state = {{quote .ContainerdState}}
imports = []
disabled_plugins = [
  "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt", "io.containerd.image-verifier.v1.bindir",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs", "io.containerd.differ.v1.erofs",
  "io.containerd.mount-handler.v1.erofs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = {{quote .ContainerdSocket}}

[plugins."io.containerd.shim.v1.manager"]
  socket_dir = {{quote (print .Run "/s")}}

[plugins."io.containerd.cri.v1.images"]
  snapshotter = {{quote .Snapshotter}}
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = {{quote .PauseImage}}
[plugins."io.containerd.cri.v1.images".registry]
  config_path = {{quote .RegistryHosts}}

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = {{.RestrictOOM}}
  netns_mounts_under_state_dir = true
  cdi_spec_dirs = []
  enable_criu = false
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = {{quote (.Tool "containerd-shim-runc-v2")}}
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = {{quote (.Tool "runc")}}
  Root = {{quote (print .Run "/runc")}}
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = [{{quote .Programs}}]
  conf_dir = {{quote .Network}}
  use_internal_loopback = true

[plugins."io.containerd.transfer.v1.local"]
  config_path = {{quote .RegistryHosts}}
{{- if ne .Snapshotter "overlayfs"}}
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = {{quote .Platform}}
  snapshotter = {{quote .Snapshotter}}
{{- end}}
`)

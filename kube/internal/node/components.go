package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/supervise"
)

// plan makes the Spec of each component.
type plan struct {
	config config.Config
	layout config.Layout
	host   Host
	probes *probes
	// configFile is handed to the components that are ours.
	configFile string
	// nft is the path of the real nft program.
	nft string
}

// memory bounds how much garbage a component keeps before it collects it: idle memory against CPU time. GOMEMLIMIT is soft.
type memory struct {
	percent int
	limit   string
}

// spec starts from this executable, with the component's name as its first argument.
func (p plan) spec(name string, keep memory, grace time.Duration, args ...string) supervise.Spec {
	return supervise.Spec{
		Name:  name,
		Path:  p.layout.Executable,
		Args:  append([]string{name}, args...),
		Env:   p.environment(keep),
		Log:   p.layout.Log(name),
		Grace: grace,
	}
}

func (p plan) environment(keep memory) []string {
	temporary := filepath.Join(p.layout.Run, "tmp")
	return []string{
		"PATH=" + p.layout.Programs + ":" + systemPath,
		"HOME=" + temporary,
		"TMPDIR=" + temporary,
		"LANG=C.UTF-8",
		"GOGC=" + strconv.Itoa(keep.percent),
		"GOMEMLIMIT=" + keep.limit,
	}
}

func (p plan) etcd() supervise.Spec {
	client := fmt.Sprintf("https://%s:%d", p.config.LocalIP, p.config.EtcdPort)
	peer := fmt.Sprintf("https://%s:%d", p.config.LocalIP, p.config.EtcdPeerPort)
	spec := p.spec("etcd", memory{50, "256MiB"}, 10*time.Second,
		"--name=towpath",
		"--data-dir="+p.layout.Etcd(),
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=towpath="+peer,
		"--client-cert-auth=true", "--trusted-ca-file="+p.layout.Certificate("etcd-ca"),
		"--cert-file="+p.layout.Certificate("etcd-server"), "--key-file="+p.layout.Key("etcd-server"),
		"--peer-client-cert-auth=true", "--peer-trusted-ca-file="+p.layout.Certificate("etcd-ca"),
		"--peer-cert-file="+p.layout.Certificate("etcd-server"), "--peer-key-file="+p.layout.Key("etcd-server"),
		"--snapshot-count=5000",
		// There is no other member to wait for: a short election makes the first write possible half a second earlier.
		"--heartbeat-interval=50", "--election-timeout=250",
		"--quota-backend-bytes=4294967296",
		"--log-level=warn",
	)
	spec.Ready = p.probes.etcd
	return spec
}

func (p plan) apiServer() supervise.Spec {
	l := p.layout
	const auditFiles = 4
	spec := p.spec("kube-apiserver", memory{60, "1GiB"}, 15*time.Second,
		"--bind-address="+p.config.NodeIP, "--advertise-address="+p.config.NodeIP, "--secure-port="+strconv.Itoa(p.config.APIPort),
		"--endpoint-reconciler-type=lease",
		"--etcd-servers="+fmt.Sprintf("https://%s:%d", p.config.LocalIP, p.config.EtcdPort),
		"--etcd-cafile="+l.Certificate("etcd-ca"), "--etcd-certfile="+l.Certificate("etcd-client"), "--etcd-keyfile="+l.Key("etcd-client"),
		"--encryption-provider-config="+l.File("encryption.json"),
		"--tls-cert-file="+l.Certificate("kube-apiserver"), "--tls-private-key-file="+l.Key("kube-apiserver"), "--tls-min-version=VersionTLS12",
		"--client-ca-file="+l.Certificate("ca"),
		"--authentication-config="+l.File("authentication.json"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc."+config.ClusterDomain,
		"--service-account-key-file="+filepath.Join(l.PKI(), "service-account.pub"), "--service-account-signing-key-file="+l.Key("service-account"),
		"--service-cluster-ip-range="+p.config.ServiceCIDR,
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-certificate-authority="+l.Certificate("ca"),
		"--kubelet-client-certificate="+l.Certificate("kube-apiserver-kubelet-client"), "--kubelet-client-key="+l.Key("kube-apiserver-kubelet-client"),
		"--requestheader-client-ca-file="+l.Certificate("front-proxy-ca"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+l.Certificate("front-proxy-client"), "--proxy-client-key-file="+l.Key("front-proxy-client"),
		"--allow-privileged=true",
		"--audit-policy-file="+l.File("audit-policy.json"), "--audit-log-path="+l.AuditLog(),
		"--audit-log-maxsize="+strconv.Itoa(max(1, p.config.AuditMaxMB/auditFiles)), "--audit-log-maxbackup="+strconv.Itoa(auditFiles-1),
		"--profiling=false",
	)
	spec.Ready = p.probes.apiServer
	return spec
}

// idleControllers have nothing to do on one node without a cloud; each would keep watches and caches for it.
var idleControllers = []string{
	"node-ipam-controller",
	"bootstrap-signer-controller", "token-cleaner-controller", "ttl-controller",
	"selinux-warning-controller", "device-taint-eviction-controller", "resourceclaim-controller",
	"legacy-serviceaccount-token-cleaner-controller", "storageversion-garbage-collector-controller",
}

func (p plan) controllerManager() supervise.Spec {
	l, kubeconfig := p.layout, p.layout.Kubeconfig("kube-controller-manager")
	spec := p.spec("kube-controller-manager", memory{60, "512MiB"}, 5*time.Second,
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--bind-address="+p.config.LocalIP, "--secure-port="+strconv.Itoa(p.config.ControllerPort),
		"--tls-cert-file="+l.Certificate("controller-server"), "--tls-private-key-file="+l.Key("controller-server"),
		"--controllers=*,-"+strings.Join(idleControllers, ",-"),
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+l.Key("service-account"), "--root-ca-file="+l.Certificate("ca"),
		"--cluster-signing-cert-file="+l.Certificate("ca"), "--cluster-signing-key-file="+l.Key("ca"),
		"--allocate-node-cidrs=false",
		// At its start it makes an account and a token for each of its forty controllers, one request after the other; at the
		// default of 20 a second that alone is four seconds in which no Deployment gets a pod.
		"--kube-api-qps=500", "--kube-api-burst=1000",
		"--profiling=false",
	)
	spec.Ready = p.probes.healthz(p.config.LocalIP, p.config.ControllerPort)
	return spec
}

func (p plan) scheduler() supervise.Spec {
	l, kubeconfig := p.layout, p.layout.Kubeconfig("kube-scheduler")
	spec := p.spec("kube-scheduler", memory{60, "256MiB"}, 5*time.Second,
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--bind-address="+p.config.LocalIP, "--secure-port="+strconv.Itoa(p.config.SchedulerPort),
		"--tls-cert-file="+l.Certificate("scheduler-server"), "--tls-private-key-file="+l.Key("scheduler-server"),
		"--leader-elect=false",
		"--profiling=false",
	)
	spec.Ready = p.probes.healthz(p.config.LocalIP, p.config.SchedulerPort)
	return spec
}

func (p plan) containerd() supervise.Spec {
	spec := p.spec("containerd", memory{60, "256MiB"}, 10*time.Second)
	spec.Path, spec.Args = p.layout.Tool("containerd"), []string{"--config", p.layout.File("containerd.toml")}
	// Pulls from other registries go the way the host's administrator laid out.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, set := os.LookupEnv(name); set {
			spec.Env = append(spec.Env, name+"="+value)
		}
	}
	spec.Ready = p.probes.containerd
	return spec
}

func (p plan) kubelet() supervise.Spec {
	spec := p.spec("kubelet", memory{60, "256MiB"}, 10*time.Second,
		"--config="+p.layout.File("kubelet.json"),
		"--kubeconfig="+p.layout.Kubeconfig("kubelet"),
		"--root-dir="+p.layout.Kubelet(),
		"--hostname-override="+p.config.NodeName,
		"--node-ip="+p.config.NodeIP,
		"--node-labels=towpath.dev/embedded=true",
	)
	spec.Env = append(spec.Env, config.ContainerLogsVariable+"="+filepath.Join(p.layout.Run, "container-logs"))
	spec.Ready = p.probes.healthz(p.config.NodeIP, p.config.KubeletPort)
	return spec
}

// proxy finds towpath-nft as "nft", which renames kube-proxy's table to the cluster's own.
func (p plan) proxy() supervise.Spec {
	spec := p.spec("kube-proxy", memory{60, "128MiB"}, 5*time.Second, "--config="+p.layout.File("kube-proxy.json"))
	spec.Env[0] = "PATH=" + p.nftFolder() + ":" + systemPath
	spec.Env = append(spec.Env, "TOWPATH_NFT="+p.nft, "TOWPATH_NFT_TABLE="+proxyTable(p.config))
	spec.Ready = p.probes.proxy
	return spec
}

func (p plan) nftFolder() string { return filepath.Join(p.layout.Run, "nft") }

func (p plan) dns() supervise.Spec {
	spec := p.spec("coredns", memory{60, "128MiB"}, 5*time.Second, "-conf", p.layout.File("Corefile"))
	spec.Ready = p.probes.dns
	return spec
}

func (p plan) frontDoor() supervise.Spec {
	spec := p.spec("front-door", memory{60, "128MiB"}, 15*time.Second, "--config", p.configFile)
	spec.Ready = p.probes.frontDoor
	return spec
}

// policies enforces network policies.
func (p plan) policies() supervise.Spec {
	spec := p.spec("network-policy", memory{60, "128MiB"}, 5*time.Second, "--config", p.configFile)
	spec.Ready = p.probes.policies
	return spec
}

func (p plan) storage() supervise.Spec {
	return p.spec("storage", memory{60, "64MiB"}, 5*time.Second, "--config", p.configFile)
}

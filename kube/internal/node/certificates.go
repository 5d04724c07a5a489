package node

import (
	"fmt"
	"net"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/pki"
)

// The users of the components that are ours. The prefix "system:" cannot be had through a token of the OIDC issuer.
const (
	dnsUser         = "system:towpath-dns"
	frontDoorUser   = "system:towpath-front-door"
	storageUser     = "system:towpath-storage"
	policyUser      = "system:towpath-network-policy"
	kubeletClient   = "system:towpath-kubelet-client"
	adminCredential = "admin"
)

// client is a component's identity towards the API server.
type client struct {
	component, user string
	groups          []string
}

func clients(c config.Config) []client {
	return []client{
		{component: adminCredential, user: "towpath-admin", groups: []string{"system:masters"}},
		{component: "kube-controller-manager", user: "system:kube-controller-manager"},
		{component: "kube-scheduler", user: "system:kube-scheduler"},
		{component: "kube-proxy", user: "system:kube-proxy"},
		{component: "kubelet", user: "system:node:" + c.NodeName, groups: []string{"system:nodes"}},
		{component: "coredns", user: dnsUser},
		{component: "front-door", user: frontDoorUser},
		{component: "storage", user: storageUser},
		{component: "network-policy", user: policyUser},
	}
}

// ensureCertificates makes or renews everything in the PKI folder, and writes the client configurations. The cluster, the
// front proxy (aggregation) and etcd have an authority each: who may call etcd must not follow from who may call the API
// server, and the API server insists that the front proxy's authority is not the clients'.
func ensureCertificates(c config.Config, layout config.Layout, now func() time.Time) error {
	store := pki.NewStore(layout.PKI(), now)
	cluster, err := store.Authority("ca")
	if err != nil {
		return err
	}
	frontProxy, err := store.Authority("front-proxy-ca")
	if err != nil {
		return err
	}
	etcd, err := store.Authority("etcd-ca")
	if err != nil {
		return err
	}
	if _, err := store.KeyPair("service-account"); err != nil {
		return err
	}
	node, local := net.ParseIP(c.NodeIP), net.ParseIP(c.LocalIP)
	for _, wanted := range []struct {
		signer  *pki.Authority
		request pki.Request
	}{
		{cluster, pki.Request{Name: "kube-apiserver", CommonName: "kube-apiserver", Server: true, IPs: []net.IP{node, local, net.ParseIP(c.APIServiceIP())},
			DNSNames: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + config.ClusterDomain}}},
		{cluster, pki.Request{Name: "kube-apiserver-kubelet-client", CommonName: kubeletClient, Client: true}},
		{cluster, pki.Request{Name: "kubelet-server", CommonName: "system:node:" + c.NodeName, Organizations: []string{"system:nodes"}, Server: true, DNSNames: []string{c.NodeName}, IPs: []net.IP{node}}},
		{cluster, pki.Request{Name: "controller-server", CommonName: "kube-controller-manager", Server: true, DNSNames: []string{"localhost"}, IPs: []net.IP{local}}},
		{cluster, pki.Request{Name: "scheduler-server", CommonName: "kube-scheduler", Server: true, DNSNames: []string{"localhost"}, IPs: []net.IP{local}}},
		{frontProxy, pki.Request{Name: "front-proxy-client", CommonName: "front-proxy-client", Client: true}},
		{etcd, pki.Request{Name: "etcd-server", CommonName: "etcd", Server: true, Client: true, IPs: []net.IP{local}}},
		{etcd, pki.Request{Name: "etcd-client", CommonName: "kube-apiserver-etcd-client", Client: true}},
	} {
		if _, err := wanted.signer.Ensure(wanted.request); err != nil {
			return err
		}
	}
	for _, who := range clients(c) {
		if _, err := cluster.Ensure(pki.Request{Name: who.component + "-client", CommonName: who.user, Organizations: who.groups, Client: true}); err != nil {
			return err
		}
		path := layout.Kubeconfig(who.component)
		if who.component == adminCredential {
			path = layout.AdminKubeconfig()
		}
		if err := writeKubeconfig(path, c, layout, cluster.Certificate(), who.component); err != nil {
			return err
		}
	}
	return nil
}

// writeKubeconfig writes a self-contained client configuration, mode 0600.
func writeKubeconfig(path string, c config.Config, layout config.Layout, ca []byte, component string) error {
	certificate, err := os.ReadFile(layout.Certificate(component + "-client"))
	if err != nil {
		return fmt.Errorf("reading the client certificate of %s: %w", component, err)
	}
	key, err := os.ReadFile(layout.Key(component + "-client"))
	if err != nil {
		return fmt.Errorf("reading the client key of %s: %w", component, err)
	}
	name := "towpath-" + c.NodeName
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters[name] = &clientcmdapi.Cluster{Server: c.APIServerURL(), CertificateAuthorityData: ca}
	kubeconfig.AuthInfos[component] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	kubeconfig.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: component}
	kubeconfig.CurrentContext = name
	if err := clientcmd.WriteToFile(*kubeconfig, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.Chmod(path, 0o600)
}

package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/frontdoor"
)

const probeTimeout = 2 * time.Second

// probes ask components whether they serve.
type probes struct {
	config config.Config
	layout config.Layout
	// cluster trusts the cluster's authority and presents the administrator's certificate, store etcd's.
	cluster, store *http.Client
}

// newProbes reads the certificates, which must exist.
func newProbes(c config.Config, layout config.Layout) (*probes, error) {
	cluster, err := httpClient(layout, "ca", adminCredential+"-client")
	if err != nil {
		return nil, err
	}
	store, err := httpClient(layout, "etcd-ca", "etcd-client")
	if err != nil {
		return nil, err
	}
	return &probes{config: c, layout: layout, cluster: cluster, store: store}, nil
}

func httpClient(layout config.Layout, authority, client string) (*http.Client, error) {
	ca, err := os.ReadFile(layout.Certificate(authority))
	if err != nil {
		return nil, fmt.Errorf("reading an authority's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", layout.Certificate(authority))
	}
	pair, err := tls.LoadX509KeyPair(layout.Certificate(client), layout.Key(client))
	if err != nil {
		return nil, fmt.Errorf("loading client certificate %s: %w", client, err)
	}
	return &http.Client{
		Timeout: probeTimeout,
		// A connection of its own for each question: a kept one would tell about the instance before.
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}},
	}, nil
}

// ok asks url and wants the answer 200. A host, when given, replaces the one in url.
func ok(ctx context.Context, client *http.Client, url, host string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Host = host
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

func place(address string, port int) string { return net.JoinHostPort(address, strconv.Itoa(port)) }

func (p *probes) etcd(ctx context.Context) error {
	return ok(ctx, p.store, "https://"+place(p.config.LocalIP, p.config.EtcdPort)+"/health", "")
}

func (p *probes) apiServer(ctx context.Context) error {
	return ok(ctx, p.cluster, p.config.APIServerURL()+"/readyz", "")
}

func (p *probes) healthz(address string, port int) func(context.Context) error {
	return func(ctx context.Context) error {
		return ok(ctx, p.cluster, "https://"+place(address, port)+"/healthz", "")
	}
}

func (p *probes) proxy(ctx context.Context) error {
	return ok(ctx, http.DefaultClient, "http://"+place(p.config.LocalIP, p.config.ProxyHealthPort)+"/healthz", "")
}

func (p *probes) frontDoor(ctx context.Context) error {
	host, port, err := net.SplitHostPort(p.config.FrontDoorAddr)
	if err != nil {
		return err
	}
	if address := net.ParseIP(host); address == nil || address.IsUnspecified() {
		host = "127.0.0.1"
	}
	return ok(ctx, http.DefaultClient, "http://"+net.JoinHostPort(host, port)+"/", frontdoor.HealthHost)
}

func (p *probes) dns(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, place(p.config.NodeIP, p.config.DNSPort))
	}}
	addresses, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+config.ClusterDomain+".")
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		return errors.New("cluster DNS does not know the API server's Service yet")
	}
	return nil
}

// policies looks for the socket that opens once the rules are those of the cluster.
func (p *probes) policies(context.Context) error {
	if !answers(p.layout.PolicySocket()) {
		return errors.New("the rules of network policies are not in force yet")
	}
	return nil
}

func (p *probes) containerd(ctx context.Context) error {
	if !answers(p.layout.ContainerdSocket()) {
		return errors.New("containerd does not listen yet") // asked first, because gRPC would log each attempt
	}
	return p.withRuntime(func(runtime runtimeapi.RuntimeServiceClient) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		_, err := runtime.Version(ctx, &runtimeapi.VersionRequest{})
		return err
	})
}

// withRuntime calls use with a client of containerd's Kubernetes interface.
func (p *probes) withRuntime(use func(runtimeapi.RuntimeServiceClient) error) error {
	connection, err := grpc.NewClient("unix://"+p.layout.ContainerdSocket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connecting to containerd: %w", err)
	}
	defer connection.Close()
	return use(runtimeapi.NewRuntimeServiceClient(connection))
}

// answers reports whether somebody listens on a unix socket.
func answers(socket string) bool {
	connection, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	connection.Close()
	return true
}

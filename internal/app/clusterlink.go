package app

import (
	"context"
	"encoding/base64"
	"net"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/library"
)

// dial opens a connection to an address that a pipeline may have chosen.
type dial func(ctx context.Context, network, address string) (net.Conn, error)

// target is where a task deploys to: the platform's cluster, or that of the service
// connection that its inputs name.
func (t tasks) target(ctx context.Context, call pipeline.TaskCall) (*deploy.Service, error) {
	in := call.Inputs
	task, _, _ := strings.Cut(call.Task, "@")
	kind := strings.ToLower(strings.ReplaceAll(in["connectionType"], " ", ""))
	if strings.TrimSpace(in["azureSubscriptionEndpoint"]) != "" || kind == "azureresourcemanager" && !strings.EqualFold(task, "HelmDeploy") {
		return nil, fault.New(fault.Invalid, "%s cannot reach a cluster by Azure Resource Manager: there is no Azure here.", call.Task).
			WithNext("use a deployment job of an environment, or connectionType: Kubernetes Service Connection with a connection of the type kubernetes")
	}
	name := strings.TrimSpace(in["kubernetesServiceEndpoint"])
	if name == "" || kind == "none" {
		return t.deploy, nil
	}
	lent, err := call.Connection(ctx, name)
	if err != nil {
		return nil, err
	}
	cfg, err := clusterConfig(lent, t.dial)
	if err != nil {
		return nil, err
	}
	return t.deploy.Through(deploy.Remote{Connection: lent.Name, Config: cfg}), nil
}

// parameter is a parameter of a connection by its name, whatever its case.
func parameter(c library.Lent, names ...string) string {
	for k, v := range c.Auth {
		for _, n := range names {
			if strings.EqualFold(k, n) && v != "" {
				return v
			}
		}
	}
	return ""
}

// clusterConfig is what reaches the cluster of a connection: an address with a token and the
// certificate of its authority, or a kubeconfig that holds all it needs. Nothing of it may name
// a file or a program of the server.
func clusterConfig(c library.Lent, d dial) (*rest.Config, error) {
	if c.Type != library.Kubernetes {
		return nil, fault.New(fault.Invalid, "The service connection %s is of the type %s, not kubernetes.", c.Name, c.Type)
	}
	cfg := &rest.Config{Host: c.URL}
	if text := parameter(c, "kubeconfig"); text != "" {
		var err error
		if cfg, err = fromKubeconfig(c.Name, text, parameter(c, "clusterContext")); err != nil {
			return nil, err
		}
	} else {
		if cfg.BearerToken = parameter(c, "apitoken", "token"); cfg.BearerToken == "" {
			return nil, fault.New(fault.Invalid, "The service connection %s has no credentials.", c.Name).
				WithNext("give it a token of a service account that may deploy to one namespace: towpath connection set %s --secret apitoken", c.Name)
		}
		if ca := parameter(c, "serviceAccountCertificate", "ca"); ca != "" {
			cfg.CAData = authority(ca)
		}
		// The name is the service's own; its types of connections have it.
		cfg.Insecure = len(cfg.CAData) == 0 && truth(parameter(c, "acceptUntrustedCerts"), false)
	}
	cfg.Dial, cfg.UserAgent, cfg.QPS, cfg.Burst = d, "towpath", 50, 100
	// No proxy: it would connect in our place, and to where we would not.
	cfg.Proxy = nil
	return cfg, nil
}

// authority is a certificate, as it is or in base64 as a Secret has it.
func authority(text string) []byte {
	if strings.Contains(text, "-----BEGIN") {
		return []byte(text)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return []byte(text)
	}
	return raw
}

func fromKubeconfig(name, text, use string) (*rest.Config, error) {
	refuse := func(why string) error {
		return fault.New(fault.Invalid, "The kubeconfig of the service connection %s %s.", name, why).
			WithNext("use one with certificate-authority-data and a token, or client-certificate-data and client-key-data")
	}
	raw, err := clientcmd.Load([]byte(text))
	if err != nil {
		return nil, refuse("cannot be read")
	}
	if use != "" {
		raw.CurrentContext = use
	}
	at := raw.Contexts[raw.CurrentContext]
	if at == nil {
		return nil, refuse("has no current context")
	}
	cluster, user := raw.Clusters[at.Cluster], raw.AuthInfos[at.AuthInfo]
	if cluster == nil || user == nil {
		return nil, refuse("has no cluster or no user for its current context")
	}
	switch {
	case user.Exec != nil || user.AuthProvider != nil:
		return nil, refuse("runs a program to sign in")
	case user.ClientCertificate != "" || user.ClientKey != "" || user.TokenFile != "" || cluster.CertificateAuthority != "":
		return nil, refuse("names files, which are not here")
	case cluster.ProxyURL != "":
		return nil, refuse("goes through a proxy")
	}
	only := clientcmdapi.NewConfig()
	only.CurrentContext, only.Contexts[raw.CurrentContext] = raw.CurrentContext, at
	only.Clusters[at.Cluster], only.AuthInfos[at.AuthInfo] = cluster, user
	cfg, err := clientcmd.NewDefaultClientConfig(*only, nil).ClientConfig()
	if err != nil {
		return nil, refuse("is not complete")
	}
	return cfg, nil
}

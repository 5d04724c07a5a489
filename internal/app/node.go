package app

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/fault"
)

// runNode keeps the agent of the embedded cluster's node running until ctx ends: it tails
// the containers' logs and relays the OTLP that pods send to the node's address.
func (a *App) runNode(ctx context.Context) error {
	a.keep(ctx, "the node's agent", func() error { return a.node(ctx) })
	return nil
}

// node runs the agent to its end.
func (a *App) node(ctx context.Context) error {
	if err := a.Cluster.Await(ctx); err != nil {
		return err
	}
	name, address, err := a.nodeAddress(ctx)
	if err != nil {
		return err
	}
	state := filepath.Join(a.cfg.Data, "tail")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return fmt.Errorf("making the folder of the tailer: %w", err)
	}
	args := []string{
		"node", "--server", "http://" + loopback(a.Addr), "--token-file", filepath.Join(a.cfg.Data, "telemetry-token"),
		"--logs", filepath.Join(a.cfg.Data, "kube", "pod-logs"), "--state", state, "--node", name,
	}
	if t := a.telemetry; t.http != nil || t.grpc != nil {
		args = append(args, "--otlp-listen", address)
		if t.http != nil {
			args = append(args, "--otlp-http", loopback(t.http.Addr()))
		}
		if t.grpc != nil {
			args = append(args, "--otlp-grpc", loopback(t.grpc.Addr()))
		}
	}
	log, err := os.OpenFile(filepath.Join(a.cfg.Data, "logs", "node.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(a.cfg.Programs, "towpath-agent"), args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	return runChild(cmd, log, 10*time.Second)
}

// nodeAddress returns the name and the internal address of the embedded cluster's node.
func (a *App) nodeAddress(ctx context.Context) (name, address string, err error) {
	cfg, err := a.Cluster.Admin(ctx)
	if err != nil {
		return "", "", err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return "", "", err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", "", fmt.Errorf("listing the cluster's nodes: %w", err)
	}
	for _, n := range nodes.Items {
		for _, at := range n.Status.Addresses {
			if at.Type == corev1.NodeInternalIP {
				return n.Name, at.Address, nil
			}
		}
	}
	return "", "", fault.New(fault.Unavailable, "The cluster has no node with an address yet.")
}

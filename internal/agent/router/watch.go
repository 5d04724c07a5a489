package router

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/deploy/route"
)

// serviceAccount is where the kubelet puts a pod's credentials.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// Limits of the watch.
const (
	watchTime = 5 * time.Minute // after which the API server ends a watch
	maxEvent  = 4 << 20         // bytes of one event: a ConfigMap and what is around it
	minPause  = 500 * time.Millisecond
	maxPause  = 15 * time.Second
)

// Cluster is a Source that watches the ConfigMap route.ConfigMap of a namespace. It needs
// no other permission than to watch that one object.
type Cluster struct {
	server    string // base URL of the API server
	namespace string
	name      string
	token     string // file
	client    *http.Client
	log       *slog.Logger
}

// NewCluster returns a Source for a pod: it takes the address of the API server from the
// environment (KUBERNETES_SERVICE_HOST and _PORT), and the credentials from the files of
// the pod's ServiceAccount.
func NewCluster(namespace, name string, getenv func(string) string, log *slog.Logger) (*Cluster, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is no pod of a cluster: KUBERNETES_SERVICE_HOST is not set; give the table with --table FILE")
	}
	return NewClusterAt("https://"+net.JoinHostPort(host, port), namespace, name, serviceAccount, log)
}

// NewClusterAt returns a Source for an API server at a base URL, with the files ca.crt and
// token in a folder.
func NewClusterAt(server, namespace, name, credentials string, log *slog.Logger) (*Cluster, error) {
	if namespace == "" || name == "" {
		return nil, errors.New("the namespace and the name of the ConfigMap are needed: POD_NAMESPACE and --configmap")
	}
	raw, err := os.ReadFile(filepath.Join(credentials, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("reading the cluster's certificate: %s holds none", filepath.Join(credentials, "ca.crt"))
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second,
		// A watch is silent for long: only a ping tells whether the other end is there.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	return &Cluster{
		server: strings.TrimRight(server, "/"), namespace: namespace, name: name, token: filepath.Join(credentials, "token"),
		client: &http.Client{Transport: transport}, log: log,
	}, nil
}

// Watch follows the ConfigMap until ctx ends. Each watch begins with what there is, so
// nothing is missed between two.
func (c *Cluster) Watch(ctx context.Context, apply func(route.Table)) error {
	defer c.client.CloseIdleConnections()
	pause := minPause
	for {
		began := time.Now()
		err := c.follow(ctx, apply)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > maxPause {
			pause = minPause
		}
		if err != nil {
			c.log.Warn("the watch of the route table ended; the last good table stays", "err", err, "again", pause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause)):
		}
		if pause = min(pause*2, maxPause); err == nil {
			pause = minPause
		}
	}
}

// event is what a watch sends, as far as it matters here.
type event struct {
	Type   string `json:"type"`
	Object struct {
		Data    map[string]string `json:"data"`
		Message string            `json:"message"` // of a Status
		Code    int               `json:"code"`
	} `json:"object"`
}

// follow makes one watch and reads it to its end.
func (c *Cluster) follow(ctx context.Context, apply func(route.Table)) error {
	query := url.Values{
		"watch": {"1"}, "fieldSelector": {"metadata.name=" + c.name}, "timeoutSeconds": {strconv.Itoa(int(watchTime.Seconds()))},
	}
	// Without a resourceVersion the watch begins with the object as it is now.
	address := fmt.Sprintf("%s/api/v1/namespaces/%s/configmaps?%s", c.server, url.PathEscape(c.namespace), query.Encode())
	ctx, cancel := context.WithTimeout(ctx, watchTime+time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(c.token) // again each time: the kubelet renews it
	if err != nil {
		return fmt.Errorf("reading the pod's token: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Accept", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("watching ConfigMap %s/%s: %w", c.namespace, c.name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("watching ConfigMap %s/%s: the API server answered %s: %s", c.namespace, c.name, resp.Status, bytes.TrimSpace(said))
	}
	return c.read(resp.Body, apply)
}

func (c *Cluster) read(r io.Reader, apply func(route.Table)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxEvent)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("parsing an event of the watch: %w", err)
		}
		switch e.Type {
		case "ADDED", "MODIFIED":
			t, err := route.Decode([]byte(e.Object.Data[route.Key]))
			if err != nil {
				c.log.Error("the route table was refused; the last good one stays", "err", err)
				continue
			}
			apply(t)
		case "DELETED":
			c.log.Warn("the route table was deleted; the last good one stays")
		case "ERROR":
			return fmt.Errorf("the API server ended the watch: %d %s", e.Object.Code, e.Object.Message)
		}
	}
	return lines.Err()
}

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/fault"
)

// Dial connects to the end of the tunnel in the session's pod by the API server's
// port-forward: the one way that exists on embedded and adopted clusters alike.
func (p *Pods) Dial(ctx context.Context, s dev.Session) (io.ReadWriteCloser, error) {
	c, cfg, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	dialer, err := forwarder(c, cfg, s)
	if err != nil {
		return nil, err
	}
	conn, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "The pod of session %s cannot be reached through the cluster's API server.", s.ID).
			WithNext("try again; `towpath kubectl -n %s get pod %s` shows how it is", s.Namespace, name(s))
	}
	f, err := forward(conn, TunnelPort)
	if err != nil {
		return nil, fmt.Errorf("forwarding to the pod of session %s: %w", s.ID, err)
	}
	return f, nil
}

// forwarder dials over WebSocket, and over SPDY where the API server is older than 1.30 or
// something between does not let WebSockets pass.
func forwarder(c kubernetes.Interface, cfg *rest.Config, s dev.Session) (httpstream.Dialer, error) {
	url := c.CoreV1().RESTClient().Post().Resource("pods").Namespace(s.Namespace).Name(name(s)).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a way to the API server: %w", err)
	}
	old := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	dialer, err := portforward.NewSPDYOverWebsocketDialer(url, cfg)
	if err != nil {
		return nil, fmt.Errorf("making a way to the API server: %w", err)
	}
	return portforward.NewFallbackDialer(dialer, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// forwarded is one connection through a port-forward.
type forwarded struct {
	httpstream.Stream
	conn httpstream.Connection
	once sync.Once
}

// Close ends the connection and the forward, which serves it alone.
func (f *forwarded) Close() error {
	var err error
	f.once.Do(func() { err = f.conn.Close() })
	return err
}

func forward(conn httpstream.Connection, port int) (*forwarded, error) {
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	complaints, err := conn.CreateStream(headers)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("opening the error stream: %w", err)
	}
	complaints.Close() // Nothing is written to it.
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(headers)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("opening the data stream: %w", err)
	}
	f := &forwarded{Stream: data, conn: conn}
	go func() {
		// A message there says that the pod's end refused; the data stream may stay open.
		if b, err := io.ReadAll(io.LimitReader(complaints, 4096)); err == nil && len(b) > 0 {
			f.Close()
		}
	}()
	return f, nil
}

// RouterAdminPort is the port of a router at which it tells what it saw.
const RouterAdminPort = 9902

// routerSelector selects the router's pods.
const routerSelector = "app.kubernetes.io/name=towpath-router"

// Accesses asks every router of a namespace, through the API server, what it saw of a key.
func (p *Pods) Accesses(ctx context.Context, namespace, key string) ([]dev.Access, error) {
	c, _, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: routerSelector, Limit: 10})
	if err != nil {
		return nil, fmt.Errorf("listing the routers of %s: %w", namespace, err)
	}
	if len(pods.Items) == 0 {
		return nil, fault.New(fault.Conflict, "Namespace %s has no router: no request there is routed by a key.", namespace).
			WithNext("start a session, which turns routing on")
	}
	var out []dev.Access
	for _, pod := range pods.Items {
		raw, err := c.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").Name(pod.Name+":"+strconv.Itoa(RouterAdminPort)).
			SubResource("proxy").Suffix("access").Param("key", key).Do(ctx).Raw()
		if err != nil {
			return nil, fault.Wrap(fault.Unavailable, err, "The router %s does not answer.", pod.Name).WithNext("try again")
		}
		var got []dev.Access
		if err := json.Unmarshal(raw, &got); err != nil {
			return nil, fmt.Errorf("reading what the router %s saw: %w", pod.Name, err)
		}
		out = append(out, got...)
	}
	return out, nil
}

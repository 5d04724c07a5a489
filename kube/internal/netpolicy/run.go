package netpolicy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	// settle gathers changes that come together into one transaction.
	settle = 5 * time.Millisecond
	// nftLimit bounds one transaction.
	nftLimit = 30 * time.Second
	// systemPath is where nft is looked for.
	systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Options says what Run enforces and where.
type Options struct {
	Node Node
	// Table is the name of the nftables table, of family ip, that is Run's alone.
	Table string
	// Socket is the path of a unix socket that takes connections once the rules are those of the cluster, for who asks whether
	// this is so. Each is closed at once.
	Socket string
	Log    *slog.Logger
}

// Run keeps the table what the cluster's policies say, until ctx ends. The table stays then: pods that go on running stay
// isolated until the node takes it away or the next Run replaces it. An error of the kernel ends it, so that whoever keeps it
// running shows the error; the rules before stay in force.
func Run(ctx context.Context, client kubernetes.Interface, o Options) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(trim))
	read := caches{
		policies:   factory.Networking().V1().NetworkPolicies().Lister(),
		pods:       factory.Core().V1().Pods().Lister(),
		namespaces: factory.Core().V1().Namespaces().Lister(),
	}
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() }}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Networking().V1().NetworkPolicies().Informer(), factory.Core().V1().Pods().Informer(), factory.Core().V1().Namespaces().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watching the cluster's policies: %w", err)
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	for _, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil // asked to end before it began
		}
	}
	return follow(ctx, read, changed, o)
}

// follow applies what the caches say, now and after every change.
func follow(ctx context.Context, read caches, changed <-chan struct{}, o Options) error {
	var inForce string
	var socket net.Listener
	for ctx.Err() == nil {
		sources, err := read.all()
		if err != nil {
			return err
		}
		if script := Compile(o.Node, sources).Script(o.Table); script != inForce {
			if err := apply(script); err != nil {
				return err
			}
			inForce = script
			o.Log.Info("rules replaced", "policies", len(sources.Policies), "pods", len(sources.Pods), "bytes", len(script))
		}
		if socket == nil {
			if socket, err = answer(o.Socket); err != nil {
				return err
			}
			defer socket.Close()
		}
		select {
		case <-ctx.Done():
		case <-changed:
			time.Sleep(settle)
		}
	}
	return nil
}

// answer takes connections at a unix socket and closes them, until it is closed itself.
func answer(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replacing the socket of network policies: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening the socket of network policies: %w", err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connection.Close()
		}
	}()
	return listener, nil
}

// caches are what Run knows of the cluster.
type caches struct {
	policies   networkinglisters.NetworkPolicyLister
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
}

func (c caches) all() (s Sources, err error) {
	if s.Policies, err = c.policies.List(labels.Everything()); err != nil {
		return s, fmt.Errorf("listing network policies: %w", err)
	}
	if s.Pods, err = c.pods.List(labels.Everything()); err != nil {
		return s, fmt.Errorf("listing pods: %w", err)
	}
	if s.Namespaces, err = c.namespaces.List(labels.Everything()); err != nil {
		return s, fmt.Errorf("listing namespaces: %w", err)
	}
	return s, nil
}

// trim keeps of an object what Compile reads.
func trim(object any) (any, error) {
	if accessor, ok := object.(metav1.ObjectMetaAccessor); ok {
		accessor.GetObjectMeta().SetManagedFields(nil)
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	kept := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Labels: pod.Labels, ResourceVersion: pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
		},
		Spec:   corev1.PodSpec{HostNetwork: pod.Spec.HostNetwork, InitContainers: portsOnly(pod.Spec.InitContainers), Containers: portsOnly(pod.Spec.Containers)},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, PodIP: pod.Status.PodIP},
	}
	return kept, nil
}

func portsOnly(containers []corev1.Container) []corev1.Container {
	var kept []corev1.Container
	for _, container := range containers {
		if len(container.Ports) > 0 {
			kept = append(kept, corev1.Container{Ports: container.Ports})
		}
	}
	return kept
}

// apply runs one nft transaction. It does not end with whoever asked for it: half a second more and the rules are whole.
func apply(script string) error {
	ctx, cancel := context.WithTimeout(context.Background(), nftLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Env = []string{"PATH=" + systemPath}
	cmd.Stdin = strings.NewReader(script)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("changing the rules of network policies: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}

// Try tells whether this kernel and its nft take every kind of rule that Script writes: it makes a table with all of them and
// removes it in the same transaction.
func Try() error {
	pod, other := netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.AddrFrom4([4]byte{192, 0, 2, 2})
	block := Block{Range: netip.PrefixFrom(other, 24).Masked(), Except: []netip.Prefix{netip.PrefixFrom(pod, 32)}}
	rule := Rule{
		Peers: []netip.Addr{other}, Blocks: []Block{block}, Ports: []Ports{{TCP, 80, 80}, {UDP, 1, 9}, {SCTP, 0, lastPort}},
		Named: []Place{{other, TCP, 80}},
	}
	asking := rule
	asking.DNS = []string{TCP, UDP}
	direction := func(rule Rule) Direction {
		return Direction{Policies: []Policy{{Name: "trial/trial", Rules: []Rule{rule}}}, Pods: map[netip.Addr][]int{pod: {0}}}
	}
	table := fmt.Sprintf("towpath-try-%d", os.Getpid())
	script := Ruleset{Node: Node{Address: other, DNSPort: dnsPort}, Ingress: direction(rule), Egress: direction(asking)}.Script(table)
	return apply(script + "delete table ip " + table + "\n")
}

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"towpath.dev/towpath/kube/internal/bootstrap"
	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/image"
	"towpath.dev/towpath/kube/internal/netpolicy"
	"towpath.dev/towpath/kube/internal/supervise"
)

// retryPause is the pause between two attempts at something that the API server may not be ready for yet.
const retryPause = 100 * time.Millisecond

// Cluster is a running cluster.
type Cluster struct {
	plan plan
	emit func(supervise.Event)
	now  func() time.Time

	mu        sync.Mutex
	processes map[string]*supervise.Process
}

// Options says what Up runs and how.
type Options struct {
	Config config.Config
	// ConfigFile is the file that Config was read from; components that are ours read it again.
	ConfigFile string
	Layout     config.Layout
	// Admit is asked once this process has the cluster to itself, and before anything on the host is changed; its error is
	// returned unchanged.
	Admit func() error
	// Now is the clock that certificates and reported times go by.
	Now func() time.Time
	// Emit is told every change; it must be safe for concurrent use.
	Emit func(supervise.Event)
}

// Up brings the cluster up, keeps it running until ctx ends, and takes it down in order. The event "ready" of the component
// "cluster" means that the node takes pods, Services are routed and cluster DNS answers. A cluster that is already up is
// refused, with the process that runs it.
func Up(ctx context.Context, o Options) error {
	began := o.Now()
	lock, err := acquire(o.Layout, o.ConfigFile)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := o.Admit(); err != nil {
		return err
	}
	cluster := &Cluster{emit: o.Emit, now: o.Now, processes: map[string]*supervise.Process{}}
	if cluster.plan, err = prepare(ctx, o.Config, o.ConfigFile, o.Layout, o.Now); err != nil {
		return err
	}
	startErr := cluster.start(ctx)
	if startErr == nil {
		cluster.tell(supervise.Ready, "cluster", "API server "+o.Config.APIServerURL()+", kubeconfig "+o.Layout.AdminKubeconfig()+", front door http://"+o.Config.FrontDoorAddr, began)
		<-ctx.Done()
	}
	stopErr := cluster.down()
	if ctx.Err() != nil && errors.Is(startErr, context.Canceled) {
		startErr = nil // asked to stop while it was still starting
	}
	return errors.Join(startErr, stopErr)
}

func (c *Cluster) tell(phase, component, detail string, since time.Time) {
	c.emit(supervise.Event{Time: c.now().UTC(), Phase: phase, Component: component, Detail: detail, Seconds: supervise.Seconds(c.now().Sub(since))})
}

// prepare makes everything that must exist before the first component starts.
func prepare(ctx context.Context, c config.Config, configFile string, layout config.Layout, now func() time.Time) (plan, error) {
	for _, dir := range layout.Folders() {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return plan{}, fmt.Errorf("making %s: %w", dir, err)
		}
	}
	nftProgram, err := lookPath("nft")
	if err != nil {
		return plan{}, err
	}
	p := plan{config: c, layout: layout, host: InspectHost(layout), configFile: configFile, nft: nftProgram}
	if err := ensureCertificates(c, layout, now); err != nil {
		return plan{}, err
	}
	if err := writeFiles(c, layout, p.host); err != nil {
		return plan{}, err
	}
	if err := errors.Join(ensureDevice(c), ensureCgroup(c), ensureNodeRules(ctx, c), p.linkNFT()); err != nil {
		return plan{}, err
	}
	p.probes, err = newProbes(c, layout)
	return p, err
}

// lookPath finds one of the host's own programs, whatever PATH this process was started with.
func lookPath(name string) (string, error) {
	for _, dir := range filepath.SplitList(systemPath) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("program %s is missing on this host (looked in %s)", name, systemPath)
}

func (p plan) linkNFT() error {
	if err := os.MkdirAll(p.nftFolder(), 0o700); err != nil {
		return fmt.Errorf("making the folder of kube-proxy's nft: %w", err)
	}
	link := filepath.Join(p.nftFolder(), "nft")
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replacing kube-proxy's nft: %w", err)
	}
	return os.Symlink(p.layout.Tool("towpath-nft"), link)
}

// start starts the components in the order of what they need, as much at once as that allows, and waits until all serve.
func (c *Cluster) start(ctx context.Context) error {
	p := c.plan
	if err := c.launch(p.etcd(), p.containerd()); err != nil {
		return err
	}
	var problem error
	var images sync.WaitGroup
	images.Go(func() { problem = c.importPause(ctx) })
	if err := c.await(ctx, "etcd"); err != nil {
		return err
	}
	if err := c.launch(p.apiServer()); err != nil {
		return err
	}
	if err := c.await(ctx, "kube-apiserver"); err != nil {
		return err
	}
	if images.Wait(); problem != nil {
		return problem
	}
	// Before the kubelet, so that pods of an earlier run find the rules that isolate them.
	enforcing, err := c.launchPolicies()
	if err != nil {
		return err
	}
	if err := c.launch(p.kubelet(), p.controllerManager(), p.scheduler(), p.proxy()); err != nil {
		return err
	}
	client, err := clientcmd.BuildConfigFromFlags("", p.layout.AdminKubeconfig())
	if err != nil {
		return fmt.Errorf("reading the administrator's kubeconfig: %w", err)
	}
	if err := c.applyFirstObjects(ctx, client); err != nil {
		return err
	}
	if err := c.launch(p.dns(), p.frontDoor(), p.storage()); err != nil {
		return err
	}
	if err := c.await(ctx, "kubelet"); err != nil {
		return err
	}
	if err := c.awaitNode(ctx, client); err != nil {
		return err
	}
	if err := awaitNamespace(ctx, client); err != nil {
		return err
	}
	return c.await(ctx, append(enforcing, "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "front-door", "storage")...)
}

// launchPolicies launches what enforces network policies and returns its name. On a kernel that lacks what its rules need it tells
// so instead, and the cluster runs without.
func (c *Cluster) launchPolicies() ([]string, error) {
	if err := netpolicy.Try(); err != nil {
		c.tell(supervise.Failed, "network-policy", "network policies are not enforced on this host: "+err.Error(), c.now())
		return nil, nil
	}
	spec := c.plan.policies()
	return []string{spec.Name}, c.launch(spec)
}

func (c *Cluster) launch(specs ...supervise.Spec) error {
	for _, spec := range specs {
		process, err := supervise.Start(spec, c.emit)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.processes[spec.Name] = process
		c.mu.Unlock()
	}
	return nil
}

func (c *Cluster) process(name string) *supervise.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[name]
}

// await waits until each of the named components was ready once. A component that keeps dying is told by its events; whoever
// reads them decides how long to wait.
func (c *Cluster) await(ctx context.Context, names ...string) error {
	for _, name := range names {
		select {
		case <-c.process(name).Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// importPause gives the node the image of pod sandboxes, made from the program beside this executable.
func (c *Cluster) importPause(ctx context.Context) error {
	if err := c.await(ctx, "containerd"); err != nil {
		return err
	}
	program, err := os.ReadFile(c.plan.layout.Tool("pause"))
	if err != nil {
		return fmt.Errorf("reading the program of pod sandboxes: %w", err)
	}
	var archive bytes.Buffer
	if err := image.Archive(&archive, image.Program{Ref: pauseImage, Path: "/pause", Content: program, User: "65535:65535"}); err != nil {
		return err
	}
	_, err = image.Import(ctx, c.plan.layout.ContainerdSocket(), c.plan.host.Snapshotter, &archive)
	return err
}

// applyFirstObjects applies until it succeeds: right after its first start the API server still makes its own roles, and the
// first answers may be refusals.
func (c *Cluster) applyFirstObjects(ctx context.Context, client *rest.Config) error {
	users := bootstrap.Users{DNS: dnsUser, FrontDoor: frontDoorUser, Storage: storageUser, NetworkPolicy: policyUser, KubeletClient: kubeletClient}
	return retry(ctx, 30*time.Second, func() error { return bootstrap.Apply(ctx, client, c.plan.config, users) })
}

// retry calls attempt until it succeeds, ctx ends or the time is over; then it returns the last error.
func retry(ctx context.Context, limit time.Duration, attempt func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryPause):
		}
	}
}

// awaitNode waits until the kubelet has reported, since this start, that its node takes pods.
func (c *Cluster) awaitNode(ctx context.Context, config *rest.Config) error {
	began := c.now()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client to watch the node with: %w", err)
	}
	for {
		node, err := client.CoreV1().Nodes().Get(ctx, c.plan.config.NodeName, metav1.GetOptions{})
		if err == nil && nodeReady(node) {
			c.tell(supervise.Ready, "node", c.plan.config.NodeName, began)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

// awaitNamespace waits until the namespace "default" takes pods: the controller manager gives it the service account that every
// pod runs as, without which pods are refused, and the certificates that every pod mounts.
func awaitNamespace(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client to watch the first namespace with: %w", err)
	}
	return retry(ctx, time.Minute, func() error {
		_, accountErr := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		_, rootErr := client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		if err := errors.Join(accountErr, rootErr); err != nil {
			return fmt.Errorf("waiting for the namespace default to take pods: %w", err)
		}
		return nil
	})
}

func nodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// runTool runs one of the host's programs with a clean environment.
func runTool(ctx context.Context, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + systemPath}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w: %s", filepath.Base(path), err, bytes.TrimSpace(output))
	}
	return nil
}

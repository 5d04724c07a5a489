package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"towpath.dev/towpath/kube/internal/config"
)

const (
	// containerGrace is how many seconds a container may take to end after SIGTERM when the node goes down.
	containerGrace = 10
	downLimit      = 60 * time.Second
)

// down ends everything in an order that lets each part finish its work: first who brings requests and who starts pods, then
// the pods, then the control plane, its store last. Objects, images and volumes stay on disk.
func (c *Cluster) down() error {
	began := c.now()
	ctx, cancel := context.WithTimeout(context.Background(), downLimit)
	defer cancel()
	c.stop("front-door", "storage", "kubelet", "kube-controller-manager", "kube-scheduler")
	podErr := c.stopPods(ctx)
	c.stop("coredns", "kube-proxy", "network-policy", "containerd", "kube-apiserver")
	c.stop("etcd")
	err := errors.Join(podErr, releaseHost(ctx, c.plan.config, c.plan.layout))
	c.tell("stopped", "cluster", "", began)
	return err
}

// stop ends the named components at the same time and returns when all have ended. Those that were never started are skipped.
func (c *Cluster) stop(names ...string) {
	var ending sync.WaitGroup
	for _, name := range names {
		if process := c.process(name); process != nil {
			ending.Go(process.Stop)
		}
	}
	ending.Wait()
}

// stopPods ends every container and takes the pods' networks down. The stopped sandboxes stay known to containerd, so the
// kubelet starts the same pods again at the next start.
func (c *Cluster) stopPods(ctx context.Context) error {
	process := c.process("containerd")
	if process == nil || process.PID() == 0 {
		return nil
	}
	return stopSandboxes(ctx, c.plan.probes)
}

func stopSandboxes(ctx context.Context, p *probes) error {
	return p.withRuntime(func(runtime runtimeapi.RuntimeServiceClient) error {
		running := &runtimeapi.ContainerFilter{State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING}}
		containers, err := runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{Filter: running})
		if err != nil {
			return fmt.Errorf("listing containers to stop: %w", err)
		}
		var problems errorList
		var ending sync.WaitGroup
		for _, container := range containers.Containers {
			ending.Go(func() {
				_, err := runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: container.Id, Timeout: containerGrace})
				problems.add(err)
			})
		}
		ending.Wait()
		sandboxes, err := runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
		if err != nil {
			return fmt.Errorf("listing pods to stop: %w", err)
		}
		for _, sandbox := range sandboxes.Items {
			ending.Go(func() {
				_, err := runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: sandbox.Id})
				problems.add(err)
			})
		}
		ending.Wait()
		return problems.join("stopping pods")
	})
}

// errorList gathers errors of concurrent work.
type errorList struct {
	mu     sync.Mutex
	errors []error
}

func (l *errorList) add(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors = append(l.errors, err)
}

func (l *errorList) join(doing string) error {
	if err := errors.Join(l.errors...); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// releaseHost takes the cluster's mounts, nftables tables, network device, control groups and run folder from the host. No
// process of the cluster may run any more.
func releaseHost(ctx context.Context, c config.Config, layout config.Layout) error {
	problems := []error{unmountBelow(layout.Data), unmountBelow(layout.Run)}
	problems = append(problems, removeTables(ctx, c), removeDevice(c), retry(ctx, 5*time.Second, func() error { return removeCgroup(c) }))
	if err := errors.Join(problems...); err != nil {
		return err // the run folder stays: something may still be mounted in it
	}
	if err := os.RemoveAll(layout.Run); err != nil {
		return fmt.Errorf("removing %s: %w", layout.Run, err)
	}
	return nil
}

// unmountBelow unmounts everything that is mounted below dir, the innermost first.
func unmountBelow(dir string) error {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("listing mounts: %w", err)
	}
	points := mountsBelow(string(content), dir)
	var problems []error
	for _, point := range slices.Backward(points) {
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			problems = append(problems, fmt.Errorf("unmounting %s: %w", point, err))
		}
	}
	return errors.Join(problems...)
}

// mountsBelow returns the mount points below dir in the order in which they were mounted, from the text of mountinfo.
func mountsBelow(mountinfo, dir string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape.Replace(fields[4]); strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
}

package node

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"towpath.dev/towpath/kube/internal/config"
)

const (
	// systemPath is where children look for the host's own programs (nft, mount, modprobe, …).
	systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

	pauseImage = "localhost/towpath/pause:v1"

	hostResolver = "/etc/resolv.conf"
)

// Host is what the components' configuration has to know about this machine.
type Host struct {
	// CgroupV2 is whether the unified control group hierarchy is mounted.
	CgroupV2 bool
	// RestrictOOM is whether lowering a process's OOM score is impossible here, for want of CAP_SYS_RESOURCE.
	RestrictOOM bool
	// Resolver is the path of a resolv.conf that names at least one server, or empty.
	Resolver string
	// Snapshotter is how containerd stores file systems: "overlayfs", or "native" where the data folder cannot carry that.
	Snapshotter string
	// Platform is this machine's platform as image manifests write it.
	Platform string
	// PauseImage is the image of every pod's sandbox.
	PauseImage string
}

// InspectHost finds out what Host says. The data folder must exist.
func InspectHost(layout config.Layout) Host {
	host := Host{
		CgroupV2:    cgroupV2(),
		RestrictOOM: !HasCapability(unix.CAP_SYS_RESOURCE),
		Snapshotter: "native",
		Platform:    "linux/" + runtime.GOARCH,
		PauseImage:  pauseImage,
	}
	if namesServer(hostResolver) {
		host.Resolver = hostResolver
	}
	if TryOverlay(layout.Data) == nil {
		host.Snapshotter = "overlayfs"
	}
	return host
}

// HasCapability reports whether this process may use the capability.
func HasCapability(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}

func namesServer(path string) bool {
	content, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) >= 2 && fields[0] == "nameserver" {
			return true
		}
	}
	return false
}

// TryOverlay mounts an overlay file system in a temporary folder below dir and unmounts it again. It fails where the kernel
// has no overlayfs, or dir is itself on one.
func TryOverlay(dir string) error {
	base, err := os.MkdirTemp(dir, ".overlay-")
	if err != nil {
		return fmt.Errorf("making a folder to try overlayfs in: %w", err)
	}
	defer os.RemoveAll(base)
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o700); err != nil {
			return fmt.Errorf("making a folder to try overlayfs in: %w", err)
		}
	}
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base)
	merged := filepath.Join(base, "merged")
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return fmt.Errorf("mounting an overlay file system in %s: %w", dir, err)
	}
	if err := unix.Unmount(merged, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting the trial overlay file system: %w", err)
	}
	return nil
}

// CgroupV2 reports whether the host uses the unified control group hierarchy.
func CgroupV2() bool { return cgroupV2() }

// MissingControllers lists the control group controllers that the kubelet needs and the host does not offer.
func MissingControllers() []string {
	offered := map[string]bool{}
	if cgroupV2() {
		content, _ := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
		for _, name := range strings.Fields(string(content)) {
			offered[name] = true
		}
	} else {
		hierarchies, _ := cgroupHierarchies()
		for _, path := range hierarchies {
			for _, name := range strings.Split(filepath.Base(path), ",") {
				offered[name] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(controllers), func(name string) bool { return offered[name] })
}

// NFTVersion returns what the host's nft program says about itself, after it has shown that it can reach the kernel.
func NFTVersion() (string, error) {
	path, err := lookPath("nft")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := runTool(ctx, path, "list", "tables"); err != nil {
		return "", err
	}
	output, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("asking nft for its version: %w", err)
	}
	return strings.TrimSpace(string(output)), nil
}

// TryBridge makes a network device of the type that the node needs, and removes it again.
func TryBridge() error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = fmt.Sprintf("tptry%d", os.Getpid()%100000)
	link := &netlink.Bridge{LinkAttrs: attributes}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("making a bridge device: %w", err)
	}
	if err := netlink.LinkDel(link); err != nil {
		return fmt.Errorf("removing the trial bridge device: %w", err)
	}
	return nil
}

// ForwardPolicyDrops reports whether a base chain on this host drops forwarded IPv4 packets by default.
func ForwardPolicyDrops() bool {
	path, err := lookPath("nft")
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "list", "chains", "ip").Output()
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "hook forward") && strings.Contains(line, "policy drop") {
			return true
		}
	}
	return false
}

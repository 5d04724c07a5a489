package preflight

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/netpolicy"
	"towpath.dev/towpath/kube/internal/node"
)

// The outcomes of a check: a cluster starts with warnings, and does not with failures.
const (
	OK   = "ok"
	Warn = "warn"
	Fail = "fail"
)

// Check is what was found out about one thing.
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	// Detail says what was found; Fix, for a check that is not OK, what to do about it.
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// Adopt is the remedy that works on every host.
const Adopt = "or use a cluster that you already have: towpath up --kubeconfig FILE"

// tools are the programs that must stand beside this one.
var tools = []string{"containerd", "containerd-shim-runc-v2", "runc", "ptp", "host-local", "portmap", "pause", "towpath-nft"}

// Run looks at everything. A host that is not Linux, or a user who is not root, gets only that answer: the other checks would
// fail for that reason alone.
func Run(c config.Config, layout config.Layout) []Check {
	if runtime.GOOS != "linux" {
		return []Check{{"system", Fail, "this is " + runtime.GOOS + "; the embedded Kubernetes needs Linux", "run it in a Linux machine or virtual machine, " + Adopt}}
	}
	if uid := os.Geteuid(); uid != 0 {
		return []Check{{"root", Fail, fmt.Sprintf("this runs as user %d; making containers and networks needs root", uid), "run it as root (sudo), " + Adopt}}
	}
	checks := []Check{{"root", OK, "running as root", ""}}
	checks = append(checks, programs(layout), nftProgram(), policies(), cgroups(), bridge(c), overlay(c), oomScore(), swap(), forwarding(), memoryAndDisk(c))
	return append(checks, ports(c)...)
}

// Failed reports whether one of the checks stands in the way of a start.
func Failed(checks []Check) bool {
	for _, check := range checks {
		if check.Status == Fail {
			return true
		}
	}
	return false
}

// Print writes the checks for a person, the remedy below each that needs one.
func Print(w io.Writer, checks []Check) {
	for _, check := range checks {
		fmt.Fprintf(w, "%-5s %-12s %s\n", check.Status, check.Name, check.Detail)
		if check.Fix != "" {
			fmt.Fprintf(w, "      %-12s → %s\n", "", check.Fix)
		}
	}
}

func programs(layout config.Layout) Check {
	var missing []string
	for _, tool := range tools {
		if info, err := os.Stat(layout.Tool(tool)); err != nil || info.Mode()&0o111 == 0 {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		return Check{"programs", Fail, strings.Join(missing, ", ") + " not found in " + layout.Programs, "build them: make kube"}
	}
	return Check{"programs", OK, fmt.Sprintf("%d programs in %s", len(tools), layout.Programs), ""}
}

func nftProgram() Check {
	version, err := node.NFTVersion()
	if err != nil {
		return Check{"nft", Fail, err.Error(), "install nftables 1.0.1 or later (Debian: apt-get install nftables), " + Adopt}
	}
	return Check{"nft", OK, version, ""}
}

func policies() Check {
	if err := netpolicy.Try(); err != nil {
		return Check{"policies", Warn, "network policies will not be enforced: " + err.Error(), "run a kernel with nft_ct, nft_fib_ipv4 and nf_conntrack, " + Adopt}
	}
	return Check{"policies", OK, "network policies are enforced by nftables", ""}
}

func cgroups() Check {
	missing := node.MissingControllers()
	if len(missing) > 0 {
		return Check{"cgroups", Fail, "the kernel offers no control group controller " + strings.Join(missing, ", "), "mount the cgroup file systems with these controllers; in a container, run it privileged with its own cgroup namespace, " + Adopt}
	}
	if !node.CgroupV2() {
		return Check{"cgroups", Warn, "this host uses cgroup version 1, which Kubernetes is about to give up", "boot with systemd.unified_cgroup_hierarchy=1 when you can; until then it works"}
	}
	return Check{"cgroups", OK, "version 2", ""}
}

func bridge(c config.Config) Check {
	if err := node.TryBridge(); err != nil {
		return Check{"bridge", Fail, err.Error(), "load the kernel module bridge (modprobe bridge), or give this container CAP_NET_ADMIN, " + Adopt}
	}
	return Check{"bridge", OK, "devices can be made; the node's will be " + c.Bridge + " with " + c.NodeIP, ""}
}

func overlay(c config.Config) Check {
	dir := existing(c.Data)
	if err := node.TryOverlay(dir); err != nil {
		return Check{"overlayfs", Warn, err.Error() + "; images will be copied instead, which is slow and takes much more disk", "put the data folder on ext4 or xfs, and load the kernel module overlay"}
	}
	return Check{"overlayfs", OK, "works in " + dir, ""}
}

func oomScore() Check {
	if !node.HasCapability(unix.CAP_SYS_RESOURCE) {
		return Check{"capabilities", Warn, "CAP_SYS_RESOURCE is missing: pods cannot be protected from the out-of-memory killer", "harmless on a machine with enough memory; in a container, add the capability"}
	}
	return Check{"capabilities", OK, "CAP_SYS_RESOURCE", ""}
}

func swap() Check {
	content, _ := os.ReadFile("/proc/swaps")
	if strings.Count(string(content), "\n") > 1 {
		return Check{"swap", Warn, "swap is on; memory limits of pods are then less exact", "harmless for development; else: swapoff -a"}
	}
	return Check{"swap", OK, "off", ""}
}

// forwarding looks for a firewall that drops what is forwarded, as Docker sets it up: Services would then not be reachable
// from pods.
func forwarding() Check {
	if node.ForwardPolicyDrops() {
		return Check{"firewall", Warn, "a firewall on this host drops forwarded packets by default (Docker does that)", "if pods cannot reach Services: iptables -I FORWARD -s POD_CIDR -j ACCEPT; iptables -I FORWARD -d POD_CIDR -j ACCEPT"}
	}
	return Check{"firewall", OK, "forwarded packets are not dropped by default", ""}
}

func memoryAndDisk(c config.Config) Check {
	const wantMemory, wantDisk = 2 << 30, 4 << 30
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil && uint64(info.Totalram)*uint64(info.Unit) < wantMemory {
		return Check{"resources", Warn, "less than 2 GiB of memory", "the control plane alone takes about 0.8 GiB"}
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(existing(c.Data), &disk); err == nil && disk.Bavail*uint64(disk.Bsize) < wantDisk {
		return Check{"resources", Warn, "less than 4 GiB free below " + c.Data, "free some, or name another folder by \"data\""}
	}
	return Check{"resources", OK, "enough memory and disk", ""}
}

// existing is dir, or the closest folder above it that exists.
func existing(dir string) string {
	for dir != "/" {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// ports checks every port that the cluster listens on, and says who has it.
func ports(c config.Config) []Check {
	listeners, err := Listeners()
	if err != nil {
		return []Check{{"ports", Warn, err.Error(), "if a component does not start, look in its log"}}
	}
	var checks []Check
	for _, port := range c.Ports() {
		for _, listener := range listeners {
			if listener.Port == port.Number && listener.Covers(port.Address) {
				checks = append(checks, Check{"ports", Fail, port.Address + ":" + strconv.Itoa(port.Number) + " is in use by " + listener.Owner(), "end that program, or set \"" + port.Key + "\" to another port"})
				break
			}
		}
	}
	if checks == nil {
		checks = []Check{{"ports", OK, fmt.Sprintf("%d ports are free", len(c.Ports())), ""}}
	}
	return checks
}

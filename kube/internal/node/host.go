package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"towpath.dev/towpath/kube/internal/config"
)

// cgroupRoot is where the kernel's control groups are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// cgroupV2 reports whether the host uses the unified control group hierarchy.
func cgroupV2() bool {
	var stat unix.Statfs_t
	return unix.Statfs(cgroupRoot, &stat) == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC
}

// cgroupName is the control group below which this cluster's pods live. Two kubelets must not share one: each removes the
// groups of pods that it does not know.
func cgroupName(c config.Config) string { return "towpath-" + c.Bridge }

// controllers are the control group controllers that the kubelet insists on.
var controllers = []string{"cpu", "cpuset", "memory", "pids"}

// ensureCgroup makes the cluster's control group in every hierarchy.
func ensureCgroup(c config.Config) error {
	if cgroupV2() {
		enable := "+" + strings.Join(controllers, " +")
		if err := os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte(enable), 0o644); err != nil {
			return fmt.Errorf("giving the controllers %s to control groups: %w", strings.Join(controllers, ", "), err)
		}
		return makeFolder(filepath.Join(cgroupRoot, cgroupName(c)))
	}
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		group := filepath.Join(hierarchy, cgroupName(c))
		if err := makeFolder(group); err != nil {
			return err
		}
		// A new cpuset has no CPUs and no memory, and then accepts no process and no child.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			whole, err := os.ReadFile(filepath.Join(hierarchy, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("reading %s: %w", file, err)
			}
			if err := os.WriteFile(filepath.Join(group, file), whole, 0o644); err != nil {
				return fmt.Errorf("setting %s of %s: %w", file, group, err)
			}
		}
	}
	return nil
}

// cgroupHierarchies lists the mount points of the version 1 hierarchies.
func cgroupHierarchies() ([]string, error) { return cgroupMounts(unix.CGROUP_SUPER_MAGIC) }

// allHierarchies lists every hierarchy in which the cluster may have groups. A host of version 1 often has the version 2
// hierarchy mounted beside the others, and runc makes a group there too.
func allHierarchies() ([]string, error) {
	if cgroupV2() {
		return []string{cgroupRoot}, nil
	}
	return cgroupMounts(unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC)
}

// cgroupMounts lists the folders of cgroupRoot on which a file system of one of the given kinds is mounted.
func cgroupMounts(kinds ...int64) ([]string, error) {
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, fmt.Errorf("listing control groups: %w", err)
	}
	var hierarchies []string
	for _, entry := range entries {
		path := filepath.Join(cgroupRoot, entry.Name())
		var stat unix.Statfs_t
		if entry.IsDir() && unix.Statfs(path, &stat) == nil && slices.Contains(kinds, stat.Type) {
			hierarchies = append(hierarchies, path)
		}
	}
	return hierarchies, nil
}

func makeFolder(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	return nil
}

// removeCgroup removes the cluster's control groups, the innermost first. They must be empty of processes.
func removeCgroup(c config.Config) error {
	roots, err := allHierarchies()
	if err != nil {
		return err
	}
	var problems []error
	for _, root := range roots {
		problems = append(problems, removeGroupTree(filepath.Join(root, cgroupName(c))))
	}
	return errors.Join(problems...)
}

// removeGroupTree removes a control group with everything below it; its files cannot and need not be removed.
func removeGroupTree(group string) error {
	entries, err := os.ReadDir(group)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing control group %s: %w", group, err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeGroupTree(filepath.Join(group, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing control group %s: %w", group, err)
	}
	return nil
}

// ensureDevice makes the bridge device that carries the node's address. It has no ports: pods are connected point to point.
func ensureDevice(c config.Config) error {
	link, err := netlink.LinkByName(c.Bridge)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		attributes := netlink.NewLinkAttrs()
		attributes.Name = c.Bridge
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attributes}); err != nil {
			return fmt.Errorf("making the network device %s: %w", c.Bridge, err)
		}
		link, err = netlink.LinkByName(c.Bridge)
	}
	if err != nil {
		return fmt.Errorf("looking for the network device %s: %w", c.Bridge, err)
	}
	if link.Type() != "bridge" {
		return fmt.Errorf("network device %s exists and is a %s: name another one by \"bridge\" in the configuration", c.Bridge, link.Type())
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(c.NodeIP).To4(), Mask: net.CIDRMask(32, 32)}}
	if err := netlink.AddrReplace(link, address); err != nil {
		return fmt.Errorf("giving %s the address %s: %w", c.Bridge, c.NodeIP, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", c.Bridge, err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("letting the kernel forward packets between pods: %w", err)
	}
	return nil
}

func removeDevice(c config.Config) error {
	link, err := netlink.LinkByName(c.Bridge)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for the network device %s: %w", c.Bridge, err)
	}
	if err := netlink.LinkDel(link); err != nil {
		return fmt.Errorf("removing the network device %s: %w", c.Bridge, err)
	}
	return nil
}

// Every cluster has up to three nftables tables of its own: one for the node, below, one that kube-proxy keeps, and one for network
// policies while there are any.
func nodeTable(c config.Config) string  { return "towpath-" + c.Bridge }
func proxyTable(c config.Config) string { return "towpath-" + c.Bridge + "-services" }

// PolicyTable is the name of the nftables table, of family ip, that holds the rules of network policies.
func PolicyTable(c config.Config) string { return "towpath-" + c.Bridge + "-policies" }

// nodeRules give pods a way out under the host's address, and keep other machines away from the node's address: without the
// second, a neighbour on the same network could route packets for it to this host.
var nodeRules = template.Must(template.New("rules").Parse(`
add table ip {{.Table}}
delete table ip {{.Table}}
table ip {{.Table}} {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {{.Pods}} ip daddr != {{.Pods}} masquerade
	}
	chain input {
		type filter hook input priority filter; policy accept;
		ip daddr {{.Node}} ip saddr != {{.Pods}} fib saddr type != local drop
	}
}
`))

func ensureNodeRules(ctx context.Context, c config.Config) error {
	var rules bytes.Buffer
	if err := nodeRules.Execute(&rules, map[string]string{"Table": nodeTable(c), "Pods": c.PodCIDR, "Node": c.NodeIP}); err != nil {
		return fmt.Errorf("rendering the node's nftables rules: %w", err)
	}
	return nft(ctx, rules.String())
}

// removeTables removes the cluster's nftables tables. "add" before "delete" makes that succeed when there is none.
func removeTables(ctx context.Context, c config.Config) error {
	var script strings.Builder
	for _, table := range []string{"ip " + nodeTable(c), "ip " + PolicyTable(c), "ip " + proxyTable(c), "ip6 " + proxyTable(c)} {
		fmt.Fprintf(&script, "add table %s\ndelete table %s\n", table, table)
	}
	return nft(ctx, script.String())
}

func nft(ctx context.Context, script string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Env = []string{"PATH=" + systemPath}
	cmd.Stdin = strings.NewReader(script)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("changing nftables: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}

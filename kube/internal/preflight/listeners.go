package preflight

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Listener is a TCP socket that waits for connections on this host.
type Listener struct {
	// Address is the address it is bound to; the unspecified address means every one.
	Address netip.Addr
	Port    int
	// PID and Program tell whose it is; PID is 0 when that could not be found out.
	PID     int
	Program string

	inode string
}

// Covers reports whether the listener stands in the way of binding its port on address; empty means every address.
func (l Listener) Covers(address string) bool {
	wanted, err := netip.ParseAddr(address)
	return err != nil || wanted.IsUnspecified() || l.Address.IsUnspecified() || l.Address.Unmap() == wanted
}

// Owner names the program and its process.
func (l Listener) Owner() string {
	if l.PID == 0 {
		return "a process that could not be found out"
	}
	return fmt.Sprintf("%s (process %d)", l.Program, l.PID)
}

// Listeners lists the listening TCP sockets of this network namespace with their owners.
func Listeners() ([]Listener, error) {
	var all []Listener
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // no IPv6 on this host
		}
		if err != nil {
			return nil, fmt.Errorf("listing listening sockets: %w", err)
		}
		all = append(all, parseSockets(string(content))...)
	}
	owners := socketOwners()
	for i, listener := range all {
		if pid, found := owners[listener.inode]; found {
			all[i].PID = pid
			all[i].Program = programOf(pid)
		}
	}
	return all, nil
}

// parseSockets reads the listening sockets from the text of /proc/net/tcp or tcp6. Lines it cannot read are skipped.
func parseSockets(text string) []Listener {
	const listening = "0A"
	var found []Listener
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != listening {
			continue
		}
		addressHex, portHex, ok := strings.Cut(fields[1], ":")
		if !ok {
			continue
		}
		address, ok := parseAddress(addressHex)
		port, err := strconv.ParseUint(portHex, 16, 16)
		if !ok || err != nil {
			continue
		}
		found = append(found, Listener{Address: address, Port: int(port), inode: fields[9]})
	}
	return found
}

// parseAddress reads an address as the kernel prints it: 32-bit words in the byte order of the host, here little endian.
func parseAddress(text string) (netip.Addr, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return netip.Addr{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.LittleEndian.Uint32(raw[i:]))
	}
	return netip.AddrFromSlice(raw)
}

// socketOwners maps the inode of each open socket to the process that has it.
func socketOwners() map[string]int {
	owners := map[string]int{}
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, path := range descriptors {
		target, err := os.Readlink(path)
		if err != nil {
			continue // the process or the descriptor is gone
		}
		inode, isSocket := strings.CutPrefix(target, "socket:[")
		if pid, err := strconv.Atoi(strings.Split(path, "/")[2]); isSocket && err == nil {
			owners[strings.TrimSuffix(inode, "]")] = pid
		}
	}
	return owners
}

// programOf is the command of a process, its first two words.
func programOf(pid int) string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(content) == 0 {
		return "a program"
	}
	words := strings.Split(strings.TrimRight(string(content), "\x00"), "\x00")
	words[0] = filepath.Base(words[0])
	return strings.Join(words[:min(2, len(words))], " ")
}

package warden

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory asks the control group of a container what the kernel has killed in it. A container
// sees its own group where a host sees the root.
type memory struct {
	root  string
	kills int64 // that have been told of
}

func newMemory(root string) *memory {
	m := &memory{root: root}
	m.kills = m.count()
	return m
}

// starved reports whether the kernel has killed for want of memory since it was last asked, and
// how many bytes there are; 0 when it does not say.
func (m *memory) starved() (bool, int64) {
	n := m.count()
	more := n > m.kills
	m.kills = n
	if !more {
		return false, 0
	}
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		raw, err := os.ReadFile(filepath.Join(m.root, name))
		if err != nil {
			continue
		}
		if size, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil {
			return true, size
		}
	}
	return true, 0
}

// count is how many processes the kernel has killed; both versions of control groups say it in
// a line "oom_kill N".
func (m *memory) count() int64 {
	for _, name := range []string{"memory.events", "memory/memory.oom_control"} {
		raw, err := os.ReadFile(filepath.Join(m.root, name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			fields := strings.Fields(line)
			if len(fields) != 2 || fields[0] != "oom_kill" {
				continue
			}
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return n
			}
		}
	}
	return 0
}

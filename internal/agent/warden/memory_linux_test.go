package warden_test

import (
	"os"
	"path/filepath"
	"testing"

	"towpath.dev/towpath/internal/agent/warden"
)

func TestWhatTheKernelKilledIsCountedOnce(t *testing.T) {
	for name, c := range map[string]struct{ events, limit, size string }{
		"version 1": {"memory/memory.oom_control", "memory/memory.limit_in_bytes", "50331648\n"},
		"version 2": {"memory.events", "memory.max", "50331648\n"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			put := func(name, text string) {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			put(c.limit, c.size)
			put(c.events, "oom 3\noom_kill 1\n")
			m := warden.NewMemory(root)
			if is, _ := m.Starved(); is {
				t.Error("what was killed before counts")
			}
			put(c.events, "oom 4\noom_kill 2\noom_group_kill 0\n")
			if is, size := m.Starved(); !is || size != 48<<20 {
				t.Errorf("a kill: %v of %d bytes", is, size)
			}
			if is, _ := m.Starved(); is {
				t.Error("a kill counts twice")
			}
		})
	}
}

package node_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/node"
)

func TestMountsBelow(t *testing.T) {
	info := `22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:30 / /srv/cluster/kubelet/pods/a rw - tmpfs tmpfs rw
31 22 0:31 / /srv/cluster-two/kubelet rw - tmpfs tmpfs rw
32 30 0:32 / /srv/cluster/kubelet/pods/a/deep\040er rw - tmpfs tmpfs rw
`
	got := node.MountsBelow(info, "/srv/cluster")
	want := []string{"/srv/cluster/kubelet/pods/a", "/srv/cluster/kubelet/pods/a/deep er"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func layout(t *testing.T, c *config.Config) config.Layout {
	t.Helper()
	c.Data, c.LocalIP = filepath.Join(t.TempDir(), "data"), "127.41.0.1"
	l := c.Layout("/opt/towpath-kube")
	l.Run = t.TempDir()
	for _, dir := range l.Folders() {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestFilesAreWellFormedAndPrivate(t *testing.T) {
	c := config.Default()
	c.RegistryMirrors = []config.Mirror{{Host: "localhost:7080", URL: "http://127.0.0.1:7080", Authorization: `Basic "quoted"\`}}
	c.OIDC = &config.OIDC{Issuer: "https://towpath.local", Audience: "towpath-cluster"}
	l := layout(t, &c)
	for _, snapshotter := range []string{"overlayfs", "native"} {
		if err := node.WriteFiles(c, l, node.Host{Snapshotter: snapshotter, Platform: "linux/amd64", Resolver: "/etc/resolv.conf"}); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	err := filepath.WalkDir(l.Data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		seen++
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var value map[string]any
		switch filepath.Ext(path) {
		case ".json", ".conflist":
			err = json.Unmarshal(content, &value)
		case ".toml":
			err = toml.Unmarshal(content, &value)
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil || seen < 8 {
		t.Errorf("%d files, err %v", seen, err)
	}
	var hosts struct {
		Host map[string]struct{ Header map[string]string }
	}
	content, err := os.ReadFile(filepath.Join(l.RegistryHosts(), "localhost:7080", "hosts.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := toml.Unmarshal(content, &hosts); err != nil || hosts.Host["http://127.0.0.1:7080"].Header["Authorization"] != c.RegistryMirrors[0].Authorization {
		t.Errorf("err %v, mirror %+v", err, hosts)
	}
}

func TestEncryptionKeyIsKept(t *testing.T) {
	c := config.Default()
	l := layout(t, &c)
	var keys []string
	for range 2 {
		if err := node.WriteFiles(c, l, node.Host{}); err != nil {
			t.Fatal(err)
		}
		key, err := os.ReadFile(l.Key("secrets-encryption"))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(key))
	}
	if keys[0] != keys[1] || len(keys[0]) != 44 {
		t.Errorf("keys are %d and %d bytes and the same: %v", len(keys[0]), len(keys[1]), keys[0] == keys[1])
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	c := config.Default()
	c.Data = filepath.Join(t.TempDir(), "data")
	l := c.Layout("/opt/towpath-kube")
	held, err := node.Acquire(l, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.Acquire(l, ""); err == nil || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("error is %v, want one that names process %d", err, os.Getpid())
	}
	held.Close()
	again, err := node.Acquire(l, "")
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestForeignFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	c := config.Default()
	c.Data = dir
	file := filepath.Join(dir, "cluster.json")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Acquire(c.Layout("/x"), filepath.Join(dir, "other.json")); err == nil {
		t.Error("a folder with a foreign file was claimed")
	}
	held, err := node.Acquire(c.Layout("/x"), file)
	if err != nil {
		t.Fatalf("a folder that holds only the configuration was refused: %v", err)
	}
	held.Close()
}

package pool_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// contained lays out a job with volumes in its container and in a service of it.
func contained(machine bool, job, service plan.Container) ([]protocol.Container, string) {
	job.Image, service.Image = "tools:1", "db:1"
	list, _, refused := pool.Contain(pool.Settings{}, machine, &plan.Job{Container: &job, Services: []plan.Service{{Name: "db", Container: service}}}, nil, func(text string) string {
		return strings.ReplaceAll(text, "$(name)", "data")
	})
	return list, refused
}

func TestVolumesY071_Y183(t *testing.T) {
	list, refused := contained(false, plan.Container{Volumes: []string{"$(name):/data", "/scratch/", "cache.1:/var/cache:ro,z"}}, plan.Container{Volumes: []string{"data:/var/lib/db:rw", "/tmp/own"}})
	if refused != "" {
		t.Fatal(refused)
	}
	if diff := cmp.Diff([]protocol.Volume{{Name: "volume-1", Path: "/data"}, {Name: "volume-2", Path: "/scratch"}, {Name: "volume-3", Path: "/var/cache", ReadOnly: true}}, list[0].Volumes); diff != "" {
		t.Errorf("of the job (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]protocol.Volume{{Name: "volume-1", Path: "/var/lib/db"}, {Name: "volume-4", Path: "/tmp/own"}}, list[1].Volumes); diff != "" {
		t.Errorf("of the service (-want +got):\n%s", diff)
	}
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprintf("/v%d", i)
	}
	for _, c := range []struct {
		name, says string
		volumes    []string
	}{
		{"a folder of the host", "a pod has no folders of a host", []string{"/etc:/data"}},
		{"a folder beside", "a pod has no folders of a host", []string{"./src:/data"}},
		{"the folder above", "a pod has no folders of a host", []string{"..:/data"}},
		{"a home", "a pod has no folders of a host", []string{"~:/data"}},
		{"no absolute path", "no absolute path in the container", []string{"data:srv"}},
		{"a name alone", "no absolute path in the container", []string{"data"}},
		{"a way out", "no absolute path in the container", []string{"data:/a/../etc"}},
		{"the root", "cannot be at /", []string{"data:/"}},
		{"the workspace", "cannot be at /towpath/work", []string{"data:/towpath/work"}},
		{"the agent", "cannot be at /towpath", []string{"/towpath"}},
		{"the kernel", "cannot be at /proc/sys", []string{"/proc/sys"}},
		{"the names of hosts", "cannot be at /etc/hosts", []string{"data:/etc/hosts"}},
		{"devices", "cannot be at /dev", []string{"data:/dev"}},
		{"twice", "Two volumes of the container job are at /data", []string{"a:/data", "b:/data/"}},
		{"no name", "no name that a volume may have", []string{"-a:/data"}},
		{"an unknown option", `The option "nocopy"`, []string{"a:/data:nocopy"}},
		{"too many parts", "is not of the form SOURCE:PATH", []string{"a:/b:ro:x"}},
		{"too many", "more than 20 volumes", many},
	} {
		if _, refused := contained(false, plan.Container{Volumes: c.volumes}, plan.Container{}); !strings.Contains(refused, c.says) {
			t.Errorf("%s: %q does not say %q", c.name, refused, c.says)
		}
	}
}

// TestFoldersOfTheMachineY068_Y180 wants that they, and its Docker, are for local runs alone.
func TestFoldersOfTheMachineY068_Y180(t *testing.T) {
	c := plan.Container{Volumes: []string{"/srv/in:/in:ro"}, MapDockerSocket: true}
	list, refused := contained(true, c, plan.Container{})
	if refused != "" {
		t.Fatal(refused)
	}
	want := []protocol.Volume{{Source: "/var/run/docker.sock", Path: "/var/run/docker.sock"}, {Source: "/srv/in", Path: "/in", ReadOnly: true}}
	if diff := cmp.Diff(want, list[0].Volumes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, refused := contained(true, plan.Container{Volumes: []string{"./in:/in"}}, plan.Container{}); !strings.Contains(refused, "no absolute path of this machine") {
		t.Errorf("a path that is not absolute: %q", refused)
	}
	for _, c := range []plan.Container{{Volumes: c.Volumes}, {MapDockerSocket: true}} {
		if _, refused := contained(false, c, plan.Container{}); !strings.Contains(refused, "is not possible") {
			t.Errorf("on a server: %q", refused)
		}
	}
}

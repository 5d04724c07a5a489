package pod_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/pipeline/pod"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

var update = flag.Bool("update", false, "write the golden files anew")

func spec() pool.PodSpec {
	return pool.PodSpec{
		Name: "towpath-agent-01", Pool: "Build Pods", Token: "twk_secret", Run: 7, Job: "Build.Test",
		Settings: pool.Settings{CPU: "2", NodeSelector: map[string]string{"disk": "ssd"}},
		Containers: []protocol.Container{
			{Name: "job", Role: protocol.RoleJob, Image: "node:22", Env: map[string]string{"B": "$(A)", "A": "1"}},
			{Name: "host", Role: protocol.RoleHost, Alias: "host", Image: "tools:1", Volumes: []protocol.Volume{{Name: "volume-1", Path: "/data", ReadOnly: true}}},
			{Name: "service-db", Role: protocol.RoleService, Alias: "DB", Image: "postgres:17", Memory: "512Mi", Volumes: []protocol.Volume{{Name: "volume-1", Path: "/var/lib/db"}, {Source: "/etc", Path: "/etc"}}},
		},
	}
}

func TestPodOfAJob(t *testing.T) {
	root := spec()
	root.Settings.Root = true
	root.Containers = []protocol.Container{{Name: "job", Role: protocol.RoleJob, Image: "node:22", Root: true}}
	for name, s := range map[string]pool.PodSpec{"restricted": spec(), "root": root} {
		t.Run(name, func(t *testing.T) {
			got, err := yaml.Marshal(pod.Spec(s, "http://10.1.0.1:7080", "localhost:7080/towpath/agent@sha256:00"))
			if err != nil {
				t.Fatal(err)
			}
			path := "testdata/" + name + ".golden.yaml"
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// No container in which a step may run has the token, in its environment or its files, or
// sees the agent's processes.
func TestStepsCannotReadTheToken(t *testing.T) {
	p := pod.Spec(spec(), "http://10.1.0.1:7080", "agent")
	if share := p.Spec.ShareProcessNamespace; share != nil && *share || p.Spec.HostPID {
		t.Error("the containers see each other's processes")
	}
	raw, err := yaml.Marshal(p)
	if err != nil || strings.Contains(string(raw), "twk_secret") {
		t.Error("the token stands in the pod itself", err)
	}
	for _, c := range p.Spec.Containers {
		for _, m := range c.VolumeMounts {
			if m.Name == "token" && c.Name != "agent" {
				t.Errorf("container %s has the token", c.Name)
			}
		}
		if c.Name == "agent" {
			continue
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil {
				t.Errorf("container %s has %s from elsewhere", c.Name, e.Name)
			}
		}
		if len(c.EnvFrom) > 0 {
			t.Errorf("container %s has an environment from elsewhere", c.Name)
		}
	}
}

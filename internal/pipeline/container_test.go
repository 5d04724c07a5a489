package pipeline_test

import (
	"strings"
	"testing"
)

func TestContainersThatCannotBe(t *testing.T) {
	w, _ := podWorld(t)
	for _, c := range []struct{ id, yaml, want string }{
		{"Y016 no image", "pool: Kubernetes\nsteps: [{bash: 'true'}]\n", "The pool has no image for jobs without a container; name a container in the job, or set one: towpath pool edit POOL --image IMAGE"},
		{"Y180 mapDockerSocket", "container: {image: a:1, mapDockerSocket: true}\nsteps: [{bash: 'true'}]\n", "mapDockerSocket of the container job is not possible: there is no Docker on the nodes; build images with Docker@2"},
		{"Y068 mapDockerSocket of a resource", "resources: {containers: [{container: c, image: a:1, mapDockerSocket: true}]}\ncontainer: c\nsteps: [{bash: 'true'}]\n", "mapDockerSocket of the container c is not possible: there is no Docker on the nodes; build images with Docker@2"},
		{"Y181 options", "container: {image: a:1, options: --privileged}\nsteps: [{bash: 'true'}]\n", "The option --privileged of the container job is not possible in a pod"},
		{"Y069 options of a resource", "resources: {containers: [{container: c, image: a:1, options: --privileged}]}\ncontainer: c\nsteps: [{bash: 'true'}]\n", "The option --privileged of the container c is not possible in a pod"},
		{"Y181 root", "container: {image: a:1, options: --user 0}\nsteps: [{bash: 'true'}]\n", "The container job is to run as root, which the pool does not allow: towpath pool edit POOL --root"},
		{"Y183 volumes", "container: {image: a:1, volumes: ['/a:/b']}\nsteps: [{bash: 'true'}]\n", `The volume "/a:/b" of the container job is not possible: a pod has no folders of a host; use the workspace, or a volume with a name`},
		{"Y071 volumes of a resource", "resources: {containers: [{container: c, image: a:1, volumes: ['/a:/b']}]}\ncontainer: c\nsteps: [{bash: 'true'}]\n", `The volume "/a:/b" of the container c is not possible: a pod has no folders of a host; use the workspace, or a volume with a name`},
		{"Y179 image", "container: {image: '-a b'}\nsteps: [{bash: 'true'}]\n", `"-a b" is no name of an image`},
		{"Y280 target host", "container: a:1\nsteps: [{bash: 'true', target: host}]\n", "A step has the target host, and the pool has no image for it: towpath pool edit POOL --image IMAGE"},
		{"Y280 an unknown target", "container: a:1\nsteps: [{bash: 'true', target: {container: nowhere}}]\n", "The target nowhere is no container of resources.containers"},
		{"Y182 no port", "container: a:1\nservices: {web: {image: b:1, ports: ['x:80']}}\nsteps: [{bash: 'true'}]\n", `"x:80" in the ports of the container web is none that can be; write HOST:CONTAINER, or CONTAINER`},
		{"Y182 another protocol", "container: a:1\nservices: {web: {image: b:1, ports: ['81:80/udp']}}\nsteps: [{bash: 'true'}]\n", "81:80/udp of the container web cannot be mapped: only ports of TCP can; use 80, which is the same in the whole pod"},
		{"Y182 one port twice", "container: a:1\nservices: {web: {image: b:1, ports: [80]}, other: {image: b:1, ports: ['81:80']}}\nsteps: [{bash: 'true'}]\n", "The containers web and other both want port 80, and the containers of a job share one network; have one of them listen at another"},
		{"Y070 a port of a resource twice", "resources: {containers: [{container: c, image: a:1, ports: ['90:80']}]}\ncontainer: a:1\nservices: {web: c, other: {image: b:1, ports: [90]}}\nsteps: [{bash: 'true'}]\n", "The containers web and other both want port 90, and the containers of a job share one network; have one of them listen at another"},
	} {
		t.Run(c.id, func(t *testing.T) {
			d := w.finish(c.yaml)
			if got := find(d, "__default.Job"); got.Why != c.want {
				t.Errorf("%s\ngot  %s\nwant %s", strings.TrimSpace(c.yaml), got.Why, c.want)
			}
		})
	}
}

package pool

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/protocol"
)

// maxVolumes bounds the volumes of a container.
const maxVolumes = 20

// dockerSocket is where the Docker of a machine listens.
const dockerSocket = "/var/run/docker.sock"

// volumeName is what a volume may be called (docs.docker.com, docker volume create).
var volumeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// taken are the places of a container where the platform, the node or the kernel has something.
var taken = []string{"/towpath", "/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}

// mounts reads the volumes of a container as Docker writes them, "[SOURCE:]PATH[:OPTIONS]". One
// with a name is the same folder in all containers of the job, one without is the container's
// own; both are empty at the beginning and go with the job. A folder of the machine is there in
// local runs alone.
func (l *layout) mounts(c *protocol.Container, what string, volumes []string) {
	if len(volumes) > maxVolumes {
		l.refuse("The container %s has more than %d volumes", what, maxVolumes)
		return
	}
	for _, text := range volumes {
		text = strings.TrimSpace(l.expand(text))
		parts := strings.Split(text, ":")
		v := protocol.Volume{}
		source := ""
		switch {
		case len(parts) == 1:
			v.Path = parts[0]
		case len(parts) == 2 || len(parts) == 3:
			source, v.Path = parts[0], parts[1]
		default:
			l.refuse("The volume %.100q of the container %s is not of the form SOURCE:PATH or SOURCE:PATH:ro", text, what)
			return
		}
		if len(parts) == 3 {
			for word := range strings.SplitSeq(parts[2], ",") {
				switch word {
				case "ro":
					v.ReadOnly = true
				case "rw", "z", "Z", "cached", "delegated", "consistent": // They say nothing about what is there.
				default:
					l.refuse("The option %.40q of the volume %.100q of the container %s is not possible; ro and rw are", word, text, what)
				}
			}
		}
		l.mount(c, what, text, source, v)
	}
}

func (l *layout) mount(c *protocol.Container, what, text, source string, v protocol.Volume) {
	clean := path.Clean(v.Path)
	reserved := slices.ContainsFunc(taken, func(dir string) bool { return clean == dir || strings.HasPrefix(clean, dir+"/") })
	switch {
	case !path.IsAbs(v.Path) || slices.Contains(strings.Split(v.Path, "/"), ".."):
		l.refuse("The volume %.100q of the container %s has no absolute path in the container", text, what)
	case clean == "/" || reserved:
		l.refuse("The volume %.100q of the container %s cannot be at %s, where the platform has its own", text, what, clean)
	case slices.ContainsFunc(c.Volumes, func(o protocol.Volume) bool { return o.Path == clean }):
		l.refuse("Two volumes of the container %s are at %s", what, clean)
	case strings.ContainsAny(source, "/~") || source == "." || source == "..":
		switch {
		case !l.machine:
			l.refuse("The volume %.100q of the container %s is not possible: a pod has no folders of a host; use the workspace, or a volume with a name", text, what)
		case !path.IsAbs(source):
			l.refuse("The volume %.100q of the container %s has no absolute path of this machine", text, what)
		}
		v.Source = path.Clean(source)
	case source != "" && !volumeName.MatchString(source):
		l.refuse("The volume %.100q of the container %s has no name that a volume may have", text, what)
	case source != "":
		if l.named[source] == "" {
			l.volumes++
			l.named[source] = "volume-" + strconv.Itoa(l.volumes)
		}
		v.Name = l.named[source]
	default:
		l.volumes++
		v.Name = "volume-" + strconv.Itoa(l.volumes)
	}
	v.Path = clean
	c.Volumes = append(c.Volumes, v)
}

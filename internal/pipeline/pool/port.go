package pool

import (
	"regexp"
	"strconv"

	"towpath.dev/towpath/internal/pipeline/protocol"
)

// portForm is how a container engine writes a port that is published: the address of a host
// means nothing in a pod.
var portForm = regexp.MustCompile(`^(?:(?:[0-9.]+:|\[[0-9a-fA-F:]+\]:)?([0-9]{1,5}):)?([0-9]{1,5})(?:/(tcp|udp))?$`)

// ports reads those of a service. All containers of a pod share one network, so that no two
// can have a port each, and one that is not mapped is where the service listens.
func (l *layout) ports(what string, list []string) []protocol.Port {
	var out []protocol.Port
	for _, text := range list {
		text = l.expand(text)
		m := portForm.FindStringSubmatch(text)
		if m == nil || !portNumber(m[2]) || m[1] != "" && !portNumber(m[1]) {
			l.refuse("%.60q in the ports of the container %s is none that can be; write HOST:CONTAINER, or CONTAINER", text, what)
			continue
		}
		inside, _ := strconv.Atoi(m[2]) // portNumber has read them.
		outside := inside
		if m[1] != "" {
			outside, _ = strconv.Atoi(m[1])
		}
		if m[3] == "udp" && outside != inside {
			l.refuse("%s of the container %s cannot be mapped: only ports of TCP can; use %d, which is the same in the whole pod", text, what, inside)
			continue
		}
		l.take(inside, what)
		if outside != inside {
			l.take(outside, what)
		}
		out = append(out, protocol.Port{Host: outside, Container: inside})
	}
	return out
}

// take notes who wants a port. A service may name one twice, to map it to two others.
func (l *layout) take(port int, what string) {
	if l.taken == nil {
		l.taken = map[int]string{}
	}
	if by := l.taken[port]; by != "" && by != what {
		l.refuse("The containers %s and %s both want port %d, and the containers of a job share one network; have one of them listen at another", by, what, port)
	}
	l.taken[port] = what
}

func portNumber(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n > 0 && n < 1<<16
}

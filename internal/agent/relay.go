package agent

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// publish lets steps find the services of their job where the pipeline maps their ports to, on
// localhost of the pod, and sets the variables agent.services.NAME.ports.PORT. Nobody outside
// of the pod comes to them. It returns what ends that.
func (r *jobRun) publish() (func(), error) {
	var open []net.Listener
	end := func() {
		for _, l := range open {
			_ = l.Close() // Its connections end with the job.
		}
	}
	for _, c := range r.job.Containers {
		if c.Role != protocol.RoleService {
			continue
		}
		for _, p := range c.Ports {
			r.vars.Set(plan.Value{Name: fmt.Sprintf("agent.services.%s.ports.%d", c.Alias, p.Container), Text: strconv.Itoa(p.Host), ReadOnly: true})
			if p.Host == p.Container || r.agent.cfg.Published {
				continue
			}
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Host)))
			if err != nil {
				end()
				return nil, fmt.Errorf("mapping port %d of the service %s: %w", p.Container, c.Alias, err)
			}
			open = append(open, l)
			go forward(l, net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Container)))
		}
	}
	return end, nil
}

// forward brings what connects to l to an address, until l is closed.
func forward(l net.Listener, to string) {
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		go join(c, to)
	}
}

// join brings both ends together. A service that does not listen yet is a connection that ends
// at once, as it is with a container engine's own proxy.
func join(c net.Conn, to string) {
	defer c.Close()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	pour := func(into, from net.Conn) {
		// What ends one direction ends it at the other end as well; the other goes on.
		_, _ = io.Copy(into, from)
		if half, ok := into.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}
	both.Go(func() { pour(far, c) })
	both.Go(func() { pour(c, far) })
	both.Wait()
}

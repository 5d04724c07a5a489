package agent_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// A service is found where its port is mapped to, and under the variable that names it.
func TestPortsOfServicesY070Y182(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			asked, _ := bufio.NewReader(c).ReadString('\n')
			fmt.Fprintf(c, "you said %s", asked)
			_ = c.Close()
		}
	}()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inside, outside := l.Addr().(*net.TCPAddr).Port, free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	s := &server{}
	script := fmt.Sprintf(`exec 3<>/dev/tcp/127.0.0.1/$(agent.services.web.ports.%d) && echo hello >&3 && read -r answer <&3 && echo "$answer at $AGENT_SERVICES_WEB_PORTS_%d"`, inside, inside)
	got := run(t, s, func(j *protocol.Job) {
		j.Containers = []protocol.Container{{Name: "service-web", Role: protocol.RoleService, Alias: "web", Ports: []protocol.Port{{Host: outside, Container: inside}}}}
	}, script)
	if got.Result != plan.Succeeded || !strings.Contains(s.log["1"], fmt.Sprintf("you said hello at %d", outside)) {
		t.Errorf("%s\n%s", got.Result, s.log["1"])
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", outside)); err == nil {
		_ = c.Close()
		t.Error("the port is still open after the job")
	}
}

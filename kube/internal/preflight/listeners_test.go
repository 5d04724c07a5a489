package preflight_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/preflight"
)

func TestListenersNameTheirProcess(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		port := listener.Addr().(*net.TCPAddr).Port
		found, err := preflight.Listeners()
		if err != nil {
			t.Fatal(err)
		}
		known := false
		for _, l := range found {
			if l.Port == port {
				known = true
				if l.PID != os.Getpid() || !l.Covers("127.0.0.1") || !strings.Contains(l.Owner(), "preflight") {
					t.Errorf("%s: %+v, owner %s", address, l, l.Owner())
				}
				if loopback := address == "127.0.0.1:0"; l.Covers("10.1.2.3") == loopback {
					t.Errorf("%s: covers another address: %v", address, !loopback)
				}
			}
		}
		if !known {
			t.Errorf("the listener on %s was not found", listener.Addr())
		}
	}
}

func TestChecksThatDoNotPassNameARemedy(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := config.Default()
	c.Data, c.LocalIP, c.FrontDoorAddr = t.TempDir(), "127.41.0.1", listener.Addr().String()
	checks := preflight.Run(c, c.Layout("/nowhere/towpath-kube"))
	if !preflight.Failed(checks) {
		t.Fatal("a host without the programs, with a port in use, passes")
	}
	for _, check := range checks {
		if (check.Status == preflight.OK) != (check.Fix == "") || check.Detail == "" {
			t.Errorf("%+v", check)
		}
	}
	var text strings.Builder
	preflight.Print(&text, checks)
	if os.Geteuid() == 0 && (!strings.Contains(text.String(), "containerd") || !strings.Contains(text.String(), listener.Addr().String()+" is in use by")) {
		t.Errorf("the missing programs and the owner of the port are not named:\n%s", text.String())
	}
	if lines := strings.Count(text.String(), "\n"); lines > 40 {
		t.Errorf("%d lines are more than a screen", lines)
	}
}

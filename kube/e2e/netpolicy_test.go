package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/supervise"
)

// neighbourhood is web with two pods that ask it: a friend and a stranger. The front door leads to the two.
func neighbourhood() string {
	var text strings.Builder
	for _, name := range []string{"web", "friend", "stranger"} {
		fmt.Fprintf(&text, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: probe
        image: %[2]s
        env: [{name: VERSION, value: %[1]s}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {selector: {app: %[1]s}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %[1]s}
spec: {rules: [{host: %[1]s.localhost, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {name: http}}}}]}}]}
---
`, name, probeImage)
	}
	return text.String()
}

const denyPolicy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
`

// allowPolicies let the friend ask cluster DNS and web; web lets in whom the first says, by its port's name.
const allowPolicies = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friend}
spec:
  podSelector: {matchLabels: {app: friend}}
  policyTypes: [Egress]
  egress:
  - {to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}
  - {to: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: http}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}], ports: [{port: http}]}]
`

// asks has a pod of a Deployment ask a URL, and returns what stands in the way, if anything.
func (c *cluster) asks(who, address string) error {
	status, body, err := c.get(who+".localhost", "/fetch?url="+address)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s asked %s: status %d, %s", who, address, status, body)
	}
	return err
}

// stopped wants that a packet gets no answer, which is not the same as an error: the policy has to be the reason.
func (c *cluster) stopped(who, address string) {
	c.t.Helper()
	c.eventually(who+" does not reach "+address, func() error {
		err := c.asks(who, address)
		if err == nil {
			return errors.New("it does")
		}
		if !strings.Contains(err.Error(), "status 502") || !strings.Contains(err.Error(), "deadline exceeded") {
			return fmt.Errorf("got %w, want no answer in time", err)
		}
		return nil
	})
}

func (c *cluster) reaches(who, address string) {
	c.t.Helper()
	c.eventually(who+" reaches "+address, func() error { return c.asks(who, address) })
}

// policed wants of the neighbourhood what both policies say.
func (c *cluster) policed(web string) {
	c.t.Helper()
	c.reaches("friend", "http://web/")
	c.reaches("friend", web)
	c.stopped("stranger", web)
	c.stopped("friend", "http://"+c.config.NodeIP+":10256/healthz")
	c.kubectl("", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
}

// TestNetworkPolicies has policies that close a namespace and open one way through it, also after the part that enforces them, and
// then the whole cluster, was started again.
func TestNetworkPolicies(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real cluster")
	}
	c := newCluster(t, 3, func(*config.Config) {})
	c.up()
	c.importProbe()
	c.kubectl(neighbourhood(), "apply", "-f", "-")
	c.kubectl("", "wait", "--for=condition=Available", "deployment", "--all", "--timeout=120s")
	web := func() string {
		var ip string
		c.eventually("there is one pod of web, the last one is gone", func() error {
			if ip = c.kubectl("", "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].status.podIP}"); ip == "" || strings.Contains(ip, " ") {
				return fmt.Errorf("the addresses are %q", ip)
			}
			return nil
		})
		return "http://" + ip + ":8080/"
	}
	c.reaches("stranger", "http://web/")
	c.reaches("stranger", web())
	if table := c.policyTable(); table != "" {
		t.Errorf("there is no policy, and a table:\n%s", table)
	}

	c.kubectl(denyPolicy, "apply", "-f", "-")
	c.stopped("stranger", web())
	c.stopped("friend", web())
	if _, err := c.try("", "exec", "deployment/friend", "--", "/probe", "lookup", "web"); err == nil {
		t.Error("a pod without egress can ask cluster DNS")
	}
	c.kubectl(allowPolicies, "apply", "-f", "-")
	c.policed(web())
	c.reaches("web", web()) // itself, by its address

	pid, err := c.child("network-policy")
	if err != nil {
		t.Fatal(err)
	}
	from := c.position()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.stopped("stranger", web()) // the rules outlive who wrote them
	c.eventually("network-policy is restarted", func() error { return c.has(supervise.Restarted, "network-policy", from) })
	c.kubectl("", "rollout", "restart", "deployment")
	for _, name := range []string{"web", "friend", "stranger"} {
		c.kubectl("", "rollout", "status", "deployment/"+name, "--timeout=120s")
	}
	c.policed(web())

	if err := c.stop(syscall.SIGTERM); err != nil {
		t.Fatalf("the supervisor ended with %v", err)
	}
	c.leavesNothing(t)
	c.up()
	c.kubectl("", "wait", "--for=condition=Available", "deployment", "--all", "--timeout=120s")
	c.policed(web())

	c.kubectl("", "delete", "networkpolicy", "--all")
	c.reaches("stranger", "http://web/")
	c.eventually("the table goes with the last policy", func() error {
		if table := c.policyTable(); table != "" {
			return fmt.Errorf("there still is\n%s", table)
		}
		return nil
	})
}

// policyTable is the table of network policies, or empty when there is none.
func (c *cluster) policyTable() string {
	output, err := exec.Command("nft", "list", "table", "ip", "towpath-"+c.config.Bridge+"-policies").Output()
	if err != nil {
		return ""
	}
	return string(output)
}

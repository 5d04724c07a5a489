package e2e_test

import (
	"syscall"
	"testing"

	"towpath.dev/towpath/kube/internal/config"
)

// TestNeighbours runs two clusters on one host: each routes its own Services, and one that goes away takes nothing of the other.
func TestNeighbours(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real clusters")
	}
	var clusters []*cluster
	for index := range 2 {
		c := newCluster(t, 1+index, func(*config.Config) {})
		c.up()
		c.importProbe()
		c.kubectl(application, "apply", "-f", "-")
		clusters = append(clusters, c)
	}
	for _, c := range clusters {
		c.kubectl("", "rollout", "status", "deployment/probe", "--timeout=120s")
		c.serves("/fetch?url=http://probe/", "version=one")
	}
	if err := clusters[0].stop(syscall.SIGTERM); err != nil {
		t.Errorf("the first cluster ended with %v", err)
	}
	clusters[0].leavesNothing(t)
	clusters[1].kubectl("", "rollout", "restart", "deployment/probe")
	clusters[1].kubectl("", "rollout", "status", "deployment/probe", "--timeout=120s")
	clusters[1].serves("/fetch?url=http://probe/", "version=one")
}

//go:build prove

package e2e_test

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

// deploys is how often TestCleanDeploys deploys.
var deploys = flag.Int("deploys", 3, "how often TestCleanDeploys deploys")

// TestCleanDeploys deploys again and again under traffic with nothing wrong: every release
// serves, and no signal opens an item.
func TestCleanDeploys(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "calm")
	p.routable()
	first := p.deployed("First", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(first.Commit)
	over := p.traffic()
	begin := time.Now()
	for i := range *deploys {
		run := p.deployed(fmt.Sprintf("Clean %d", i+1), p.imageStage(), p.helmStage(p.byDigest()))
		p.serves(run.Commit)
	}
	took := time.Since(begin)
	answered, failed := over()
	if failed != 0 || answered == 0 {
		t.Errorf("%d requests failed, %d were answered", failed, answered)
	}
	if all := p.items(); len(all) != 0 {
		t.Errorf("clean deployments opened %d items: %s", len(all), titles(all))
	}
	t.Logf("%d deployments in %s, %.1f s each, %d requests", *deploys, took.Round(time.Second), took.Seconds()/float64(*deploys), answered)
}

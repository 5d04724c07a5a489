package deploy

import (
	"context"

	"towpath.dev/towpath/internal/identity"
)

// Gate judges what a release is about to apply.
type Gate interface {
	// Admit returns nil when the objects may be applied, fault.Denied with the reasons
	// when a rule refuses them, and another fault when they could not be judged. The lines
	// given to say tell what was decided. It is asked once a release, before anything of it
	// reaches the cluster.
	Admit(ctx context.Context, a Admission, say Say) error
}

// Admission is what a Gate judges: the objects of one release as they will be applied,
// images by digest. They must not be changed.
type Admission struct {
	Actor       identity.Actor // the job
	Project     string
	Environment string
	Cluster     string // name of the service connection; "" is the platform's cluster
	Namespace   string
	Release     string           // "shop/production/48"
	Objects     []map[string]any // in the order of the chart
}

package engine

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/policy/rule"
)

// exemptionOf returns the name of an exemption that covers the violations of a rule by an
// object, "" when none does. Each is asked by itself: two that cover half each cover
// nothing.
func (s *Set) exemptionOf(r rule.Rule, q *request, found []rule.Violation, at time.Time) string {
	for _, e := range s.exemptions {
		if e.Assignment != r.Assignment || len(e.References) > 0 && !slices.Contains(e.References, r.Reference) {
			continue
		}
		if !e.Expires.IsZero() && !at.Before(e.Expires) || !Holds(e.Scope, q.place, q.clusterWide) {
			continue
		}
		if len(e.Objects) == 0 || slices.ContainsFunc(e.Objects, func(o rule.ObjectRef) bool { return covers(o, q, found) }) {
			return e.Name
		}
	}
	return ""
}

// covers reports whether a reference stands for the object of a request: by name, or as
// the workload that made it. A workload stands for what its template makes; ephemeral
// containers are in no template, so that it does not stand for them.
func covers(o rule.ObjectRef, q *request, found []rule.Violation) bool {
	if o.Namespace != q.namespace {
		return false
	}
	if o.Group == q.kind.Group && o.Kind == q.kind.Kind {
		return o.Name == "" || o.Name == q.name
	}
	if !madeBy(o, q) {
		return false
	}
	return !slices.ContainsFunc(found, func(v rule.Violation) bool {
		return strings.HasPrefix(v.Path, "spec.ephemeralContainers") || v.Path == "" && q.sub == "ephemeralcontainers"
	})
}

// madeBy reports whether the object says that a workload made it, and whether that can be
// believed: at its creation only from the controller that makes such objects, later only
// when the object said so before as well.
func madeBy(o rule.ObjectRef, q *request) bool {
	switch q.operation {
	case "CREATE":
		owner := metav1.GetControllerOf(q.object)
		return owner != nil && isController(q.user, owner.Kind) && owns(o, q.object)
	case "UPDATE":
		return q.old != nil && owns(o, q.old) && owns(o, q.object)
	case "DELETE":
		return q.old != nil && owns(o, q.old)
	}
	return owns(o, q.object)
}

// owns reports whether the workload is the object's controller, or the controller of its
// controller as the names tell: a ReplicaSet is named after its Deployment and its pods'
// template hash, a Job after its CronJob and a minute. Names are all that a pod tells: who
// may make replica sets in the namespace may make one that is named like the workload's,
// as he may change the workload.
func owns(o rule.ObjectRef, u *unstructured.Unstructured) bool {
	owner := metav1.GetControllerOf(u)
	if owner == nil {
		return false
	}
	group := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).Group
	if group == o.Group && owner.Kind == o.Kind {
		return o.Name == "" || o.Name == owner.Name
	}
	var suffix string
	switch {
	case group == "apps" && owner.Kind == "ReplicaSet" && o.Group == "apps" && o.Kind == "Deployment":
		suffix = u.GetLabels()["pod-template-hash"]
		if strings.Contains(suffix, "-") {
			return false
		}
	case group == "batch" && owner.Kind == "Job" && o.Group == "batch" && o.Kind == "CronJob":
		suffix = owner.Name[strings.LastIndexByte(owner.Name, '-')+1:]
		if strings.Trim(suffix, "0123456789") != "" {
			return false
		}
	}
	if suffix == "" || !strings.HasSuffix(owner.Name, "-"+suffix) {
		return false
	}
	return o.Name == "" || owner.Name == o.Name+"-"+suffix
}

// isController reports whether a user is the controller that makes objects for owners of
// a kind.
func isController(user, owner string) bool {
	if user == "system:kube-controller-manager" {
		return true
	}
	name := map[string]string{
		"Deployment": "deployment", "ReplicaSet": "replicaset", "StatefulSet": "statefulset", "DaemonSet": "daemon-set",
		"Job": "job", "CronJob": "cronjob", "ReplicationController": "replication",
	}[owner]
	return name != "" && user == "system:serviceaccount:kube-system:"+name+"-controller"
}

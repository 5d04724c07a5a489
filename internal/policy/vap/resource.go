package vap

import "k8s.io/apimachinery/pkg/runtime/schema"

// Builtin finds the resources of the kinds that every cluster of this age serves.
func Builtin(gk schema.GroupKind) (Resource, bool) {
	for _, k := range builtin {
		if k.kind == gk.Kind && k.resource.Group == gk.Group {
			return k.resource, true
		}
	}
	return Resource{}, false
}

type known struct {
	kind     string
	resource Resource
}

var builtin = []known{
	{"Pod", Resource{"", []string{"v1"}, "pods", []string{"ephemeralcontainers", "resize"}, true}},
	{"ReplicationController", Resource{"", []string{"v1"}, "replicationcontrollers", nil, true}},
	{"Service", Resource{"", []string{"v1"}, "services", nil, true}},
	{"ConfigMap", Resource{"", []string{"v1"}, "configmaps", nil, true}},
	{"Secret", Resource{"", []string{"v1"}, "secrets", nil, true}},
	{"ServiceAccount", Resource{"", []string{"v1"}, "serviceaccounts", nil, true}},
	{"PersistentVolumeClaim", Resource{"", []string{"v1"}, "persistentvolumeclaims", nil, true}},
	{"Namespace", Resource{"", []string{"v1"}, "namespaces", nil, false}},
	{"Deployment", Resource{"apps", []string{"v1"}, "deployments", nil, true}},
	{"ReplicaSet", Resource{"apps", []string{"v1"}, "replicasets", nil, true}},
	{"StatefulSet", Resource{"apps", []string{"v1"}, "statefulsets", nil, true}},
	{"DaemonSet", Resource{"apps", []string{"v1"}, "daemonsets", nil, true}},
	{"Job", Resource{"batch", []string{"v1"}, "jobs", nil, true}},
	{"CronJob", Resource{"batch", []string{"v1"}, "cronjobs", nil, true}},
	{"Ingress", Resource{"networking.k8s.io", []string{"v1"}, "ingresses", nil, true}},
	{"NetworkPolicy", Resource{"networking.k8s.io", []string{"v1"}, "networkpolicies", nil, true}},
	{"Role", Resource{"rbac.authorization.k8s.io", []string{"v1"}, "roles", nil, true}},
	{"RoleBinding", Resource{"rbac.authorization.k8s.io", []string{"v1"}, "rolebindings", nil, true}},
	{"ClusterRole", Resource{"rbac.authorization.k8s.io", []string{"v1"}, "clusterroles", nil, false}},
	{"ClusterRoleBinding", Resource{"rbac.authorization.k8s.io", []string{"v1"}, "clusterrolebindings", nil, false}},
	{"HorizontalPodAutoscaler", Resource{"autoscaling", []string{"v2"}, "horizontalpodautoscalers", nil, true}},
	{"PodDisruptionBudget", Resource{"policy", []string{"v1"}, "poddisruptionbudgets", nil, true}},
}

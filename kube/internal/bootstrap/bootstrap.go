package bootstrap

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/kube/internal/config"
)

const (
	// FieldManager owns the fields that this package sets.
	FieldManager = "towpath-kube"
	// Provisioner is the name of the storage provisioner in the default storage class.
	Provisioner = "towpath.dev/local"
	// StorageClass is the name of the default storage class.
	StorageClass = "local"
	// IngressClass is the name of the default ingress class, and IngressController that of its controller.
	IngressClass      = "towpath"
	IngressController = "towpath.dev/front-door"
)

// Users are the names of the product's own components towards the API server.
type Users struct {
	DNS, FrontDoor, Storage, NetworkPolicy, KubeletClient string
}

type object = map[string]any

// Apply writes the objects; the API server must be ready.
func Apply(ctx context.Context, client *rest.Config, c config.Config, users Users) error {
	api, err := dynamic.NewForConfig(client)
	if err != nil {
		return fmt.Errorf("making a client for the first objects: %w", err)
	}
	for _, item := range objects(c, users) {
		data, err := json.Marshal(item.content)
		if err != nil {
			return fmt.Errorf("encoding %s %s: %w", item.resource.Resource, item.name, err)
		}
		force := true
		_, err = api.Resource(item.resource).Namespace(item.namespace).Patch(ctx, item.name, types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: FieldManager, Force: &force})
		if err != nil {
			return fmt.Errorf("applying %s %s: %w", item.resource.Resource, item.name, err)
		}
	}
	return nil
}

type item struct {
	resource        schema.GroupVersionResource
	namespace, name string
	content         object
}

// newItem completes an object by its type and name.
func newItem(group, version, kind, resource, namespace, name string, content object) item {
	apiVersion := version
	if group != "" {
		apiVersion = group + "/" + version
	}
	content["apiVersion"], content["kind"] = apiVersion, kind
	metadata, _ := content["metadata"].(object)
	if metadata == nil {
		metadata = object{}
		content["metadata"] = metadata
	}
	metadata["name"] = name
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	return item{schema.GroupVersionResource{Group: group, Version: version, Resource: resource}, namespace, name, content}
}

func objects(c config.Config, users Users) []item {
	items := []item{
		// The API server's Service must have its namespace; the API server makes it too, but perhaps later than this runs.
		newItem("", "v1", "Namespace", "namespaces", "", "kube-system", object{}),
		newItem("storage.k8s.io", "v1", "StorageClass", "storageclasses", "", StorageClass, object{
			"metadata":    object{"annotations": object{"storageclass.kubernetes.io/is-default-class": "true"}},
			"provisioner": Provisioner, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
		}),
		newItem("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "", IngressClass, object{
			"metadata": object{"annotations": object{"ingressclass.kubernetes.io/is-default-class": "true"}},
			"spec":     object{"controller": IngressController},
		}),
	}
	items = append(items, dnsObjects(c)...)
	return append(items, rights(users)...)
}

// dnsObjects make cluster DNS reachable under its cluster address: a Service without a selector and an EndpointSlice that
// points at the DNS server, which runs beside the cluster and not in it.
func dnsObjects(c config.Config) []item {
	labels := object{"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}
	return []item{
		newItem("", "v1", "Service", "services", "kube-system", "kube-dns", object{
			"metadata": object{"labels": labels},
			"spec": object{"clusterIP": c.DNSServiceIP(), "ports": []object{
				{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
			}},
		}),
		newItem("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "kube-system", "kube-dns-node", object{
			"metadata":    object{"labels": object{"kubernetes.io/service-name": "kube-dns", "endpointslice.kubernetes.io/managed-by": "towpath.dev"}},
			"addressType": "IPv4",
			"endpoints":   []object{{"addresses": []string{c.NodeIP}, "conditions": object{"ready": true}}},
			"ports":       []object{{"name": "dns", "port": c.DNSPort, "protocol": "UDP"}, {"name": "dns-tcp", "port": c.DNSPort, "protocol": "TCP"}},
		}),
	}
}

// rights lets each of the product's components do what it needs and nothing else.
func rights(users Users) []item {
	read := []string{"get", "list", "watch"}
	items := []item{binding("towpath-kubelet-client", "system:kubelet-api-admin", users.KubeletClient)}
	for _, grant := range []struct {
		name, user string
		rules      []object
	}{
		{"towpath-dns", users.DNS, []object{
			rule("", read, "services", "pods", "namespaces", "endpoints"),
			rule("discovery.k8s.io", read, "endpointslices"),
		}},
		{"towpath-front-door", users.FrontDoor, []object{
			rule("", read, "services"),
			rule("discovery.k8s.io", read, "endpointslices"),
			rule("networking.k8s.io", read, "ingresses"),
			rule("networking.k8s.io", []string{"update", "patch"}, "ingresses/status"),
		}},
		{"towpath-network-policy", users.NetworkPolicy, []object{
			rule("", read, "pods", "namespaces"),
			rule("networking.k8s.io", read, "networkpolicies"),
		}},
		{"towpath-storage", users.Storage, []object{
			rule("", append([]string{"create", "delete", "update", "patch"}, read...), "persistentvolumes"),
			rule("", read, "persistentvolumeclaims"),
			rule("", []string{"create", "patch"}, "events"),
			rule("storage.k8s.io", read, "storageclasses"),
		}},
	} {
		items = append(items,
			newItem("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", grant.name, object{"rules": grant.rules}),
			binding(grant.name, grant.name, grant.user))
	}
	return items
}

func rule(group string, verbs []string, resources ...string) object {
	return object{"apiGroups": []string{group}, "resources": resources, "verbs": verbs}
}

func binding(name, role, user string) item {
	return newItem("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", name, object{
		"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
		"subjects": []object{{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}},
	})
}

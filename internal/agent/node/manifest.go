package node

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
)

// ManifestOptions say how the agent runs on the nodes of a cluster.
type ManifestOptions struct {
	Image     string // with towpath-agent as its entry point, best by digest
	Server    string // URL of the server as the nodes reach it
	OTLPHTTP  string // the server's OTLP listeners as the nodes reach them,
	OTLPGRPC  string // "towpath.example:4318" or "https://…"; both "" leave the relay out
	Namespace string // "towpath-system" when empty
	Secret    string // with the key "token"; "towpath-agent" when empty
	Logs      string // on the nodes; "/var/log/pods" when empty
	Exclude   []string
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (o *ManifestOptions) check() error {
	for _, d := range []struct {
		field *string
		text  string
	}{{&o.Namespace, "towpath-system"}, {&o.Secret, "towpath-agent"}, {&o.Logs, "/var/log/pods"}} {
		if *d.field == "" {
			*d.field = d.text
		}
	}
	if u, err := url.Parse(o.Server); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("the server %q is no URL; use one that the nodes can reach, such as https://towpath.example", o.Server)
	}
	if o.Image == "" {
		return errors.New("--image is needed: the image with towpath-agent that the nodes run")
	}
	for _, name := range append([]string{o.Namespace, o.Secret}, o.Exclude...) {
		if !dnsLabel.MatchString(name) {
			return fmt.Errorf("%q is no name of Kubernetes", name)
		}
	}
	if !strings.HasPrefix(o.Logs, "/") {
		return fmt.Errorf("the folder of logs %q is not absolute", o.Logs)
	}
	return nil
}

// Manifest returns YAML: a namespace, and a DaemonSet that runs the agent on every node. It
// is root without any capability, because pod logs belong to root; it has no account in the
// cluster, a root file system that cannot be written, and of the node two folders: the logs
// to read and its own state.
//
// The secret with the token is not in it, so that it can be kept in a repository:
//
//	kubectl -n towpath-system create secret generic towpath-agent --from-file=token=agent.token
func Manifest(o ManifestOptions) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	args := []string{
		"node", "--server=" + o.Server, "--token-file=/etc/towpath/token", "--logs=" + o.Logs, "--state=/var/lib/towpath-node",
		"--node=$(NODE_NAME)", "--self=$(POD_NAMESPACE)/$(POD_NAME)",
	}
	for _, n := range o.Exclude {
		args = append(args, "--exclude-namespace="+n)
	}
	var ports []object
	if o.OTLPHTTP != "" || o.OTLPGRPC != "" {
		args = append(args, "--otlp-listen=0.0.0.0", "--otlp-http="+o.OTLPHTTP, "--otlp-grpc="+o.OTLPGRPC)
		ports = []object{
			{"name": "otlp-grpc", "containerPort": 4317, "hostPort": 4317, "protocol": "TCP"},
			{"name": "otlp-http", "containerPort": 4318, "hostPort": 4318, "protocol": "TCP"},
		}
	}
	namespace := object{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": object{"name": o.Namespace, "labels": object{
			// hostPath volumes and host ports are what the level "baseline" forbids.
			"pod-security.kubernetes.io/enforce": "privileged",
		}},
	}
	set := object{
		"apiVersion": "apps/v1", "kind": "DaemonSet",
		"metadata": object{"name": "towpath-node", "namespace": o.Namespace, "labels": labels},
		"spec": object{
			"selector":       object{"matchLabels": object{"app.kubernetes.io/name": "towpath-node"}},
			"updateStrategy": object{"type": "RollingUpdate", "rollingUpdate": object{"maxUnavailable": "10%"}},
			"template":       object{"metadata": object{"labels": labels}, "spec": podSpec(o, args, ports)},
		},
	}
	var out strings.Builder
	for _, doc := range []object{namespace, set} {
		raw, err := json.Marshal(doc)
		if err != nil {
			return nil, err
		}
		var plain any
		if err := json.Unmarshal(raw, &plain); err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		writeYAML(&out, plain, "")
	}
	return []byte(out.String()), nil
}

type object map[string]any

var labels = object{"app.kubernetes.io/name": "towpath-node", "app.kubernetes.io/part-of": "towpath"}

func podSpec(o ManifestOptions, args []string, ports []object) object {
	field := func(name, path string) object {
		return object{"name": name, "valueFrom": object{"fieldRef": object{"fieldPath": path}}}
	}
	return object{
		"automountServiceAccountToken": false, "enableServiceLinks": false, "terminationGracePeriodSeconds": 15,
		"priorityClassName": "system-node-critical",
		// Logs are wanted most of a node that is not well.
		"tolerations":     []object{{"operator": "Exists"}},
		"nodeSelector":    object{"kubernetes.io/os": "linux"},
		"securityContext": object{"runAsUser": 0, "runAsGroup": 0, "seccompProfile": object{"type": "RuntimeDefault"}},
		"containers": []object{{
			"name": "agent", "ports": append([]object{}, ports...), "image": o.Image, "imagePullPolicy": "IfNotPresent", "args": args,
			"env": []object{field("NODE_NAME", "spec.nodeName"), field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace")},
			"securityContext": object{
				"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []string{"ALL"}},
			},
			"resources": object{
				"requests": object{"cpu": "20m", "memory": "48Mi"}, "limits": object{"cpu": "1", "memory": "160Mi"},
			},
			"volumeMounts": []object{
				{"name": "logs", "mountPath": o.Logs, "readOnly": true},
				{"name": "state", "mountPath": "/var/lib/towpath-node"},
				{"name": "token", "mountPath": "/etc/towpath", "readOnly": true},
			},
		}},
		"volumes": []object{
			{"name": "logs", "hostPath": object{"path": o.Logs, "type": "Directory"}},
			{"name": "state", "hostPath": object{"path": "/var/lib/towpath-node", "type": "DirectoryOrCreate"}},
			{"name": "token", "secret": object{"secretName": o.Secret, "defaultMode": 0o400, "items": []object{{"key": "token", "path": "token"}}}},
		},
	}
}

func manifestCommand(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("towpath-agent node manifest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o ManifestOptions
	var exclude list
	flags.StringVar(&o.Image, "image", "", "`image` with towpath-agent as its entry point")
	flags.StringVar(&o.Server, "server", "", "`URL` of the server as the nodes reach it")
	flags.StringVar(&o.OTLPHTTP, "otlp-http", "", "`address` of the server's OTLP listener for HTTP; https://… for TLS")
	flags.StringVar(&o.OTLPGRPC, "otlp-grpc", "", "`address` of the server's OTLP listener for gRPC; https://… for TLS")
	flags.StringVar(&o.Namespace, "namespace", "towpath-system", "`namespace` of the agent")
	flags.StringVar(&o.Secret, "secret", "towpath-agent", "`secret` with the agent token under the key token")
	flags.StringVar(&o.Logs, "logs", "/var/log/pods", "`folder` of pod logs on the nodes")
	flags.Var(&exclude, "exclude-namespace", "`namespace` whose logs are not read; may be given several times")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	o.Exclude = exclude
	out, err := Manifest(o)
	if err != nil {
		return err
	}
	_, err = stdout.Write(out)
	return err
}

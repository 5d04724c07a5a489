package kubectl

import (
	"encoding/base64"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
)

// Files finds a file that the command line names; ok is false when it is not there.
type Files func(name string) (data []byte, ok bool)

// Make returns the object of a command create, run or expose that makes one from its words.
// owner is the object that expose and "create job --from" look at, nil elsewhere.
func (c *Call) Make(files Files, owner map[string]any) (map[string]any, error) {
	switch c.Verb + " " + c.Sub {
	case "create configmap":
		return c.configMap(files)
	case "create secret":
		return c.secret(files)
	case "create deployment":
		return c.deployment()
	case "create job":
		return c.job(owner)
	case "create serviceaccount":
		return c.named("v1", "ServiceAccount", nil)
	case "create service":
		return c.service()
	case "run ":
		return c.pod()
	case "expose ":
		return c.expose(owner)
	}
	return nil, unknownVerb(c.Verb)
}

// named begins an object whose name is the first word.
func (c *Call) named(api, kind string, rest map[string]any) (map[string]any, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return nil, fault.New(fault.Invalid, "kubectl %s %s names no object.", c.Verb, c.Sub).WithNext("write the name behind it")
	}
	o := map[string]any{"apiVersion": api, "kind": kind, "metadata": map[string]any{"name": c.Args[0]}}
	for k, v := range rest {
		o[k] = v
	}
	return o, nil
}

// literals reads --from-literal, --from-file and --from-env-file.
func (c *Call) literals(files Files) (map[string][]byte, error) {
	data := map[string][]byte{}
	put := func(key string, value []byte) error {
		if _, twice := data[key]; twice || key == "" {
			return fault.New(fault.Invalid, "kubectl %s %s has the key %q twice, or one without a name.", c.Verb, c.Sub, key)
		}
		data[key] = value
		return nil
	}
	for _, v := range c.Options("from-literal") {
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, fault.New(fault.Invalid, "An option --from-literal of kubectl %s is no KEY=VALUE.", c.Verb)
		}
		if err := put(key, []byte(value)); err != nil {
			return nil, err
		}
	}
	for _, v := range c.Options("from-file") {
		key, name, ok := strings.Cut(v, "=")
		if !ok {
			key, name = path.Base(v), v
		}
		raw, there := files(name)
		if !there {
			return nil, fault.New(fault.NotFound, "The file %s of kubectl %s is not there.", name, c.Verb)
		}
		if err := put(key, raw); err != nil {
			return nil, err
		}
	}
	for _, name := range c.Options("from-env-file") {
		raw, there := files(name)
		if !there {
			return nil, fault.New(fault.NotFound, "The file %s of kubectl %s is not there.", name, c.Verb)
		}
		for line := range strings.Lines(string(raw)) {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			key, value, _ := strings.Cut(line, "=")
			if err := put(key, []byte(value)); err != nil {
				return nil, err
			}
		}
	}
	return data, nil
}

func (c *Call) configMap(files Files) (map[string]any, error) {
	data, err := c.literals(files)
	if err != nil {
		return nil, err
	}
	text, binary := map[string]any{}, map[string]any{}
	for k, v := range data {
		if utf8.Valid(v) {
			text[k] = string(v)
		} else {
			binary[k] = base64.StdEncoding.EncodeToString(v)
		}
	}
	rest := map[string]any{"data": text}
	if len(binary) > 0 {
		rest["binaryData"] = binary
	}
	return c.named("v1", "ConfigMap", rest)
}

// secret makes the Secrets of "create secret generic|docker-registry|tls NAME".
func (c *Call) secret(files Files) (map[string]any, error) {
	if len(c.Args) < 2 {
		return nil, fault.New(fault.Invalid, "kubectl create secret names no type and name.").WithNext("write create secret generic NAME")
	}
	kind := c.Args[0]
	c.Args = c.Args[1:]
	switch kind {
	case "docker-registry":
		var words []string
		for _, n := range []string{"docker-server", "docker-username", "docker-password", "docker-email"} {
			if v := c.Option(n); v != "" {
				words = append(words, "--"+n+"="+v)
			}
		}
		return manifest.Secret("dockerRegistry", c.Args[0], words)
	case "tls":
		cert, there := files(c.Option("cert"))
		key, also := files(c.Option("key"))
		if !there || !also {
			return nil, fault.New(fault.NotFound, "A file of kubectl create secret tls is not there.").WithNext("write --cert=FILE --key=FILE")
		}
		return c.named("v1", "Secret", map[string]any{"type": "kubernetes.io/tls", "data": encoded(map[string][]byte{"tls.crt": cert, "tls.key": key})})
	case "generic":
		data, err := c.literals(files)
		if err != nil {
			return nil, err
		}
		typ := c.Option("type")
		if typ == "" {
			typ = "Opaque"
		}
		return c.named("v1", "Secret", map[string]any{"type": typ, "data": encoded(data)})
	}
	return nil, fault.New(fault.Invalid, "kubectl create secret %s is none that Kubernetes@1 runs here.", kind).WithNext("use generic, docker-registry or tls")
}

func encoded(data map[string][]byte) map[string]any {
	out := map[string]any{}
	for k, v := range data {
		out[k] = base64.StdEncoding.EncodeToString(v)
	}
	return out
}

// containers are those of "create deployment" and "create job": one for each image.
func (c *Call) containers() ([]any, error) {
	var out []any
	for _, image := range c.Options("image") {
		name := image[strings.LastIndexByte(image, '/')+1:]
		name, _, _ = strings.Cut(name, "@")
		name, _, _ = strings.Cut(name, ":")
		container := map[string]any{"name": name, "image": image}
		if len(c.Rest) > 0 {
			container["command"] = words(c.Rest)
		}
		out = append(out, container)
	}
	if len(out) == 0 || len(c.Rest) > 0 && len(out) > 1 {
		return nil, fault.New(fault.Invalid, "kubectl %s %s wants an image.", c.Verb, c.Sub).WithNext("write --image=NAME; a command goes with one image only")
	}
	return out, nil
}

func words(list []string) []any {
	out := make([]any, len(list))
	for i, w := range list {
		out[i] = w
	}
	return out
}

func (c *Call) deployment() (map[string]any, error) {
	containers, err := c.containers()
	if err != nil {
		return nil, err
	}
	replicas, err := c.Whole("replicas", 1)
	if err != nil {
		return nil, err
	}
	port, err := c.Whole("port", 0)
	if err != nil {
		return nil, err
	}
	if port > 0 {
		containers[0].(map[string]any)["ports"] = []any{map[string]any{"containerPort": int64(port)}}
	}
	o, err := c.named("apps/v1", "Deployment", nil)
	if err != nil {
		return nil, err
	}
	labels := map[string]any{"app": c.Args[0]}
	o["metadata"].(map[string]any)["labels"] = labels
	o["spec"] = map[string]any{
		"replicas": int64(replicas), "selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": containers}},
	}
	return o, nil
}

// From names the CronJob that "create job --from=cronjob/NAME" copies.
func (c *Call) From() (manifest.Named, bool) {
	kind, name, ok := strings.Cut(c.Option("from"), "/")
	return manifest.Named{Kind: kind, Name: name}, ok && c.Sub == "job"
}

func (c *Call) job(owner map[string]any) (map[string]any, error) {
	if owner != nil {
		template := mapOf(mapOf(owner["spec"])["jobTemplate"])
		o, err := c.named("batch/v1", "Job", map[string]any{"spec": template["spec"]})
		if err == nil {
			o["metadata"].(map[string]any)["annotations"] = map[string]any{"cronjob.kubernetes.io/instantiate": "manual"}
		}
		return o, err
	}
	containers, err := c.containers()
	if err != nil {
		return nil, err
	}
	return c.named("batch/v1", "Job", map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": containers, "restartPolicy": "Never"}}}})
}

// service makes the Service of "create service clusterip|nodeport|loadbalancer|externalname NAME".
func (c *Call) service() (map[string]any, error) {
	if len(c.Args) < 2 {
		return nil, fault.New(fault.Invalid, "kubectl create service names no type and name.").WithNext("write create service clusterip NAME --tcp=80:8080")
	}
	types := map[string]string{"clusterip": "ClusterIP", "nodeport": "NodePort", "loadbalancer": "LoadBalancer", "externalname": "ExternalName"}
	typ, ok := types[strings.ToLower(c.Args[0])]
	if !ok {
		return nil, fault.New(fault.Invalid, "kubectl create service %s is none that there is.", c.Args[0])
	}
	c.Args = c.Args[1:]
	spec := map[string]any{"type": typ, "selector": map[string]any{"app": c.Args[0]}}
	if typ == "ExternalName" {
		spec["externalName"] = c.Option("external-name")
	}
	var ports []any
	for _, v := range c.Options("tcp") {
		port, target, both := strings.Cut(v, ":")
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, fault.New(fault.Invalid, "The option --tcp of kubectl is PORT:TARGET, not %q.", v)
		}
		if !both {
			target = port
		}
		ports = append(ports, map[string]any{"name": strings.ReplaceAll(v, ":", "-"), "port": int64(n), "protocol": "TCP", "targetPort": portOf(target)})
	}
	if len(ports) > 0 {
		spec["ports"] = ports
	}
	return c.named("v1", "Service", map[string]any{"spec": spec})
}

// portOf is a port by its number or its name.
func portOf(s string) any {
	if n, err := strconv.Atoi(s); err == nil {
		return int64(n)
	}
	return s
}

func (c *Call) pod() (map[string]any, error) {
	if len(c.Options("image")) != 1 {
		return nil, fault.New(fault.Invalid, "kubectl run wants one image.").WithNext("write run NAME --image=IMAGE")
	}
	restart := c.Option("restart")
	if restart == "" {
		restart = "Always"
	}
	if !slices.Contains([]string{"Always", "OnFailure", "Never"}, restart) {
		return nil, fault.New(fault.Invalid, "The option --restart of kubectl run cannot be %q.", restart).WithNext("use Always, OnFailure or Never")
	}
	o, err := c.named("v1", "Pod", nil)
	if err != nil {
		return nil, err
	}
	container := map[string]any{"name": c.Args[0], "image": c.Option("image")}
	if args := append(slices.Clone(c.Args[1:]), c.Rest...); len(args) > 0 {
		key := "args"
		if c.Flag("command", false) {
			key = "command"
		}
		container[key] = words(args)
	}
	if port, err := c.Whole("port", 0); err != nil {
		return nil, err
	} else if port > 0 {
		container["ports"] = []any{map[string]any{"containerPort": int64(port)}}
	}
	var env []any
	for _, v := range c.Options("env") {
		k, value, _ := strings.Cut(v, "=")
		env = append(env, map[string]any{"name": k, "value": value})
	}
	if env != nil {
		container["env"] = env
	}
	if p := c.Option("image-pull-policy"); p != "" {
		container["imagePullPolicy"] = p
	}
	meta := o["metadata"].(map[string]any)
	meta["labels"] = map[string]any{"run": c.Args[0]}
	if v := c.Option("labels"); v != "" {
		meta["labels"] = pairs(v)
	}
	o["spec"] = map[string]any{"containers": []any{container}, "restartPolicy": restart}
	return o, nil
}

// pairs reads "a=1,b=2".
func pairs(s string) map[string]any {
	out := map[string]any{}
	for p := range strings.SplitSeq(s, ",") {
		if k, v, ok := strings.Cut(p, "="); ok {
			out[k] = v
		}
	}
	return out
}

// expose makes the Service of an object that has pods, or of another Service.
func (c *Call) expose(owner map[string]any) (map[string]any, error) {
	spec := mapOf(owner["spec"])
	selector := mapOf(mapOf(spec["selector"])["matchLabels"])
	switch owner["kind"] {
	case "Service":
		selector = mapOf(spec["selector"])
	case "Pod":
		selector = mapOf(mapOf(owner["metadata"])["labels"])
	}
	if v := c.Option("selector"); v != "" {
		selector = pairs(v)
	}
	if len(selector) == 0 {
		return nil, fault.New(fault.Invalid, "kubectl expose finds no labels to select pods by.").WithNext("write --selector=app=NAME")
	}
	port, err := c.Whole("port", firstPort(spec))
	if err != nil {
		return nil, err
	}
	if port == 0 {
		return nil, fault.New(fault.Invalid, "kubectl expose finds no port.").WithNext("write --port=NUMBER")
	}
	entry := map[string]any{"port": int64(port), "protocol": "TCP", "targetPort": int64(port)}
	if v := c.Option("target-port"); v != "" {
		entry["targetPort"] = portOf(v)
	}
	if v := c.Option("protocol"); v != "" {
		entry["protocol"] = v
	}
	name := c.Option("name")
	if name == "" {
		name, _ = mapOf(owner["metadata"])["name"].(string)
	}
	service := map[string]any{"selector": selector, "ports": []any{entry}}
	if v := c.Option("type"); v != "" {
		service["type"] = v
	}
	meta := map[string]any{"name": name}
	if labels := mapOf(mapOf(owner["metadata"])["labels"]); len(labels) > 0 {
		meta["labels"] = labels
	}
	if v := c.Option("labels"); v != "" {
		meta["labels"] = pairs(v)
	}
	return map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service}, nil
}

// firstPort is the first port of a Service, or of the containers of a workload.
func firstPort(spec map[string]any) int {
	if list, _ := spec["ports"].([]any); len(list) > 0 {
		n, _ := mapOf(list[0])["port"].(int64)
		return int(n)
	}
	containers, _ := mapOf(mapOf(spec["template"])["spec"])["containers"].([]any)
	if containers == nil {
		containers, _ = spec["containers"].([]any)
	}
	for _, c := range containers {
		if list, _ := mapOf(c)["ports"].([]any); len(list) > 0 {
			n, _ := mapOf(list[0])["containerPort"].(int64)
			return int(n)
		}
	}
	return 0
}

func mapOf(v any) map[string]any { m, _ := v.(map[string]any); return m }

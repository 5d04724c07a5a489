package kubectl

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
)

// Limits of a command line.
const (
	maxWords = 500
	maxWord  = 64 << 10
)

// Call is a command line that was understood.
type Call struct {
	Verb string
	Sub  string              // of create, rollout, set and top: "configmap", "restart", "image"
	Args []string            // the words that are no options, without Verb and Sub
	Rest []string            // the words after "--"
	set  map[string][]string // options by long name
}

// form is what a verb takes: options with a value, and those without one.
type form struct {
	subs   []string // what may follow the verb; nil for verbs that have none
	valued []string
	flags  []string
}

// short are the short forms of options, for all verbs; those of one verb stand in shortOf.
var short = map[string]string{
	"-f": "filename", "-k": "kustomize", "-l": "selector", "-n": "namespace", "-o": "output", "-c": "container", "-R": "recursive", "-h": "help",
}

var shortOf = map[string]map[string]string{
	"logs": {"-p": "previous", "-f": "follow"}, "patch": {"-p": "patch"}, "set": {"-e": "env"}, "exec": {"-i": "stdin", "-t": "tty", "-it": "stdin", "-ti": "stdin"},
	"get": {"-A": "all-namespaces", "-w": "watch"},
}

// common are the options of every verb.
var common = form{valued: []string{"namespace", "request-timeout", "v"}}

var dry = []string{"dry-run", "field-manager", "output"}

// verbs are the commands that Kubernetes@1 runs here.
var verbs = map[string]form{
	"apply": {valued: append([]string{"filename", "kustomize", "validate", "timeout"}, dry...),
		flags: []string{"recursive", "server-side", "force-conflicts", "record", "wait", "force", "overwrite"}},
	"create": {subs: []string{"configmap", "secret", "deployment", "job", "serviceaccount", "service"},
		valued: append([]string{"filename", "validate", "from-literal", "from-file", "from-env-file", "type", "docker-server", "docker-username", "docker-password",
			"docker-email", "cert", "key", "image", "replicas", "port", "tcp", "from", "clusterip", "external-name"}, dry...),
		flags: []string{"recursive", "save-config", "record"}},
	"delete": {valued: []string{"filename", "kustomize", "selector", "timeout", "cascade", "output"}, flags: []string{"recursive", "ignore-not-found", "wait", "force"}},
	"get": {valued: []string{"output", "selector", "field-selector"},
		flags: []string{"ignore-not-found", "no-headers", "show-labels"}},
	"describe": {valued: []string{"selector"}, flags: []string{"show-events"}},
	"expose": {valued: append([]string{"port", "target-port", "name", "type", "protocol", "selector", "labels"}, dry...),
		flags: []string{"record", "save-config"}},
	"run": {valued: append([]string{"image", "port", "env", "labels", "restart", "image-pull-policy", "annotations"}, dry...),
		flags: []string{"command", "expose", "quiet"}},
	"set": {subs: []string{"image", "env", "serviceaccount"}, valued: append([]string{"env", "containers"}, dry...), flags: []string{"record", "overwrite"}},
	"top": {subs: []string{"pod", "pods", "po", "node", "nodes", "no"}, valued: []string{"selector"}, flags: []string{"no-headers", "containers"}},
	"logs": {valued: []string{"container", "tail", "since", "selector", "max-log-requests"},
		flags: []string{"previous", "timestamps", "all-containers"}},
	"rollout": {subs: []string{"status", "restart", "undo", "pause", "resume", "history"}, valued: append([]string{"timeout", "to-revision", "revision"}, dry...),
		flags: []string{"watch"}},
	"exec":     {valued: []string{"container"}, flags: []string{"quiet"}},
	"scale":    {valued: append([]string{"replicas", "timeout"}, dry...), flags: []string{"record"}},
	"patch":    {valued: append([]string{"patch", "patch-file", "type"}, dry...), flags: []string{"record"}},
	"label":    {valued: dry, flags: []string{"overwrite", "record"}},
	"annotate": {valued: dry, flags: []string{"overwrite", "record"}},
	"wait":     {valued: []string{"for", "timeout", "selector", "output"}},
	"version":  {valued: []string{"output"}, flags: []string{"client", "short"}},
}

// instead says of commands and options that are refused what to do.
var instead = map[string]string{
	"login":            "no job holds a kubeconfig: give each command to a step Kubernetes@1 of its own",
	"logout":           "no job holds a kubeconfig, so there is nothing to sign out of",
	"edit":             "use patch or apply",
	"replace":          "use apply",
	"port-forward":     "reach the service by its name from another pod, or use towpath dev",
	"proxy":            "use get, or the API of Towpath",
	"cp":               "put the file into a ConfigMap, or use exec",
	"attach":           "use logs or exec",
	"debug":            "use exec, or towpath dev",
	"autoscale":        "apply a HorizontalPodAutoscaler",
	"drain":            "nodes belong to the operator of the cluster: towpath kubectl drain",
	"cordon":           "nodes belong to the operator of the cluster: towpath kubectl cordon",
	"uncordon":         "nodes belong to the operator of the cluster: towpath kubectl uncordon",
	"taint":            "nodes belong to the operator of the cluster: towpath kubectl taint",
	"certificate":      "certificates belong to the operator of the cluster",
	"config":           "the environment, or the service connection, says which cluster it is",
	"cluster-info":     "use version",
	"kustomize":        "use KubernetesManifest@1 with action: bake and renderType: kustomize, or apply -k",
	"namespace":        "the namespace of an environment is made with it",
	"--kubeconfig":     "the environment, or the input kubernetesServiceEndpoint, says which cluster it is",
	"--context":        "the environment, or the input kubernetesServiceEndpoint, says which cluster it is",
	"--cluster":        "the environment, or the input kubernetesServiceEndpoint, says which cluster it is",
	"--server":         "the environment, or the input kubernetesServiceEndpoint, says which cluster it is",
	"--token":          "the job has an identity of its own",
	"--as":             "the job has an identity of its own",
	"--as-group":       "the job has an identity of its own",
	"--username":       "the job has an identity of its own",
	"--password":       "the job has an identity of its own",
	"--user":           "the job has an identity of its own",
	"--all":            "name what is meant, or choose it with --selector",
	"--prune":          "objects that the files do not have any more are deleted with the command delete",
	"--watch":          "use the command wait or rollout status, which end",
	"--follow":         "leave it out: the step ends when the log is read",
	"--stdin":          "nobody is there to type",
	"--tty":            "nobody is there to type",
	"--all-namespaces": "a job sees the namespace of its environment only",
}

// Parse reads a command line of kubectl: command is its first word, args are the others.
func Parse(command string, args []string) (Call, error) {
	c := Call{Verb: strings.ToLower(strings.TrimSpace(command)), set: map[string][]string{}}
	f, ok := verbs[c.Verb]
	if !ok {
		return c, unknownVerb(c.Verb)
	}
	if len(args) > maxWords || slices.ContainsFunc(args, func(w string) bool { return len(w) > maxWord }) {
		return c, fault.New(fault.TooLarge, "The arguments of kubectl are more than %d words, or one is longer than %d KiB.", maxWords, maxWord>>10)
	}
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			c.Rest = args[i+1:]
			break
		}
		if !strings.HasPrefix(args[i], "-") || args[i] == "-" {
			c.Args = append(c.Args, args[i])
			continue
		}
		next, err := c.option(f, args, i)
		if err != nil {
			return c, err
		}
		i = next
	}
	return c, c.sub(f)
}

func unknownVerb(verb string) error {
	if next, ok := instead[verb]; ok {
		return fault.New(fault.Invalid, "Kubernetes@1 does not run kubectl %s here.", verb).WithNext("%s", next)
	}
	return fault.New(fault.Invalid, "Kubernetes@1 does not run kubectl %s here.", verb).
		WithNext("it runs %s", strings.Join(slices.Sorted(maps.Keys(verbs)), ", "))
}

// option reads the option at a place and returns the place of its last word.
func (c *Call) option(f form, args []string, at int) (int, error) {
	word, value, has := strings.Cut(args[at], "=")
	name := strings.TrimPrefix(word, "--")
	if !strings.HasPrefix(word, "--") {
		long, glued, ok := c.short(word)
		if !ok {
			return at, c.unknown(word)
		}
		if name = long; glued != "" {
			value, has = strings.TrimPrefix(args[at], args[at][:2]), true
		}
	}
	switch {
	case slices.Contains(f.flags, name) || slices.Contains(common.flags, name):
		if !has {
			value = "true"
		}
		if _, err := strconv.ParseBool(value); err != nil {
			return at, fault.New(fault.Invalid, "The option --%s of kubectl is true or false, not %q.", name, value)
		}
	case name == "dry-run" && !has:
		value = "client" // as kubectl had it without a value
	case slices.Contains(f.valued, name) || slices.Contains(common.valued, name):
		if !has {
			if at++; at >= len(args) {
				return at, fault.New(fault.Invalid, "The option --%s of kubectl has no value.", name)
			}
			value = args[at]
		}
	default:
		return at, c.unknown("--" + name)
	}
	c.set[name] = append(c.set[name], value)
	return at, nil
}

// short finds the long name of "-n", and of "-ntest" its value.
func (c *Call) short(word string) (long, glued string, ok bool) {
	for _, table := range []map[string]string{shortOf[c.Verb], short} {
		if long, ok := table[word]; ok {
			return long, "", true
		}
	}
	if len(word) < 3 {
		return "", "", false
	}
	for _, table := range []map[string]string{shortOf[c.Verb], short} {
		if long, ok := table[word[:2]]; ok {
			return long, word[2:], true
		}
	}
	return "", "", false
}

func (c *Call) unknown(option string) error {
	if next, ok := instead[option]; ok {
		return fault.New(fault.Invalid, "The option %s of kubectl %s is refused here.", option, c.Verb).WithNext("%s", next)
	}
	return fault.New(fault.Invalid, "Kubernetes@1 does not know the option %s of kubectl %s.", option, c.Verb).WithNext("remove it from the input arguments")
}

// sub takes the word that belongs to the verb, such as "image" of "set image".
func (c *Call) sub(f form) error {
	if f.subs == nil || c.Verb == "create" && (len(c.set["filename"]) > 0) {
		return nil
	}
	word := ""
	if len(c.Args) > 0 {
		word, c.Args = strings.ToLower(c.Args[0]), c.Args[1:]
	}
	if long, ok := longer[word]; ok {
		word = long
	}
	if !slices.Contains(f.subs, word) {
		next := instead[word]
		if next == "" {
			next = "write " + strings.Join(f.subs, ", ") + ", or use apply with a manifest"
		}
		return fault.New(fault.Invalid, "Kubernetes@1 does not run kubectl %s %s here.", c.Verb, word).WithNext("%s", next)
	}
	c.Sub = word
	return nil
}

// longer are the full names of what create takes.
var longer = map[string]string{"cm": "configmap", "deploy": "deployment", "sa": "serviceaccount", "svc": "service", "ns": "namespace"}

// Option returns the last value of an option, "" when it was not given.
func (c *Call) Option(name string) string {
	if list := c.set[name]; len(list) > 0 {
		return list[len(list)-1]
	}
	return ""
}

// Options returns every value of an option.
func (c *Call) Options(name string) []string { return c.set[name] }

// Flag reports whether an option without a value is on; otherwise is what it is unset.
func (c *Call) Flag(name string, otherwise bool) bool {
	if v := c.Option(name); v != "" {
		on, _ := strconv.ParseBool(v)
		return on
	}
	return otherwise
}

// Whole reads an option that is a number from 0.
func (c *Call) Whole(name string, unset int) (int, error) {
	v := c.Option(name)
	if v == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, fault.New(fault.Invalid, "The option --%s of kubectl %s is a number, not %q.", name, c.Verb, v)
	}
	return n, nil
}

// Wait reads an option that is a time, such as "90s"; 0 and none are unset.
func (c *Call) Wait(name string, unset time.Duration) (time.Duration, error) {
	v := c.Option(name)
	if v == "" || v == "0" || v == "0s" {
		return unset, nil
	}
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return 0, fault.New(fault.Invalid, "The option --%s of kubectl %s is a time such as 90s, not %q.", name, c.Verb, v)
	}
	return d, nil
}

// Targets reads the words that name objects: "KIND NAME…" or "KIND/NAME…". kind is set, and
// the list empty, when they name a kind alone ("pods", "deploy,svc").
func (c *Call) Targets() (kind string, list []manifest.Named, err error) {
	return Targets(c.Args)
}

// Targets reads words that name objects.
func Targets(words []string) (kind string, list []manifest.Named, err error) {
	if len(words) == 0 {
		return "", nil, fault.New(fault.Invalid, "The command names no object.").WithNext("write KIND NAME, or KIND/NAME")
	}
	slashed := strings.Contains(words[0], "/")
	for i, w := range words {
		k, name, slash := strings.Cut(w, "/")
		if slash != slashed || slash && (k == "" || name == "") {
			return "", nil, fault.New(fault.Invalid, "%q names no object.", w).WithNext("write KIND NAME…, or KIND/NAME KIND/NAME…")
		}
		if slash {
			list = append(list, manifest.Named{Kind: k, Name: name})
		} else if i > 0 {
			list = append(list, manifest.Named{Kind: words[0], Name: w})
		}
	}
	if len(list) == 0 {
		kind = words[0]
	}
	return kind, list, nil
}

// TargetsBefore reads the words that name objects before those that say what to set.
func (c *Call) TargetsBefore() (kind string, list []manifest.Named, err error) {
	words, _, err := c.Assignments()
	if err != nil {
		return "", nil, err
	}
	return Targets(words)
}

// Assignments splits the words of set, label and annotate into those that name objects and
// those that say what to set: NAME=VALUE or NAME-. Other verbs have none.
func (c *Call) Assignments() (names, assign []string, err error) {
	switch {
	case c.Verb == "set" && c.Sub == "serviceaccount":
		if len(c.Args) < 2 {
			return nil, nil, fault.New(fault.Invalid, "kubectl set serviceaccount names no account.").WithNext("write set serviceaccount KIND/NAME ACCOUNT")
		}
		return c.Args[:len(c.Args)-1], nil, nil
	case c.Verb != "set" && c.Verb != "label" && c.Verb != "annotate":
		return c.Args, nil, nil
	}
	for i, w := range c.Args {
		if i > 0 && (strings.Contains(w, "=") || strings.HasSuffix(w, "-")) {
			assign = append(assign, w)
		} else {
			names = append(names, w)
		}
	}
	return names, assign, nil
}

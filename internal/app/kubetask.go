package app

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/kubectl"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
)

// maxOutput is the longest value of an output variable; the service drops a longer one with a
// warning (KubernetesV1, HelmDeployV1: environmentVariableMaximumSize).
const maxOutput = 32766

// spoken reads a command line that the agent has split into words.
func spoken(in map[string]string, name string) ([]string, error) {
	var out []string
	if in[name] == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(in[name]), &out); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The words of the task cannot be read.")
	}
	return out, nil
}

// kubectl runs Kubernetes@1: the Secret and the ConfigMap first, then the command.
func (t tasks) kubectl(ctx context.Context, call pipeline.TaskCall, out func(string)) (map[string]string, error) {
	in := call.Inputs
	svc, err := t.target(ctx, call)
	if err != nil {
		return nil, err
	}
	all, err := files(call.Context)
	if err != nil {
		return nil, err
	}
	if truth(in["useConfigurationFile"], false) && strings.EqualFold(in["configurationType"], "inline") {
		all = append(all, deploy.File{Name: "inline.yaml", Data: []byte(in["inline"])})
	}
	to := deploy.Target{Actor: jobActor(call.Job), Namespace: strings.TrimSpace(in["namespace"]), Name: "kubectl-" + repoName(call.Job.Repo)}
	k := kubeCall{tasks: t, svc: svc, to: to, files: all, in: in, call: call, say: out}
	if name := strings.TrimSpace(in["secretName"]); name != "" {
		if err := k.secret(ctx, name); err != nil {
			return nil, err
		}
	}
	if name := strings.TrimSpace(in["configMapName"]); name != "" {
		if err := k.configMap(ctx, name); err != nil {
			return nil, err
		}
	}
	command := strings.TrimSpace(in["command"])
	if command == "" {
		return nil, nil
	}
	words, err := spoken(in, "words")
	if err != nil {
		return nil, err
	}
	if truth(in["useConfigurationFile"], false) && strings.EqualFold(in["configurationType"], "inline") {
		words = append([]string{"-f", "inline.yaml"}, words...)
	}
	if format := strings.ToLower(strings.TrimSpace(in["outputFormat"])); format != "" && format != "none" && prints(command) {
		words = append(words, "-o", format)
	}
	said, err := k.run(ctx, command, words)
	for line := range strings.Lines(said) {
		out(strings.TrimSuffix(line, "\n"))
	}
	if len(said) > maxOutput {
		out("##[warning]The output is longer than an output variable may be: KubectlOutput is not set.")
		return map[string]string{}, err
	}
	return map[string]string{"KubectlOutput": said}, err
}

// prints reports whether a command takes an output format. The service gives it to every
// command; kubectl itself then refuses it for some.
func prints(command string) bool {
	return !slices.Contains([]string{"logs", "exec", "top", "describe", "login", "logout"}, strings.ToLower(command))
}

// repoName is the last part of a repository's name.
func repoName(repo string) string { return repo[strings.LastIndexByte(repo, '/')+1:] }

// kubeCall is a step Kubernetes@1, or an action of KubernetesManifest@1 that takes the words of
// kubectl.
type kubeCall struct {
	tasks tasks
	svc   *deploy.Service
	to    deploy.Target
	files []deploy.File
	in    map[string]string
	call  pipeline.TaskCall
	say   func(string)
}

func (k kubeCall) run(ctx context.Context, command string, words []string) (string, error) {
	c, err := kubectl.Parse(command, words)
	if err != nil {
		return "", err
	}
	return k.svc.Kubectl(ctx, deploy.Command{Target: k.to, Call: c, Files: k.files}, k.say)
}

// secret makes the Secret of secretName from secretArguments, or from the docker registry that
// a service connection names.
func (k kubeCall) secret(ctx context.Context, name string) error {
	words, err := spoken(k.in, "secretWords")
	if err != nil {
		return err
	}
	kind := "docker-registry"
	if strings.EqualFold(strings.TrimSpace(k.in["secretType"]), "generic") {
		kind = "generic"
	} else if words, err = k.registryWords(ctx, words); err != nil {
		return err
	}
	return k.replace(ctx, truth(k.in["forceUpdate"], true), "secret", name, append([]string{"secret", kind, name}, words...))
}

// registryWords are the options of a docker-registry Secret: those given, or what the service
// connection says.
func (k kubeCall) registryWords(ctx context.Context, given []string) ([]string, error) {
	if strings.TrimSpace(k.in["azureSubscriptionEndpointForSecrets"]) != "" || strings.EqualFold(strings.ReplaceAll(k.in["containerRegistryType"], " ", ""), "AzureContainerRegistry") && strings.TrimSpace(k.in["azureContainerRegistry"]) != "" {
		return nil, fault.New(fault.Invalid, "%s cannot ask an Azure Container Registry for a password: there is no Azure here.", k.call.Task).
			WithNext("use containerRegistryType: Container Registry with a connection of the type dockerregistry")
	}
	name := strings.TrimSpace(k.in["dockerRegistryEndpoint"])
	if name == "" {
		return given, nil
	}
	lent, err := k.call.Connection(ctx, name)
	if err != nil {
		return nil, err
	}
	return append([]string{"--docker-server=" + lent.URL, "--docker-username=" + parameter(lent, "username"), "--docker-password=" + parameter(lent, "password"),
		"--docker-email=" + parameter(lent, "email")}, given...), nil
}

func (k kubeCall) configMap(ctx context.Context, name string) error {
	words, err := spoken(k.in, "configMapWords")
	if err != nil {
		return err
	}
	return k.replace(ctx, truth(k.in["forceUpdateConfigMap"], false), "configmap", name, append([]string{"configmap", name}, words...))
}

// replace makes an object, after it took the one of its name away when force says so.
func (k kubeCall) replace(ctx context.Context, force bool, kind, name string, words []string) error {
	if force {
		if _, err := k.run(ctx, "delete", []string{kind, name, "--ignore-not-found"}); err != nil {
			return err
		}
	}
	said, err := k.run(ctx, "create", words)
	if err == nil {
		k.say(strings.TrimSpace(said))
	}
	return err
}

package app

import (
	"context"
	"errors"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/validate"
)

// said is the message of an error with its next step.
func said(err error) string {
	if err == nil {
		return ""
	}
	message, next := fault.Public(err)
	return message + " " + next
}

// TestRefusedByName wants that what cannot be here is refused by its name before anything is
// done.
func TestRefusedByName(t *testing.T) {
	for _, c := range []struct {
		name, task string
		inputs     map[string]string
		want       string
	}{
		{"K021 bake by kompose", "KubernetesManifest@1", map[string]string{"action": "bake", "renderType": "kompose"}, "kompose"},
		{"K021 azureResourceManager", "KubernetesManifest@1", map[string]string{"action": "deploy", "connectionType": "azureResourceManager"}, "there is no Azure here"},
		{"K022 an Azure subscription", "Kubernetes@1", map[string]string{"command": "get", "azureSubscriptionEndpoint": "arm"}, "there is no Azure here"},
		{"K022 login", "Kubernetes@1", map[string]string{"command": "login"}, "kubectl login"},
		{"K022 an Azure registry", "Kubernetes@1", map[string]string{"secretName": "s", "containerRegistryType": "Azure Container Registry", "azureContainerRegistry": "r"}, "Azure Container Registry"},
		{"K023 init", "HelmDeploy@1", map[string]string{"command": "init"}, "\"init\""},
		{"K023 save", "HelmDeploy@1", map[string]string{"command": "save"}, "\"save\""},
		{"K023 login", "HelmDeploy@1", map[string]string{"command": "login"}, "kubeconfig"},
		{"K023 an Azure registry", "HelmDeploy@1", map[string]string{"command": "push", "azureSubscriptionEndpointForACR": "arm"}, "there is no Azure here"},
		{"K023 push of nothing", "HelmDeploy@1", map[string]string{"command": "push", "arguments": "web-1.0.0.tgz oci://localhost/shop"}, "needs the archive"},
		{"K023 expose", "HelmDeploy@1", map[string]string{"command": "expose"}, "\"expose\""},
		{"K023 an Azure subscription", "HelmDeploy@1", map[string]string{"command": "ls", "azureSubscriptionEndpoint": "arm"}, "there is no Azure here"},
		{"K023 a chart by name", "HelmDeploy@1", map[string]string{"command": "upgrade", "releaseName": "web", "chartName": "stable/nginx"}, "stable/nginx"},
		{"K023 an unknown argument", "HelmDeploy@1", map[string]string{"command": "upgrade", "releaseName": "web", "arguments": "--post-renderer ./x"}, "--post-renderer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := tasks{voices: newVoices(), deploy: deploy.New(deploy.Deps{}, deploy.Options{})}
			_, err := ts.Run(t.Context(), pipeline.TaskCall{Task: c.task, Inputs: c.inputs, Context: strings.NewReader("")}, func(string) {})
			if !strings.Contains(said(err), c.want) {
				t.Errorf("%v, want it refused with %q", said(err), c.want)
			}
		})
	}
}

// TestHelmArgumentsK023 reads what stands in the input arguments.
func TestHelmArgumentsK023(t *testing.T) {
	for _, c := range []struct{ line, words, set, refused string }{
		{"--timeout 2m --atomic --set a=b,c=d --set-string=x=1", "", "timeout=2m set=a=b,c=d set-string=x=1", ""},
		{"--devel --plain-http --repo https://charts.example.com", "", "devel=true plain-http=true repo=https://charts.example.com", ""},
		{"--timeout 2m --atomic --set a=b --set c=d", "", "timeout=2m atomic=true set=c=d", ""},
		{"web 3 -n shop", "web 3", "namespace=shop", ""},
		{"-f files/s/a.yaml -i --force-conflicts", "", "values=files/s/a.yaml install=true force=true", ""},
		{"--wait=false", "", "wait=false", ""},
		{"--timeout soon", "", "", "no duration"},
		{"--kubeconfig /x", "", "", "--kubeconfig"},
		{"--set", "", "", "has no value"},
	} {
		t.Run("K023 "+c.line, func(t *testing.T) {
			got, err := readHelm("upgrade", strings.Fields(c.line))
			if c.refused != "" || err != nil {
				if c.refused == "" || !strings.Contains(said(err), c.refused) {
					t.Errorf("%v, want it refused with %q", said(err), c.refused)
				}
				return
			}
			if strings.Join(got.words, " ") != c.words {
				t.Errorf("words %q", got.words)
			}
			for _, o := range strings.Fields(c.set) {
				if name, value, _ := strings.Cut(o, "="); got.option(name) != value {
					t.Errorf("--%s is %q, want %q", name, got.option(name), value)
				}
			}
		})
	}
}

// TestInputNames finds the inputs of the tasks by every name that they have, in any case.
func TestInputNames(t *testing.T) {
	for _, c := range []struct{ id, task, name, canonical string }{
		{"K021 KubernetesServiceConnection", "KubernetesManifest", "KUBERNETESSERVICECONNECTION", "kubernetesServiceEndpoint"},
		{"K021 azureSubscriptionConnection", "KubernetesManifest", "azureSubscriptionConnection", "azureSubscriptionEndpoint"},
		{"K021 resourceType", "KubernetesManifest", "ResourceType", "resourceType"},
		{"K022 kubernetesServiceEndpoint", "Kubernetes", "kubernetesserviceendpoint", "kubernetesServiceEndpoint"},
		{"K022 workingDirectory", "Kubernetes", "WorkingDirectory", "cwd"},
		{"K023 chartVersion", "HelmDeploy", "chartVersion", "version"},
		{"K023 azureSubscription", "HelmDeploy", "azuresubscription", "azureSubscriptionEndpoint"},
		{"K023 kubernetesServiceConnection", "HelmDeploy", "kubernetesServiceConnection", "kubernetesServiceEndpoint"},
	} {
		t.Run(c.id, func(t *testing.T) {
			task, ok := validate.Builtin().Task(c.task, 1)
			if in, found := task.Input(c.name); !ok || !found || in.Name != c.canonical {
				t.Errorf("%s is %+v", c.name, in)
			}
		})
	}
}

// TestHelmResultK023 makes the output variables; one that is too long is dropped.
func TestHelmResultK023(t *testing.T) {
	h := &helmCall{say: func(string) {}}
	h.printing.WriteString("fine\n")
	out, err := h.result(deploy.Release{Project: "shop", Environment: "production", Number: 7}, nil)
	if err != nil || out["helmExitCode"] != "0" || out["helmOutput"] != "fine\n" || out["release"] != "shop/production/7" {
		t.Errorf("%v, %v", out, err)
	}
	h.printing.WriteString(strings.Repeat("x", maxOutput))
	broken := errors.New("broken")
	out, err = h.result(deploy.Release{}, broken)
	if _, there := out["helmOutput"]; there || !errors.Is(err, broken) || out["helmExitCode"] != "1" {
		t.Errorf("%d bytes, %v", len(out["helmOutput"]), err)
	}
}

// TestTracesK040 names the annotations that tell where objects come from.
func TestTracesK040(t *testing.T) {
	got := tasks{url: "http://localhost:7080"}.traces(pipeline.TaskCall{RunName: "20261102.1", Job: identity.JobClaims{Project: "shop", Repo: "shop/web", Run: 7, Job: "Deploy"}})
	for name, want := range map[string]string{
		"run": "20261102.1", "pipeline": `"web"`, "jobName": `"Deploy"`, "runuri": "http://localhost:7080/projects/shop/runs/7", "project": "shop", "org": "http://localhost:7080/",
	} {
		if got["azure-pipelines/"+name] != want {
			t.Errorf("azure-pipelines/%s is %q, want %q", name, got["azure-pipelines/"+name], want)
		}
	}
}

// TestClusterConfig reads service connections to clusters; what would read a file or run a
// program of the server is refused, and no error tells a secret.
func TestClusterConfig(t *testing.T) {
	config := func(user string) string {
		return "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: 'https://edge.example:6443'}}]\nusers: [{name: u, user: " + user + "}]\n"
	}
	for _, c := range []struct {
		name    string
		lent    library.Lent
		token   string
		refused string
	}{
		{"K022 a token", library.Lent{Connection: library.Connection{Type: library.Kubernetes, URL: "https://edge.example"}, Auth: map[string]string{"apiToken": "hidden"}}, "hidden", ""},
		{"K022 a kubeconfig", library.Lent{Connection: library.Connection{Type: library.Kubernetes}, Auth: map[string]string{"kubeconfig": config("{token: hidden}")}}, "hidden", ""},
		{"K022 no credentials", library.Lent{Connection: library.Connection{Type: library.Kubernetes}}, "", "no credentials"},
		{"K022 another type", library.Lent{Connection: library.Connection{Type: library.Generic}}, "", "not kubernetes"},
		{"K022 a program", library.Lent{Connection: library.Connection{Type: library.Kubernetes}, Auth: map[string]string{"kubeconfig": config("{token: hidden, exec: {apiVersion: v1, command: sh}}")}}, "", "runs a program"},
		{"K022 a file", library.Lent{Connection: library.Connection{Type: library.Kubernetes}, Auth: map[string]string{"kubeconfig": config("{tokenFile: /etc/hidden}")}}, "", "names files"},
		{"K022 no kubeconfig", library.Lent{Connection: library.Connection{Type: library.Kubernetes}, Auth: map[string]string{"kubeconfig": "hidden: ["}}, "", "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := clusterConfig(c.lent, nil)
			if c.refused != "" {
				if !strings.Contains(said(err), c.refused) || strings.Contains(said(err), "hidden") {
					t.Errorf("%v, want it refused with %q", said(err), c.refused)
				}
				return
			}
			if err != nil || cfg.BearerToken != c.token {
				t.Errorf("%v, %v", cfg, err)
			}
		})
	}
	ts := tasks{deploy: deploy.New(deploy.Deps{}, deploy.Options{})}
	denied := fault.New(fault.Denied, "no")
	_, err := ts.target(t.Context(), pipeline.TaskCall{Task: "Kubernetes@1", Inputs: map[string]string{"kubernetesServiceEndpoint": "edge"},
		Connection: func(context.Context, string) (library.Lent, error) { return library.Lent{}, denied }})
	if !errors.Is(err, denied) {
		t.Errorf("a connection that may not be used: %v", err)
	}
}

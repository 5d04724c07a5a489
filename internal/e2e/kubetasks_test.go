package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/event"
)

// kubeTasks are steps of the tasks that work on Kubernetes, on the environment that the chart
// was deployed to.
const kubeTasks = `
  - stage: Tasks
    dependsOn: [Image, Production]
    jobs:
      - deployment: Tasks
        environment: production
        strategy:
          runOnce:
            deploy:
              steps:
                - checkout: self
                  fetchDepth: 1
                - task: KubernetesManifest@1
                  name: bake
                  inputs: {action: bake, renderType: kustomize, kustomizationPath: manifests, containers: '%[1]s'}
                - task: KubernetesManifest@1
                  inputs: {ACTION: deploy, manifests: $(bake.manifestsBundle)}
                - task: KubernetesManifest@1
                  inputs: {action: deploy, strategy: canary, percentage: 100, manifests: manifests/app.yaml, containers: '%[1]s'}
                - task: Kubernetes@1
                  name: seen
                  inputs: {command: get, arguments: 'deployments -o name'}
                - bash: echo "copies $(seen.KubectlOutput)" | tr '\n' ' '
                - task: KubernetesManifest@1
                  inputs: {action: promote, strategy: canary, manifests: manifests/app.yaml, containers: '%[1]s'}
                - task: Kubernetes@1
                  inputs: {command: rollout, arguments: status deployment/app-plain, secretName: keys, secretType: generic, secretArguments: --from-literal=a=quite-hidden, configMapName: settings, configMapArguments: --from-literal=mode=on}
                - task: Kubernetes@1
                  inputs: {command: get, arguments: secret keys, outputFormat: yaml}
                - task: Kubernetes@1
                  inputs: {command: describe, arguments: deployment app-plain}
                - task: Kubernetes@1
                  inputs: {command: set, arguments: env deployment/app-plain MODE=on}
                - task: HelmDeploy@1
                  inputs: {connectionType: None, command: ls}
                - task: HelmDeploy@1
                  inputs: {connectionType: None, command: rollback, releaseName: app, arguments: '1'}
`

// TestKubernetesTasksK021_K022_K023_K040_K041_K043 runs Kubernetes@1, HelmDeploy@1 and
// KubernetesManifest@1, with a canary that is promoted, as steps of one deployment.
func TestKubernetesTasksK021_K022_K023_K040_K041_K043(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "tasks")
	if err := os.Mkdir(filepath.Join(p.dir, "manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.write("manifests/app.yaml", fmt.Sprintf(manifest, "-plain", p.registry()+"/tasks/app"))
	p.write("manifests/kustomization.yaml", "resources: [app.yaml]\n")
	run := p.deployed("All of them", p.imageStage(), p.helmStage(p.byDigest()), fmt.Sprintf(kubeTasks, p.byTag()))
	said := p.log(run.Number)
	for _, want := range []string{
		"deployment.apps/app-plain-canary", "deployment.apps/app-plain-baseline", "Policy allows",
		"Deployment app-plain-canary is deleted.", "successfully rolled out", "secret/keys created", "configmap/settings created", "a: '***'",
		"StrategyType:", "deployment/app-plain env updated", "STATUS", "Revision 1 of app is deployed again.",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	if strings.Contains(said, "quite-hidden") || strings.Contains(said, "cXVpdGUtaGlkZGVu") {
		t.Error("the log says what the Secret holds")
	}
	out, err := p.kubectl("-n", p.name, "get", "deployments", "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.annotations.azure-pipelines/run} {end}`)
	if err != nil || !strings.Contains(out, "app-plain "+run.Name) || strings.Contains(out, "-canary") || strings.Contains(out, "-baseline") {
		t.Errorf("deployments %q, %v; the run is %s", out, err, run.Name)
	}
	var changed []event.Event
	if err := p.read(&changed, "log", "list", "--type", event.TypeObjectsChanged, "--project", p.name); err != nil || len(changed) < 3 {
		t.Errorf("the logbook has %d changes beside releases, %v", len(changed), err)
	}
	// The chart, the bundle, the canary, the promotion, the revision deployed again.
	if env := p.environment("production"); len(env.Releases) != 5 || env.Releases[0].Run != run.Number {
		t.Errorf("releases: %+v", env.Releases)
	}
	if t.Failed() {
		t.Log(said)
	}
}

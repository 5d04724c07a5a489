package e2e_test

import (
	"strings"
	"testing"
)

// TestChartsByName packs the chart in one stage, pushes it to the platform's own registry, and
// deploys it from there by its name in another, whose job checks nothing out.
func TestChartsByName(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "byname")
	oci := "oci://$(Towpath.Registry)/byname/charts"
	run := p.deployed("By name", p.imageStage(), `
  - stage: Chart
    jobs:
      - job: Push
        steps:
          - checkout: self
            fetchDepth: 1
          - task: HelmDeploy@1
            inputs: {connectionType: None, command: package, chartPath: chart, destination: $(Build.ArtifactStagingDirectory)}
          - task: HelmDeploy@1
            inputs: {connectionType: None, command: push, arguments: '$(Build.ArtifactStagingDirectory)/app-1.0.0.tgz `+oci+`'}
  - stage: Production
    dependsOn: [Image, Chart]
    jobs:
      - deployment: Production
        environment: production
        variables:
          digest: $[ stageDependencies.Image.Image.outputs['app.digest'] ]
        strategy:
          runOnce:
            deploy:
              steps:
                - task: HelmDeploy@1
                  name: byname
                  inputs:
                    connectionType: None
                    namespace: byname
                    command: upgrade
                    chartType: Name
                    chartName: `+oci+`/app
                    chartVersion: ^1.0.0
                    releaseName: app
                    arguments: --timeout 2m
                    overrideValues: |
                      image=`+p.byDigest()+`
                      host=`+p.host()+`
                - bash: test "$(byname.helmExitCode)" = 0
`)
	p.serves(run.Commit)
	r := p.environment("production").Current
	if r == nil || r.Chart != "app-1.0.0" || r.Run != run.Number {
		t.Errorf("the release is %+v", r)
	}
	if log := p.log(run.Number); !strings.Contains(log, "byname/charts/app") {
		t.Errorf("the log does not say where the chart came from:\n%s", log)
	}
}

// TestAClusterOfAConnection deploys by a service connection, with the rights of its credentials
// alone: a service account that may work in one namespace.
func TestAClusterOfAConnection(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "beyond")
	for _, args := range [][]string{
		{"create", "namespace", "beyond-there"}, {"-n", "beyond-there", "create", "serviceaccount", "deployer"},
		{"-n", "beyond-there", "create", "rolebinding", "deployer", "--clusterrole=admin", "--serviceaccount=beyond-there:deployer"},
	} {
		if out, err := p.kubectl(args...); err != nil {
			t.Fatal(out, err)
		}
	}
	token, err := p.kubectl("-n", "beyond-there", "create", "token", "deployer", "--duration=1h")
	if err != nil {
		t.Fatal(err)
	}
	config, err := p.kubectl("config", "view", "--raw", "--minify", "-o", "jsonpath={.clusters[0].cluster.server} {.clusters[0].cluster.certificate-authority-data}")
	if err != nil {
		t.Fatal(err)
	}
	server, ca, _ := strings.Cut(strings.TrimSpace(config), " ")
	p.push("Begin", "\n  - stage: Nothing\n    jobs: [{job: Nothing, steps: [{bash: echo nothing}]}]\n")
	cmd := p.typed(strings.TrimSpace(token), "connection", "create", "edge", "--type", "kubernetes", "--url", server, "--secret", "apitoken", "--set", "ca="+ca, "--open", "--project", p.name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.write("there.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: there}\ndata: {from: a connection}\n")
	stage := func(namespace string) string {
		return `
  - stage: There
    jobs:
      - deployment: There
        environment: edge
        strategy:
          runOnce:
            deploy:
              steps:
                - checkout: self
                  fetchDepth: 1
                - task: KubernetesManifest@1
                  inputs: {action: deploy, kubernetesServiceConnection: edge, namespace: ` + namespace + `, manifests: there.yaml}
`
	}
	run := p.deployed("There", stage("beyond-there"))
	if out, err := p.kubectl("-n", "beyond-there", "get", "configmap", "there", "-o", "jsonpath={.data.from}"); err != nil || out != "a connection" {
		t.Errorf("what was deployed: %q, %v\n%s", out, err, p.log(run.Number))
	}
	env := p.environment("edge")
	if env.Connection != "edge" || env.Namespace != "beyond-there" || env.Current == nil || env.Current.Run != run.Number {
		t.Errorf("the environment is %+v", env)
	}
	if strings.Contains(p.log(run.Number), strings.TrimSpace(token)) {
		t.Error("the token stands in the log")
	}
	// The credentials may do nothing elsewhere.
	if _, said := p.refused("Elsewhere", strings.Replace(stage("default"), "environment: edge", "environment: elsewhere", 1)); !strings.Contains(said, "forbidden") {
		t.Errorf("the refusal says:\n%s", said)
	}
}

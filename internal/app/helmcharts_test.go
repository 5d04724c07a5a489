package app

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/chart"
	"towpath.dev/towpath/internal/pipeline"
)

// desk runs steps of HelmDeploy@1 without a cluster, with what an agent would keep between them.
type desk struct {
	t     *testing.T
	web   http.RoundTripper
	state map[string]string // inputs that the agent adds
	made  map[string][]byte
	files []deploy.File
	said  string
}

func newDesk(t *testing.T, web http.RoundTripper) *desk {
	t.Helper()
	return &desk{t: t, web: web, state: map[string]string{}, made: map[string][]byte{}}
}

// run runs a command with its arguments.
func (d *desk) run(command, words string, more ...string) error {
	d.t.Helper()
	var sent bytes.Buffer
	w := tar.NewWriter(&sent)
	for _, f := range d.files {
		if err := w.WriteHeader(&tar.Header{Name: f.Name, Size: int64(len(f.Data)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			d.t.Fatal(err)
		}
		if _, err := w.Write(f.Data); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		d.t.Fatal(err)
	}
	in := map[string]string{"command": command, "arguments": words, "repositories": d.state["repositories.yaml"], "logins": d.state["config.json"]}
	for i := 0; i < len(more); i += 2 {
		in[more[i]] = more[i+1]
	}
	ts := tasks{voices: newVoices(), deploy: deploy.New(deploy.Deps{}, deploy.Options{}), web: d.web, host: "localhost:7080"}
	out, err := ts.Run(d.t.Context(), pipeline.TaskCall{Task: "HelmDeploy@1", Inputs: in, Context: &sent, Save: func(name string, data []byte) {
		d.made[name], d.state[name] = data, string(data)
	}}, func(string) {})
	d.said = out["helmOutput"]
	return err
}

// archive makes the archive of a chart.
func archive(t *testing.T, name, version, more string) []byte {
	t.Helper()
	_, data, err := deploy.Package([]deploy.File{
		{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: " + name + "\nversion: " + version + "\n" + more)},
		{Name: "values.yaml", Data: []byte("port: 80\nlabel: x\n")},
		{Name: "templates/service.yaml", Data: []byte("apiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}-{{ .Chart.Name }}, labels: {is: {{ .Values.label | quote }}}}\nspec: {ports: [{port: {{ .Values.port }}}]}\n")},
	}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// shelf is a chart repository that lets one login in.
func shelf(t *testing.T) string {
	t.Helper()
	web := archive(t, "web", "1.2.0", "")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "quite-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/index.yaml":
			_, _ = io.WriteString(w, "apiVersion: v1\nentries: {web: [{name: web, version: 1.2.0, urls: [web-1.2.0.tgz]}]}\n")
		case "/web-1.2.0.tgz":
			_, _ = w.Write(web)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestHelmRepositoriesK023 adds a repository, and renders, shows and pulls a chart of it by its
// name; without it the chart is refused with the next step.
func TestHelmRepositoriesK023(t *testing.T) {
	d := newDesk(t, http.DefaultTransport)
	if err := d.run("template", "shop shelf/web"); !strings.Contains(said(err), "command: repo") {
		t.Errorf("a repository that was not added: %v", said(err))
	}
	if err := d.run("repo", "add shelf "+shelf(t)); !strings.Contains(said(err), "--username") {
		t.Errorf("without its login: %v", said(err))
	}
	if err := d.run("repo", "add shelf "+shelf(t)+" --username ada --password quite-secret"); err != nil || strings.Contains(d.said, "quite-secret") {
		t.Fatalf("%v\n%s", said(err), d.said)
	}
	if err := d.run("repo", "list"); err != nil || !strings.HasPrefix(d.said, "shelf\t") {
		t.Errorf("%v\n%s", said(err), d.said)
	}
	err := d.run("template", "shop --set port=8080 --set-string label=12", "chartName", "shelf/web", "version", "^1.0.0")
	if err != nil || !strings.Contains(d.said, "shop-web") || !strings.Contains(d.said, "port: 8080") || !strings.Contains(d.said, `is: "12"`) {
		t.Errorf("%v\n%s", said(err), d.said)
	}
	if err := d.run("show", "values shelf/web"); err != nil || d.said != "port: 80\nlabel: x\n" {
		t.Errorf("%v\n%s", said(err), d.said)
	}
	if err := d.run("pull", "shelf/web --version 1.2.0 -d charts"); err != nil || len(d.made["web-1.2.0.tgz"]) == 0 {
		t.Errorf("%v\n%v", said(err), d.made)
	}
	d.files = []deploy.File{{Name: "chart/Chart.yaml", Data: []byte("apiVersion: v2\nname: all\nversion: 1.0.0\ndependencies: [{name: web, version: 1.x.x, repository: '@shelf'}]\n")}}
	err = d.run("template", "shop --dependency-update", "chartPath", "chart")
	if err != nil || !strings.Contains(d.said, "shop-web") {
		t.Errorf("%v\n%s", said(err), d.said)
	}
	if err := d.run("dependency", "update", "chartPath", "chart"); err != nil || !bytes.Contains(d.made["files.tar"], []byte("charts/web-1.2.0.tgz")) {
		t.Errorf("%v", said(err))
	}
	if err := d.run("repo", "remove shelf"); err != nil || strings.Contains(d.state["repositories.yaml"], "shelf") {
		t.Errorf("%v\n%s", said(err), d.state["repositories.yaml"])
	}
}

// TestHelmCreateK023 makes a new chart that lints.
func TestHelmCreateK023(t *testing.T) {
	d := newDesk(t, nil)
	if err := d.run("create", "charts/web"); err != nil || !bytes.Contains(d.made["files.tar"], []byte("charts/web/Chart.yaml")) {
		t.Fatalf("%v", said(err))
	}
	all, err := files(bytes.NewReader(d.made["files.tar"]))
	if err != nil {
		t.Fatal(err)
	}
	d.files = all
	if err := d.run("lint", "", "chartPath", "charts/web"); err != nil {
		t.Errorf("%v\n%s", said(err), d.said)
	}
	if err := d.run("create", "../Web!"); err == nil {
		t.Error("a name that is none")
	}
}

// TestHelmRegistryLoginK023 keeps the login of a registry that lets it in, and no other.
func TestHelmRegistryLoginK023(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "quite-secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	d := newDesk(t, http.DefaultTransport)
	if err := d.run("registry", "login "+host+" -u ada -p wrong --plain-http"); err == nil || d.state["config.json"] != "" {
		t.Errorf("a wrong password: %v, %s", said(err), d.state["config.json"])
	}
	if err := d.run("registry", "login "+host+" -u ada --password-stdin"); !strings.Contains(said(err), "--password-stdin") {
		t.Errorf("a password that nobody types: %v", said(err))
	}
	if err := d.run("registry", "login "+host+" -u ada -p quite-secret --plain-http"); err != nil || strings.Contains(d.said, "quite-secret") {
		t.Fatalf("%v\n%s", said(err), d.said)
	}
	got, err := chart.ReadLogins(d.state["config.json"])
	if err != nil || got[host].Password != "quite-secret" {
		t.Errorf("%v, %v", got, err)
	}
	if err := d.run("registry", "logout "+host); err != nil {
		t.Error(said(err))
	}
	if got, err := chart.ReadLogins(d.state["config.json"]); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if err := d.run("registry", "login localhost:7080"); err != nil || !strings.Contains(d.said, "by its identity") {
		t.Errorf("%v\n%s", said(err), d.said)
	}
}

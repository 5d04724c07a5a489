package app

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/chart"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
)

// noAzureCharts refuses the inputs that take charts from an Azure Container Registry.
func noAzureCharts(in map[string]string) error {
	if strings.TrimSpace(in["azureSubscriptionEndpointForACR"]) == "" && strings.TrimSpace(in["azureContainerRegistry"]) == "" {
		return nil
	}
	return fault.New(fault.Invalid, "HelmDeploy@1 cannot reach an Azure Container Registry by azureSubscriptionForACR: there is no Azure here.").
		WithNext("use command: registry, arguments: login HOST --username NAME --password $(SECRET), and oci://HOST/PATH")
}

// ownCharts is Towpath's own registry, with the rights of a job.
type ownCharts struct {
	registry *registry.Service
	actor    identity.Actor
}

var _ chart.Registry = ownCharts{}

// Tags lists the tags of a repository.
func (o ownCharts) Tags(ctx context.Context, repository string) ([]string, error) {
	var out []string
	for last := ""; ; last = out[len(out)-1] {
		page, more, err := o.registry.Tags(ctx, o.actor, repository, last, registry.MaxPage)
		if err != nil {
			return nil, err
		}
		if out = append(out, page...); !more || len(page) == 0 {
			return out, nil
		}
	}
}

// Manifest returns a manifest by its tag or digest.
func (o ownCharts) Manifest(ctx context.Context, repository, reference string) ([]byte, error) {
	_, text, err := o.registry.ManifestBytes(ctx, o.actor, repository, reference)
	return text, err
}

// Blob returns a blob.
func (o ownCharts) Blob(ctx context.Context, repository, digest string, most int64) ([]byte, error) {
	return o.registry.BlobBytes(ctx, o.actor, repository, digest, most)
}

// PutBlob keeps a blob.
func (o ownCharts) PutBlob(ctx context.Context, repository, digest string, data []byte) error {
	_, err := o.registry.PutBlob(ctx, o.actor, repository, digest, bytes.NewReader(data))
	return err
}

// PutManifest keeps a manifest under a tag.
func (o ownCharts) PutManifest(ctx context.Context, repository, tag string, manifest []byte) (string, error) {
	got, err := o.registry.PutManifest(ctx, o.actor, repository, tag, chart.TypeManifest, manifest)
	return got.Digest, err
}

// want is what opens repositories and registries for this call: what the job added and where it
// signed in before, and the options of this command.
func (h *helmCall) want() (chart.Want, error) {
	w := chart.Want{
		Ref: h.ref, Version: strings.TrimSpace(h.in["version"]), Devel: h.args.on("devel"), Repo: h.args.option("repo"), Plain: h.args.on("plain-http"),
		Auth: chart.Login{Username: h.args.option("username"), Password: h.args.option("password")},
	}
	if v := h.args.option("version"); v != "" {
		w.Version = v
	}
	var err error
	if w.Repositories, err = chart.ReadRepositories(h.in["repositories"]); err != nil {
		return w, err
	}
	w.Logins, err = chart.ReadLogins(h.in["logins"])
	return w, err
}

// fetch gets the chart by its name, where its files did not come with the call, and what it
// depends on when that is asked for.
func (h *helmCall) fetch(ctx context.Context) error {
	if h.chart.Files == nil {
		got, err := h.find(ctx)
		if err != nil {
			return err
		}
		if h.chart.Files, err = deploy.Unpack(got.Archive); err != nil {
			return err
		}
	}
	if truth(h.in["updatedependency"], false) || h.args.on("dependency-update") {
		return h.depend(ctx, false)
	}
	return nil
}

// find fetches the archive of the chart that is named.
func (h *helmCall) find(ctx context.Context) (chart.Chart, error) {
	if h.ref == "" {
		return chart.Chart{}, fault.New(fault.Invalid, "HelmDeploy@1 needs a chart.").
			WithNext("write chartType: Name with chartName, or chartType: FilePath with chartPath")
	}
	w, err := h.want()
	if err != nil {
		return chart.Chart{}, err
	}
	got, err := h.charts.Fetch(ctx, w)
	if err == nil {
		h.say(fmt.Sprintf("Fetched the chart %s from %s (%s).", strings.TrimSuffix(got.Name, ".tgz"), got.From, got.Digest))
	}
	return got, err
}

// pull keeps the archive of a chart.
func (h *helmCall) pull(ctx context.Context) (deploy.Release, error) {
	got, err := h.find(ctx)
	if err != nil {
		return deploy.Release{}, err
	}
	name, err := archiveName(got.Archive)
	if err == nil {
		h.call.Save(name, got.Archive)
	}
	return deploy.Release{}, err
}

// archiveName is what Helm calls the archive of a chart.
func archiveName(archive []byte) (string, error) {
	list, err := deploy.Unpack(archive)
	if err != nil {
		return "", err
	}
	name, version, _, err := deploy.Inspect(list)
	return name + "-" + version + ".tgz", err
}

// push puts the archive of a chart into a registry.
func (h *helmCall) push(ctx context.Context) (deploy.Release, error) {
	to := strings.TrimSpace(h.in["remoteRepo"])
	if n := len(h.args.words); n > 0 {
		to = h.args.words[n-1]
	}
	at := slices.IndexFunc(h.files, func(f deploy.File) bool { return f.Name == path.Clean(h.in["chartPath"]) })
	switch {
	case at < 0:
		return deploy.Release{}, fault.New(fault.Invalid, "The command push needs the archive of a chart.").WithNext("write arguments: NAME-VERSION.tgz oci://HOST/PATH, with what package made")
	case !strings.HasPrefix(to, "oci://"):
		return deploy.Release{}, fault.New(fault.Invalid, "The command push goes to an OCI registry.").WithNext("write arguments: NAME-VERSION.tgz oci://HOST/PATH")
	}
	name, version, config, err := deploy.Inspect(h.chart.Files)
	if err != nil {
		return deploy.Release{}, err
	}
	w, err := h.want()
	if err != nil {
		return deploy.Release{}, err
	}
	got, err := h.charts.Push(ctx, chart.Push{To: to, Name: name, Version: version, Config: config, Archive: h.files[at].Data, Plain: w.Plain, Logins: w.Logins})
	if err == nil {
		h.print(fmt.Sprintf("Pushed: %s\nDigest: %s\n", got.Ref, got.Digest))
	}
	return deploy.Release{}, err
}

// show prints files of a chart.
func (h *helmCall) show(ctx context.Context) (deploy.Release, error) {
	if err := h.fetch(ctx); err != nil {
		return deploy.Release{}, err
	}
	what := "all"
	if len(h.args.words) > 0 {
		what = h.args.words[0]
	}
	shown := map[string][]string{"chart": {"Chart.yaml"}, "values": {"values.yaml"}, "readme": {"README.md"}, "all": {"Chart.yaml", "values.yaml", "README.md"}}[what]
	if shown == nil {
		return deploy.Release{}, fault.New(fault.Invalid, "helm show has no %q.", what).WithNext("use chart, values, readme or all")
	}
	for i, name := range shown {
		at := slices.IndexFunc(h.chart.Files, func(f deploy.File) bool { return strings.EqualFold(f.Name, name) })
		if at < 0 {
			continue
		}
		if i > 0 {
			h.print("---\n")
		}
		h.print(strings.TrimRight(string(h.chart.Files[at].Data), "\n") + "\n")
	}
	return deploy.Release{}, nil
}

// create makes a new chart in the sources.
func (h *helmCall) create(context.Context) (deploy.Release, error) {
	name := strings.TrimSpace(h.in["chartName"])
	if len(h.args.words) > 0 {
		name = h.args.words[0]
	}
	if name == "" {
		return deploy.Release{}, fault.New(fault.Invalid, "helm create needs the name of a chart.").WithNext("set chartName, or write the name into arguments")
	}
	list, err := deploy.Create(path.Base(name))
	if err != nil {
		return deploy.Release{}, err
	}
	for i := range list {
		list[i].Name = path.Join(path.Dir(name), list[i].Name)
	}
	return deploy.Release{}, h.give(list, "Creating "+name+"\n")
}

// give hands files to the agent, which puts them where the command has them.
func (h *helmCall) give(list []deploy.File, text string) error {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range list {
		if err := w.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Data)), Typeflag: tar.TypeReg}); err != nil {
			return fmt.Errorf("packing %s: %w", f.Name, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return fmt.Errorf("packing %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("packing the files of a chart: %w", err)
	}
	h.call.Save("files.tar", out.Bytes())
	h.print(text)
	return nil
}

// dependency fetches what the chart of a folder needs into its folder charts.
func (h *helmCall) dependency(ctx context.Context) (deploy.Release, error) {
	what := ""
	if len(h.args.words) > 0 {
		what = h.args.words[0]
	}
	if what != "build" && what != "update" && what != "up" || h.chart.Files == nil {
		return deploy.Release{}, fault.New(fault.Invalid, "helm dependency %s of HelmDeploy@1 is not supported.", what).WithNext("write arguments: build FOLDER, or update FOLDER")
	}
	if err := h.depend(ctx, what == "build"); err != nil {
		return deploy.Release{}, err
	}
	fetched := slices.DeleteFunc(slices.Clone(h.chart.Files), func(f deploy.File) bool { return !h.fetched[f.Name] })
	return deploy.Release{}, h.give(fetched, fmt.Sprintf("Charts fetched into the folder charts: %d\n", len(fetched)))
}

// depend fetches what the chart needs into its files; the versions are those of Chart.lock when
// locked says so. What lies in its folder charts already, as a folder, stays.
func (h *helmCall) depend(ctx context.Context, locked bool) error {
	content := func(names ...string) []byte {
		for _, f := range h.chart.Files {
			if slices.Contains(names, f.Name) && len(f.Data) > 0 {
				return f.Data
			}
		}
		return nil
	}
	file, lock := content("Chart.yaml"), []byte(nil)
	if old := content("requirements.yaml"); old != nil {
		file = old
	}
	if locked {
		lock = content("Chart.lock", "requirements.lock")
	}
	needed, err := chart.Dependencies(file, lock)
	if err != nil {
		return err
	}
	w, err := h.want()
	if err != nil {
		return err
	}
	h.fetched = map[string]bool{}
	for _, d := range needed {
		if slices.ContainsFunc(h.chart.Files, func(f deploy.File) bool { return strings.HasPrefix(f.Name, "charts/"+d.Name+"/") }) {
			continue
		}
		got, ok, err := h.charts.Depend(ctx, w, d)
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.Invalid, "The chart needs %s from %q, which is no repository.", d.Name, d.Repository).WithNext("put it into the folder charts, as charts/%s", d.Name)
		}
		name, err := archiveName(got.Archive)
		if err != nil {
			return err
		}
		h.chart.Files = slices.DeleteFunc(h.chart.Files, func(f deploy.File) bool { return f.Name == "charts/"+name })
		h.chart.Files, h.fetched["charts/"+name] = append(h.chart.Files, deploy.File{Name: "charts/" + name, Data: got.Archive}), true
		h.say(fmt.Sprintf("Fetched the dependency %s from %s (%s).", strings.TrimSuffix(name, ".tgz"), got.From, got.Digest))
	}
	return nil
}

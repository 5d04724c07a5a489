package webtest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/registry/supply/provenance"
	"towpath.dev/towpath/internal/registry/supply/sbom"
	"towpath.dev/towpath/internal/registry/supply/scan"
	"towpath.dev/towpath/internal/web"
)

// Registry is the fixture's images.
type Registry struct{ f *Fixture }

func digest(n int) string {
	if n == 0 {
		return Digest
	}
	return "sha256:" + strings.Repeat(fmt.Sprintf("%02x7f", n), 16)
}

// Images lists four.
func (g Registry) Images(ctx context.Context, a identity.Actor, project string) ([]registry.Image, error) {
	if err := g.f.Require(ctx, a, project, identity.Read); err != nil || g.f.Empty {
		return nil, err
	}
	var out []registry.Image
	for i, name := range []string{"shop/cart", "shop/web", "shop/pricing", "shop/catalog"} {
		out = append(out, registry.Image{
			Manifest: registry.Manifest{Repository: name, Digest: digest(i), MediaType: "application/vnd.oci.image.manifest.v1+json", Kind: registry.KindImage, Bytes: 8_500_000 + int64(i)*1_200_000, Pushed: Now.Add(-time.Duration(6+i) * time.Minute), Pusher: "run:2041", Run: 2041},
			Tags:     []string{"2041", "main"},
		})
	}
	return out, nil
}

// Image returns one of them with layers and referrers.
func (g Registry) Image(ctx context.Context, a identity.Actor, repository, reference string) (registry.Image, error) {
	list, err := g.Images(ctx, a, strings.Split(repository, "/")[0])
	if err != nil {
		return registry.Image{}, err
	}
	for _, i := range list {
		if i.Repository == repository && (i.Digest == reference || reference == "main" || reference == "latest") {
			i.Platforms = []registry.Platforms{{Platform: registry.Platform{OS: "linux", Architecture: "amd64"}, Digest: i.Digest, Bytes: i.Bytes}}
			i.Layers = []registry.Descriptor{{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: digest(11), Size: 2_100_000}, {MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: digest(12), Size: 6_400_000}}
			i.Config = registry.Config{User: "65532", Entrypoint: []string{"/cart"}, ExposedPorts: []string{"8080/tcp"}}
			i.Referrers = []registry.Manifest{
				{Digest: digest(21), ArtifactType: "application/spdx+json", Bytes: 18_000, Pushed: Now.Add(-5 * time.Minute)},
				{Digest: digest(22), ArtifactType: "application/vnd.cncf.notary.signature", Bytes: 2_000, Pushed: Now.Add(-5 * time.Minute)},
			}
			return i, nil
		}
	}
	return registry.Image{}, fault.New(fault.NotFound, "There is no image %s in %s.", reference, repository)
}

// Supply is what is known about the fixture's images.
type Supply struct{ f *Fixture }

// Verdicts judges all but the last image.
func (s Supply) Verdicts(_ context.Context, images []string) (map[string]scan.Verdict, error) {
	out := map[string]scan.Verdict{}
	for i, d := range images[:max(len(images)-1, 0)] {
		out[d] = scan.Verdict{Scan: "01", Image: d, Time: Now, Packages: 41, High: i % 2, Medium: 2, Advisories: Now.Add(-48 * time.Hour)}
	}
	return out, nil
}

// Report tells of two findings.
func (s Supply) Report(ctx context.Context, a identity.Actor, repository, image string) (supply.Report, error) {
	if err := s.f.Require(ctx, a, strings.Split(repository, "/")[0], identity.Read); err != nil {
		return supply.Report{}, err
	}
	st := &provenance.Statement{}
	st.Predicate.RunDetails.Builder.ID = "http://localhost:7080"
	st.Predicate.RunDetails.Metadata.StartedOn = Now.Add(-6 * time.Minute)
	st.Predicate.BuildDefinition.ResolvedDependencies = []provenance.Dependency{{URI: "git+http://localhost:7080/shop/shop.git@refs/heads/main", Digest: map[string]string{"gitCommit": Newest}}}
	r := supply.Report{
		Repository: repository, Image: image, Pushed: Now.Add(-6 * time.Minute), Run: 2041, Scanned: true,
		Verdict: scan.Verdict{Scan: "01", Image: image, Time: Now.Add(-5 * time.Minute), Status: "findings", High: 1, Medium: 1, Packages: 41, Advisories: Now.Add(-48 * time.Hour)},
		Findings: []scan.Finding{
			{Advisory: "GO-2025-3595", Aliases: []string{"CVE-2025-22872"}, Severity: advisory.High, Score: 7.5, Summary: "Incorrect neutralization of input during web page generation in x/net <b>", Ecosystem: "Go", Package: "golang.org/x/net", Version: "0.33.0", Fixed: "0.38.0", PURL: "pkg:golang/golang.org/x/net@0.33.0", Path: "cart"},
			{Advisory: "GO-2025-3503", Severity: advisory.Medium, Summary: "HTTP Proxy bypass using IPv6 Zone IDs", Ecosystem: "Go", Package: "golang.org/x/net", Version: "0.33.0", Fixed: "0.36.0", PURL: "pkg:golang/golang.org/x/net@0.33.0", Path: "cart"},
		},
		Signatures: []supply.Signature{{Digest: digest(22), Verified: true, Identity: "run/2041 of shop/shop", Time: Now.Add(-5 * time.Minute)}},
		Provenance: &supply.Provenance{Digest: digest(23), Verified: true, Statement: st},
	}
	for i := range 41 {
		r.Packages = append(r.Packages, sbom.Package{Type: "golang", Ecosystem: "Go", Name: fmt.Sprintf("example.org/module%02d", i), Version: fmt.Sprintf("v1.%d.0", i), PURL: "pkg:golang/x", Path: "cart", Layer: digest(12)})
	}
	return r, nil
}

// Advisories tells of two ecosystems.
func (s Supply) Advisories(context.Context, identity.Actor) ([]advisory.Coverage, error) {
	return []advisory.Coverage{
		{Source: "built-in", Ecosystem: "Go", Entries: 4821, Date: Now.Add(-48 * time.Hour), Loaded: Now.Add(-26 * time.Hour)},
		{Source: "https://osv-vulnerabilities.storage.googleapis.com/Debian/all.zip", Ecosystem: "Debian:12", Entries: 39012, Date: Now.Add(-50 * time.Hour), Loaded: Now.Add(-26 * time.Hour)},
	}, nil
}

// Deploy is the fixture's environments.
type Deploy struct{ f *Fixture }

func releases(env string) []deploy.Release {
	r := func(n int64, result, why, hash string, ago time.Duration) deploy.Release {
		rel := deploy.Release{
			Project: "shop", Environment: env, Number: n, Namespace: "shop-" + env, Name: "shop", Chart: "shop-0.3.0", Revision: int(n), Run: 1993 + n, Commit: hash, Actor: fmt.Sprintf("run:%d", 1993+n), Requester: "ada",
			Images: []string{"localhost:7080/shop/cart@" + digest(0), "localhost:7080/shop/web@" + digest(1)}, Hosts: []string{"http://shop.localhost:7480"}, Result: result, Why: why, Started: Now.Add(-ago), Finished: Now.Add(-ago + 8*time.Second),
		}
		if result == deploy.Started {
			rel.Finished = time.Time{}
		}
		for i := range 4 {
			rel.Pods = append(rel.Pods, deploy.Pod{UID: fmt.Sprintf("1d2f%04d-77aa-4c1e-9b1e-0123456789ab", i), Name: []string{"cart", "web", "pricing", "catalog"}[i] + "-6c54b7d9f-x2k4q", Images: []string{digest(i)}, Ready: i != 3 || result == deploy.Deployed, Since: Now.Add(-ago)})
		}
		return rel
	}
	return []deploy.Release{
		r(48, deploy.Started, "", Newest, 40*time.Second), r(47, deploy.RolledBack, "pod web-6c54b7d9f-x2k4q is not ready: back-off restarting failed container", Second, 50*time.Minute),
		r(46, deploy.Deployed, "", Fourth, 5*time.Hour), r(45, deploy.Deployed, "", Third, 25*time.Hour),
	}
}

// Environments lists two, and a review app.
func (d Deploy) Environments(ctx context.Context, a identity.Actor, project string) ([]deploy.Environment, error) {
	if err := d.f.Require(ctx, a, project, identity.Read); err != nil || d.f.Empty {
		return nil, err
	}
	prod, _ := d.Environment(ctx, a, project, "production")
	staging, _ := d.Environment(ctx, a, project, "staging")
	review, _ := d.Environment(ctx, a, project, "staging.web-pr-7")
	return []deploy.Environment{prod, staging, review}, nil
}

// Environment returns production, staging, to which nothing was deployed, or its review app; any other name
// is not there.
func (d Deploy) Environment(ctx context.Context, a identity.Actor, project, name string) (deploy.Environment, error) {
	if err := d.f.Require(ctx, a, project, identity.Read); err != nil {
		return deploy.Environment{}, err
	}
	if name == "staging" && !d.f.Empty {
		return deploy.Environment{
			Project: "shop", Name: name, Namespace: "shop-staging", Created: Now.Add(-80 * 24 * time.Hour),
			Settings: deploy.Settings{Routing: deploy.On, Sessions: deploy.Allowed, Drift: deploy.Enforce, ReviewApps: deploy.On},
		}, nil
	}
	if name == "staging.web-pr-7" && !d.f.Empty {
		r := releases(name)[2]
		r.Namespace, r.Hosts = "shop-staging-web-pr-7", []string{"http://pr-7.shop.localhost:7480"}
		return deploy.Environment{
			Project: "shop", Name: name, Namespace: "shop-staging-web-pr-7", Created: Now.Add(-4 * time.Hour), Current: &r, Latest: &r,
			Review:   &deploy.Review{Base: "staging", Repo: "shop/shop", Pull: 7},
			Settings: deploy.Settings{Routing: deploy.Off, Sessions: deploy.Allowed, Drift: deploy.Off, ReviewApps: deploy.Off},
		}, nil
	}
	if name != "production" {
		return deploy.Environment{}, fault.New(fault.NotFound, "Project %s has no environment %s.", project, name).WithNext("list them with `towpath env list --project %s`", project)
	}
	list := releases(name)
	return deploy.Environment{
		Project: project, Name: name, Namespace: "shop-production", Created: Now.Add(-80 * 24 * time.Hour), Current: &list[2], Latest: &list[0],
		Settings: deploy.Settings{Routing: deploy.On, Sessions: deploy.Forbidden, Drift: deploy.Warn, ReviewApps: deploy.Off, Strategy: &canary.Strategy{Steps: canarySteps(), MinSamples: 100}},
		Drifted: []deploy.Drift{
			{Release: "shop/production/46", Object: "Deployment shop-production/cart", Fields: []string{"spec.replicas", "spec.template.spec.containers[cart].image"}, Manager: "kubectl-edit", Found: Now.Add(-3 * time.Minute)},
			{Release: "shop/production/46", Object: "ConfigMap shop-production/prices", Fields: []string{"deleted"}, Why: "<script> is not allowed", Found: Now.Add(-9 * time.Minute)},
		},
	}, nil
}

// Releases lists those of an environment.
func (d Deploy) Releases(ctx context.Context, a identity.Actor, project, env string, _ int) ([]deploy.Release, error) {
	return releases(env), d.f.Require(ctx, a, project, identity.Read)
}

// Release returns one of them.
func (d Deploy) Release(ctx context.Context, a identity.Actor, project, env string, number int64) (deploy.Release, error) {
	for _, r := range releases(env) {
		if r.Number == number {
			return r, d.f.Require(ctx, a, project, identity.Read)
		}
	}
	return deploy.Release{}, fault.New(fault.NotFound, "There is no release %s/%s/%d.", project, env, number)
}

// Deps are the fixture's services for web.New.
func (f *Fixture) Deps() web.Deps {
	return web.Deps{
		Identity: identityTokens{f}, Source: Source{f}, Pipeline: Pipeline{f}, Definitions: Pipeline{f}, Pools: Pools{f}, Retention: Pipeline{f}, Tests: Pipeline{f}, Checks: Checks{f}, Library: Library{f}, Registry: Registry{f}, Supply: Supply{f}, Deploy: Deploy{f},
		Evidence: Evidence{f}, Cluster: Cluster{}, Log: Logbook{f}, Clock: clock.Fixed(Now, 0), Pulls: Pulls{f}, Rulesets: Rulesets{f}, Protection: Protection{f}, Policy: Policy{f}, Compliance: Compliance{f}, Enforcement: Enforcement{},
		Monitor: Monitor{f}, Alerts: Alerts{f}, Insight: Insight{f}, Work: Work{f}, Signals: Signals{f}, Dev: Dev{f}, Dora: Dora{f},
	}
}

package chart

import (
	"context"
	"strings"

	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
)

// Dependency is a chart that another one needs.
type Dependency struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Repository string `json:"repository"`
}

// maxDependencies bounds how many charts one may need.
const maxDependencies = 100

// Dependencies reads what a chart needs from its Chart.yaml (its requirements.yaml, for charts
// of apiVersion v1). With a Chart.lock the versions are those that it says.
func Dependencies(file, lock []byte) ([]Dependency, error) {
	var want, held struct {
		Dependencies []Dependency `json:"dependencies"`
	}
	if err := yaml.Unmarshal(file, &want); err != nil {
		return nil, fault.New(fault.Invalid, "The Chart.yaml of the chart cannot be read.")
	}
	if err := yaml.Unmarshal(lock, &held); err != nil {
		return nil, fault.New(fault.Invalid, "The Chart.lock of the chart cannot be read.")
	}
	if len(want.Dependencies) > maxDependencies {
		return nil, fault.New(fault.TooLarge, "The chart needs more than %d others.", maxDependencies)
	}
	if len(lock) == 0 {
		return want.Dependencies, nil
	}
	if len(want.Dependencies) != len(held.Dependencies) {
		return nil, stale()
	}
	for i, d := range want.Dependencies {
		if h := held.Dependencies[i]; h.Name == d.Name {
			want.Dependencies[i].Version = h.Version
			continue
		}
		return nil, stale()
	}
	return want.Dependencies, nil
}

func stale() error {
	return fault.New(fault.Conflict, "The Chart.lock of the chart is out of step with its Chart.yaml.").WithNext("run helm dependency update and commit Chart.lock")
}

// Depend fetches a dependency; base says what opens repositories and registries. Dependencies
// that are in folders of the workspace ("file://…", or no repository) are not fetched: ok is
// false.
func (c *Client) Depend(ctx context.Context, base Want, d Dependency) (got Chart, ok bool, err error) {
	w := Want{Ref: d.Name, Version: d.Version, Plain: base.Plain, Repositories: base.Repositories, Logins: base.Logins}
	switch at := d.Repository; {
	case at == "" || strings.HasPrefix(at, "file://"):
		return Chart{}, false, nil
	case strings.HasPrefix(at, "oci://"):
		w.Ref = strings.TrimSuffix(at, "/") + "/" + d.Name
	case strings.HasPrefix(at, "@"), strings.HasPrefix(at, "alias:"):
		w.Ref = strings.TrimPrefix(strings.TrimPrefix(at, "@"), "alias:") + "/" + d.Name
	default:
		w.Repo = at
		for _, r := range base.Repositories {
			if strings.TrimSuffix(r.URL, "/") == strings.TrimSuffix(at, "/") {
				w.Auth = Login{r.Username, r.Password}
			}
		}
	}
	got, err = c.Fetch(ctx, w)
	return got, err == nil, err
}

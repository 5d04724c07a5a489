package deploy

import (
	"context"
	"maps"
	"slices"

	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Values returns the values that the newest revision of a Helm release in an environment
// was given, over those of its chart; fault.NotFound when there is none. They may hold
// secrets, so the actor needs the role maintain.
func (s *Service) Values(ctx context.Context, a identity.Actor, project, env, release string) (map[string]any, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return nil, err
	}
	e, err := s.Environment(ctx, a, project, env)
	if err != nil {
		return nil, err
	}
	if err := s.here(e); err != nil {
		return nil, err
	}
	cfg, err := s.Clusters.Admin(ctx)
	if err != nil {
		return nil, err
	}
	acc, err := newAccess(cfg, e.Namespace)
	if err != nil {
		return nil, err
	}
	h, err := newHelm(acc)
	if err != nil {
		return nil, err
	}
	rel, err := h.last(release)
	if err != nil {
		return nil, err
	}
	if rel == nil {
		return nil, fault.New(fault.NotFound, "There is no release %s in environment %s.", release, env)
	}
	return rel.Config, nil
}

// Overrides are values that are set one by one, in the forms that helm has beside --set.
type Overrides struct {
	SetJSON    []string // --set-json, before Chart.Set
	SetString  []string // --set-string
	SetFile    []string // --set-file: "key=FILE", FILE a name in Given
	SetLiteral []string // --set-literal
	Given      []File   // what SetFile names
}

// values are those that the chart is given, over its own: files first, then what is set, in the
// order in which helm does it.
func (c Chart) values() (map[string]any, error) {
	out := map[string]any{}
	for _, f := range c.Values {
		var v map[string]any
		if err := yaml.Unmarshal(f, &v); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "A values file is no valid YAML: %v.", err)
		}
		overlay(out, v)
	}
	content := func(name []rune) (any, error) {
		i := slices.IndexFunc(c.Given, func(f File) bool { return f.Name == string(name) })
		if i < 0 {
			return nil, fault.New(fault.NotFound, "The file %s is not there.", string(name))
		}
		return string(c.Given[i].Data), nil
	}
	for _, way := range []struct {
		name string
		set  []string
		read func(string, map[string]any) error
	}{
		{"--set-json", c.SetJSON, strvals.ParseJSON},
		{"overrideValues", c.Set, strvals.ParseInto},
		{"--set-string", c.SetString, strvals.ParseIntoString},
		{"--set-file", c.SetFile, func(s string, into map[string]any) error { return strvals.ParseIntoFile(s, into, content) }},
		{"--set-literal", c.SetLiteral, strvals.ParseLiteralInto},
	} {
		for _, s := range way.set {
			if err := way.read(s, out); err != nil {
				return nil, fault.Wrap(fault.Invalid, err, "%s cannot be read: %v.", way.name, err).WithNext("write them as key=value, separated by commas or lines")
			}
		}
	}
	return out, nil
}

// overlay puts src over dst, map by map.
func overlay(dst, src map[string]any) {
	for k, v := range src {
		a, aok := dst[k].(map[string]any)
		b, bok := v.(map[string]any)
		if aok && bok {
			merged := maps.Clone(a)
			overlay(merged, b)
			v = merged
		}
		dst[k] = v
	}
}

package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/deploy/route"
)

// workload is a Deployment that is tried.
type workload struct {
	Name     string   `json:"name"`
	Replicas int      `json:"replicas"` // of the stable track, as its manifest says
	Services []string `json:"services"` // routed ones that select it
}

// trialPlan is what a canary adds to the namespace.
type trialPlan struct {
	workloads  []workload
	services   []string
	configs    []map[string]any // copies of ConfigMaps and Secrets
	objects    []map[string]any // Deployments and Services of canary and baseline
	unmeasured []string         // Deployments that change and that no routed Service selects
}

// planTrial compares what lives with what is to come, both as Helm applies them on a routed
// environment, and makes the objects of a canary whose share is weight.
func planTrial(live, next []map[string]any, weight int) (trialPlan, error) {
	var p trialPlan
	liveBy := byKind(live)
	stable := map[string]map[string]any{} // Services of the stable track, by the service's name
	for _, o := range next {
		if kindOf(o) == "Service" && mapOf(mapOf(o, "metadata"), "labels")[route.Label] == route.Stable {
			stable[nameOf(o)[:len(nameOf(o))-len("-"+route.Stable)]] = o
		}
	}
	copies, configs, err := configCopies(liveBy, next)
	if err != nil {
		return p, err
	}
	used := map[string]bool{}
	for _, o := range next {
		if kindOf(o) != "Deployment" {
			continue
		}
		before := liveBy[object{"Deployment", nameOf(o)}]
		if before == nil {
			continue // nothing to compare with: it comes when the release is promoted
		}
		changed, refers := differs(before, o, copies)
		if !changed {
			continue
		}
		services := selecting(stable, o)
		if len(services) == 0 {
			p.unmeasured = append(p.unmeasured, nameOf(o))
			continue
		}
		for _, k := range refers {
			used[k] = true
		}
		w := workload{Name: nameOf(o), Replicas: replicasOf(before), Services: services}
		n := canary.Replicas(w.Replicas, weight)
		try, err := trackDeployment(o, route.Canary, n, copies)
		if err != nil {
			return p, err
		}
		base, err := trackDeployment(before, route.Baseline, n, nil)
		if err != nil {
			return p, err
		}
		p.objects = append(p.objects, try, base)
		p.workloads = append(p.workloads, w)
		for _, name := range services {
			if !slices.Contains(p.services, name) {
				p.services = append(p.services, name)
			}
		}
	}
	slices.Sort(p.services)
	for _, name := range p.services {
		for _, track := range []string{route.Baseline, route.Canary} {
			p.objects = append(p.objects, trackServiceOf(stable[name], name, track))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(configs)) {
		if used[key] {
			p.configs = append(p.configs, configs[key])
		}
	}
	return p, nil
}

func byKind(list []map[string]any) map[object]map[string]any {
	out := map[object]map[string]any{}
	for _, o := range list {
		out[object{kindOf(o), nameOf(o)}] = o
	}
	return out
}

func replicasOf(deployment map[string]any) int {
	if v, ok := mapOf(deployment, "spec")["replicas"]; ok {
		return number(v)
	}
	return 1
}

// selecting lists the routed services that select the pods of a Deployment.
func selecting(stable map[string]map[string]any, deployment map[string]any) []string {
	var out []string
	for name, s := range stable {
		if len(selected([]map[string]any{deployment}, s)) == 1 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// configCopies makes a copy, under a name that its content decides, of each ConfigMap and
// Secret that is new or changes: only the canary refers to it, so that its configuration
// cannot reach the pods that serve. copies maps "Kind/name" to the copy's name.
func configCopies(live map[object]map[string]any, next []map[string]any) (copies map[string]string, objects map[string]map[string]any, err error) {
	copies, objects = map[string]string{}, map[string]map[string]any{}
	for _, o := range next {
		kind := kindOf(o)
		if kind != "ConfigMap" && kind != "Secret" {
			continue
		}
		before := live[object{kind, nameOf(o)}]
		content := contentOf(o)
		if before != nil && reflect.DeepEqual(contentOf(before), content) {
			continue
		}
		raw, err := json.Marshal(content)
		if err != nil {
			return nil, nil, fmt.Errorf("hashing %s %s: %w", kind, nameOf(o), err)
		}
		sum := sha256.Sum256(raw)
		name := clipName(nameOf(o), 240) + "-canary-" + hex.EncodeToString(sum[:5])
		c := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": trackMeta(o, name, route.Canary)}
		maps.Copy(c, content)
		copies[kind+"/"+nameOf(o)], objects[kind+"/"+nameOf(o)] = name, c
	}
	return copies, objects, nil
}

// contentOf is what a ConfigMap or Secret holds.
func contentOf(o map[string]any) map[string]any {
	out := map[string]any{}
	for _, k := range []string{"data", "binaryData", "stringData", "type", "immutable"} {
		if v, ok := o[k]; ok {
			out[k] = v
		}
	}
	return out
}

// clipName shortens a name to at most n characters.
func clipName(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// trackMeta is the metadata of an object that a canary adds: the labels of its original,
// and its track.
func trackMeta(o map[string]any, name, track string) map[string]any {
	labels := maps.Clone(mapOf(mapOf(o, "metadata"), "labels"))
	if labels == nil {
		labels = map[string]any{}
	}
	labels[route.Label], labels["app.kubernetes.io/managed-by"] = track, "towpath"
	out := map[string]any{"name": name, "labels": labels}
	if ns, ok := mapOf(o, "metadata")["namespace"]; ok {
		out["namespace"] = ns
	}
	return out
}

// trackServiceOf makes the Service of a track from that of the stable one.
func trackServiceOf(stable map[string]any, name, track string) map[string]any {
	out := trackOf(stable, track)
	out["metadata"] = trackMeta(stable, trackService(name, track), track)
	return out
}

// differs reports whether the pods of a Deployment change, by its template or by what the
// template refers to, and which of the copies it refers to.
func differs(before, next map[string]any, copies map[string]string) (bool, []string) {
	var refers []string
	template := mapOf(mapOf(next, "spec"), "template")
	references(mapOf(template, "spec"), func(kind, name string) string {
		if _, ok := copies[kind+"/"+name]; ok {
			refers = append(refers, kind+"/"+name)
		}
		return name
	})
	return len(refers) > 0 || !reflect.DeepEqual(mapOf(mapOf(before, "spec"), "template"), template), refers
}

// references calls swap for each ConfigMap and Secret that a pod's spec refers to, and puts
// the name that it returns in place.
func references(spec map[string]any, swap func(kind, name string) string) {
	set := func(m map[string]any, key, kind string) {
		if s, ok := m[key].(string); ok {
			m[key] = swap(kind, s)
		}
	}
	for _, field := range []string{"containers", "initContainers"} {
		for _, c := range listOf(spec, field) {
			container, _ := c.(map[string]any)
			for _, e := range listOf(container, "envFrom") {
				from, _ := e.(map[string]any)
				set(mapOf(from, "configMapRef"), "name", "ConfigMap")
				set(mapOf(from, "secretRef"), "name", "Secret")
			}
			for _, e := range listOf(container, "env") {
				from, _ := e.(map[string]any)
				set(mapOf(mapOf(from, "valueFrom"), "configMapKeyRef"), "name", "ConfigMap")
				set(mapOf(mapOf(from, "valueFrom"), "secretKeyRef"), "name", "Secret")
			}
		}
	}
	for _, v := range listOf(spec, "volumes") {
		volume, _ := v.(map[string]any)
		set(mapOf(volume, "configMap"), "name", "ConfigMap")
		set(mapOf(volume, "secret"), "secretName", "Secret")
		for _, s := range listOf(mapOf(volume, "projected"), "sources") {
			source, _ := s.(map[string]any)
			set(mapOf(source, "configMap"), "name", "ConfigMap")
			set(mapOf(source, "secret"), "name", "Secret")
		}
	}
}

// trackDeployment makes the Deployment of a track: another name, its own selector, so many
// pods, and the copies of configuration in place of the originals.
func trackDeployment(o map[string]any, track string, replicas int, copies map[string]string) (map[string]any, error) {
	list, err := copyObjects([]map[string]any{o})
	if err != nil {
		return nil, err
	}
	d := list[0]
	d["metadata"] = trackMeta(o, clipName(nameOf(o), 253-len("-"+route.Baseline))+"-"+track, track)
	spec := child(d, "spec")
	spec["replicas"] = replicas
	child(child(spec, "selector"), "matchLabels")[route.Label] = track
	label(d, track)
	references(mapOf(mapOf(spec, "template"), "spec"), func(kind, name string) string {
		if c, ok := copies[kind+"/"+name]; ok {
			return c
		}
		return name
	})
	return d, nil
}

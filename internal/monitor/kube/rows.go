package kube

import (
	"encoding/json"
	"time"

	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// rows collects rows of one table.
type rows struct{ *table.Builder }

func newRows(name string) rows { return rows{table.NewBuilder(table.ByName(name))} }

// row is the values of one row by the names of the columns, as table.Builder takes them.
type row map[string]any

// add appends a row of a place at a moment.
func (r rows) add(w *Watcher, now time.Time, p place.Place, digest string, values row) {
	size := 0
	for name, v := range map[string]any{
		table.TimeGenerated: now, "ClusterName": w.o.Name, "ClusterId": w.resource(place.Place{}), "Type": r.Table(), "SourceSystem": "Containers",
		"_ResourceId": w.resource(p), "_TimeReceived": w.o.Clock.Now(), "_IsBillable": "true",
		table.Project: p.Project, table.Environment: p.Environment, table.Release: p.Release, table.ImageDigest: digest,
	} {
		if _, set := values[name]; !set {
			values[name] = v
		}
	}
	for _, v := range values {
		if s, ok := v.(string); ok {
			size += len(s)
		} else {
			size += 8
		}
	}
	values["_BilledSize"] = float64(size)
	r.Row(values)
}

// resource returns the id of the cluster in the form of Azure's.
func (w *Watcher) resource(p place.Place) string {
	group := p.Project
	if group == "" {
		group = "towpath"
	}
	return "/subscriptions/" + w.o.Installation + "/resourcegroups/" + group + "/providers/microsoft.containerservice/managedclusters/" + w.o.Name
}

// jsonOf writes a map as Container insights does: an array of one object.
func jsonOf(m map[string]string) string {
	if len(m) == 0 {
		return "[{}]"
	}
	text, err := json.Marshal([]map[string]string{m})
	if err != nil {
		return "[{}]" // strings are always written
	}
	return string(text)
}

package page

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// SharedView is what the pipelines of a project share.
type SharedView struct {
	Groups      []library.Group
	Files       []library.File
	Connections []library.Connection
	Maintain    bool
	Add         string // whose form is open: "group", "file", "connection"
}

// freshRows is how many empty rows a form of values has.
const freshRows = 3

// rowsOf are the values of a form with empty rows for new ones.
func rowsOf(list []library.Value) []library.Value {
	return append(append([]library.Value{}, list...), make([]library.Value, freshRows)...)
}

// secrets counts the secret values.
func secrets(list []library.Value) int {
	n := 0
	for _, v := range list {
		if v.Secret {
			n++
		}
	}
	return n
}

// connectionKinds are the types of connections, with what each needs.
var connectionKinds = []struct{ Type, Text string }{
	{library.DockerRegistry, "Docker registry: username, password"},
	{library.Kubernetes, "Kubernetes: kubeconfig, or url with apitoken"},
	{library.Generic, "Generic: any address with a name and a password or a token"},
}

// Queue is the dialog that starts a run.
type Queue struct {
	Repo, Ref   string
	Parameters  []plan.Parameter
	Variables   []pipeline.Variable
	Wrong, Next string // why the file cannot be run
}

// parameterText is the default of a parameter as it stands in its field: what is no scalar
// is JSON, which is YAML.
func parameterText(p plan.Parameter) string {
	switch v := p.Value.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false) // People read it; the page escapes it itself.
		e.SetIndent("", "  ")
		if e.Encode(v) != nil {
			return fmt.Sprint(v)
		}
		return strings.TrimSpace(b.String())
	}
}

// structured reports whether the value of a parameter is written as YAML.
func structured(p plan.Parameter) bool {
	switch strings.ToLower(p.Type) {
	case "string", "number", "boolean", "":
		return false
	}
	return true
}

package try

import (
	"context"
	"io"
	"time"
)

// Exit codes of Run.
const (
	Allowed  = 0 // nothing refuses
	Refused  = 1 // at least one object would be refused
	Unjudged = 2 // policies or resources could not be read, or a rule could not judge
)

// Forms of output.
const (
	Table = "table"
	JSON  = "json"
	SARIF = "sarif"
)

// Options say what is judged with what.
type Options struct {
	// Initiatives are names of built-in initiatives; with no Policies either it is
	// "baseline".
	Initiatives []string
	// Policies are files or folders of Azure Policy JSON (definitions, initiatives) and
	// constraint templates with their constraints (YAML or JSON).
	Policies []string
	// Resources are files (YAML or JSON streams, "-" for standard input), folders of them,
	// or folders of charts (those that hold a Chart.yaml).
	Resources []string
	Namespace string // of objects that name none; "" means "default"

	// Of charts:
	Release     string   // "" takes the chart's name
	Values      []string // values files, later ones win
	Set         []string // "key=value"
	KubeVersion string   // "" takes the newest known

	Format string           // Table, JSON or SARIF; "" is Table
	Stdin  io.Reader        // of "-" in Resources
	Now    func() time.Time // decides whether exemptions have expired; nil is the system's clock
}

// Run judges and prints, and returns the exit code of the command. What is wrong with the
// input goes to stderr.
func Run(ctx context.Context, o Options, stdout, stderr io.Writer) (exit int) {
	return o.run(ctx, stdout, stderr)
}

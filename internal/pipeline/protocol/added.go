package protocol

// The stages of a task (K004).
const (
	StagePre  = "prejob"
	StageMain = "main"
	StagePost = "postjob"
)

// HandlerPowerShell is the handler of tasks that run in PowerShell; the others are Node's.
const HandlerPowerShell = "PowerShell3"

// MaxTask is the largest archive of an added task in bytes.
const MaxTask = 576 << 20

// Added is a task that somebody added: an agent gets its files by their digest and runs them
// with its own Node.
type Added struct {
	Task    string `json:"task"` // "Name@Major", as steps write it
	ID      string `json:"id"`   // GUID
	Version string `json:"version"`
	Digest  string `json:"digest"` // of a zip, "sha256:…"
	Bytes   int64  `json:"bytes"`  // of the zip
	// Stages are the programs of each stage, the preferred one first.
	Stages map[string][]TaskHandler `json:"stages"`
	Inputs []AddedInput             `json:"inputs,omitempty"`
	// MinimumAgent is the version of the service's agent that the task wants, or "".
	MinimumAgent string `json:"minimum_agent,omitempty"`
	// Restricted, SettableRestricted and Settable are what the task forbids itself; see
	// plan.Target. A name in Settable may hold "*".
	Restricted         bool     `json:"restricted,omitempty"`
	SettableRestricted bool     `json:"settable_restricted,omitempty"`
	Settable           []string `json:"settable,omitempty"`
}

// AddedInput is an input of an added task.
type AddedInput struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"` // as task.json writes it
}

// TaskHandler is a program of a task.
type TaskHandler struct {
	Name   string `json:"name"` // "Node20_1", …, or HandlerPowerShell
	Node   int    `json:"node"` // the least major version of Node, 0 for another program
	Target string `json:"target"`
}

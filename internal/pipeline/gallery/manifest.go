package gallery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// Manifest is what is needed of a task.json.
type Manifest struct {
	ID         string  `json:"id"` // GUID in lower case
	Name       string  `json:"name"`
	Major      int     `json:"major"`
	Minor      int     `json:"minor"`
	Patch      int     `json:"patch"`
	Title      string  `json:"title,omitempty"`
	About      string  `json:"about,omitempty"`
	Deprecated bool    `json:"deprecated,omitempty"`
	Inputs     []Input `json:"inputs,omitempty"`
	// Stages are what runs in each stage: protocol.StagePre, StageMain and StagePost.
	Stages map[string][]protocol.TaskHandler `json:"stages"`
	// Restricted and Settable are the restrictions that the task puts on itself.
	Restricted         bool     `json:"restricted,omitempty"`
	SettableRestricted bool     `json:"settableRestricted,omitempty"`
	Settable           []string `json:"settable,omitempty"`
	// MinimumAgent is the version of the service's agent that the task wants, or "".
	MinimumAgent string `json:"minimumAgent,omitempty"`
}

// Input is an input of a task.
type Input struct {
	Name     string   `json:"name"`
	Title    string   `json:"title,omitempty"`
	Type     string   `json:"type,omitempty"` // as the task.json writes it: string, filePath, connectedService:Generic, …
	Aliases  []string `json:"aliases,omitempty"`
	Required bool     `json:"required,omitempty"`
	Default  string   `json:"default,omitempty"`
	Options  []string `json:"options,omitempty"`
	Visible  string   `json:"visible,omitempty"` // the visibleRule
}

// Version is "major.minor.patch".
func (m *Manifest) Version() string { return fmt.Sprintf("%d.%d.%d", m.Major, m.Minor, m.Patch) }

// Reference is how a pipeline names the task: "Name@Major".
func (m *Manifest) Reference() string { return m.Name + "@" + strconv.Itoa(m.Major) }

// rawTask is a task.json; Go's decoder finds its keys in any case, as the service does.
type rawTask struct {
	ID, Name, FriendlyName, Description, MinimumAgentVersion string
	Deprecated                                               bool
	Version                                                  struct{ Major, Minor, Patch any }
	Inputs                                                   []struct {
		Name, Label, Type, VisibleRule string
		Aliases                        []string
		Required                       bool
		DefaultValue                   any
		Options                        map[string]any
		Properties                     map[string]any
	}
	PreJobExecution, Execution, PostJobExecution map[string]struct{ Target, WorkingDirectory string }
	Restrictions                                 struct {
		Commands          *struct{ Mode string }
		SettableVariables *struct{ Allowed []string }
	}
}

var (
	guid     = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	taskName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,99}$`)
	inputKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.\- ]{0,199}$`)
	dotted   = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,6}){0,3}$`)
)

// Limits of a manifest.
const (
	maxManifest = 2 << 20
	maxInputs   = 500
	maxNumber   = 1_000_000
	maxDefault  = 64 << 10
)

// ParseManifest reads a task.json. has reports whether the folder of the task has a file.
func ParseManifest(data []byte, has func(name string) bool) (*Manifest, error) {
	if len(data) > maxManifest {
		return nil, fault.New(fault.TooLarge, "task.json has more than %d bytes.", maxManifest)
	}
	var raw rawTask
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &raw); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "task.json is not the JSON of a task: %v.", err)
	}
	m := &Manifest{
		ID: strings.ToLower(strings.Trim(raw.ID, "{} ")), Name: raw.Name, Title: clip(raw.FriendlyName, 200), About: clip(raw.Description, 1000), Deprecated: raw.Deprecated,
		MinimumAgent: raw.MinimumAgentVersion, Stages: map[string][]protocol.TaskHandler{},
	}
	if !guid.MatchString(m.ID) {
		return nil, fault.New(fault.Invalid, "The id %q in task.json is no GUID.", clip(raw.ID, 100)).WithNext("give the task an id such as 3e1a1f7c-0c1b-4a57-8f4b-0d6f4a2b9c11")
	}
	if !taskName.MatchString(m.Name) {
		return nil, fault.New(fault.Invalid, "The name %q in task.json cannot be that of a task.", clip(raw.Name, 100)).WithNext("use letters, digits, '_' and '-', a letter first")
	}
	if m.MinimumAgent != "" && !dotted.MatchString(m.MinimumAgent) {
		return nil, fault.New(fault.Invalid, "minimumAgentVersion is %q, which is no version.", clip(m.MinimumAgent, 100))
	}
	for _, n := range []struct {
		from any
		to   *int
	}{{raw.Version.Major, &m.Major}, {raw.Version.Minor, &m.Minor}, {raw.Version.Patch, &m.Patch}} {
		value, err := strconv.Atoi(strings.TrimSpace(scalar(n.from)))
		if n.from == nil || err != nil || value < 0 || value > maxNumber {
			return nil, fault.New(fault.Invalid, "The version in task.json is incomplete.").WithNext(`write "version": {"Major": 1, "Minor": 0, "Patch": 0}`)
		}
		*n.to = value
	}
	if err := m.inputs(&raw); err != nil {
		return nil, err
	}
	if err := m.stages(&raw, has); err != nil {
		return nil, err
	}
	return m, m.restrictions(&raw)
}

func (m *Manifest) inputs(raw *rawTask) error {
	if len(raw.Inputs) > maxInputs {
		return fault.New(fault.TooLarge, "%s has %d inputs; %d are the most.", m.Name, len(raw.Inputs), maxInputs)
	}
	taken := map[string]bool{}
	for _, in := range raw.Inputs {
		out := Input{
			Name: in.Name, Title: clip(in.Label, 200), Type: clip(in.Type, 200), Aliases: in.Aliases, Required: in.Required, Default: scalar(in.DefaultValue), Visible: clip(in.VisibleRule, 1000),
		}
		if len(out.Default) > maxDefault || len(in.Options) > maxInputs || len(in.Aliases) > 20 {
			return fault.New(fault.TooLarge, "The input %s of %s is too large.", clip(in.Name, 100), m.Name)
		}
		for _, name := range append([]string{in.Name}, in.Aliases...) {
			if !inputKey.MatchString(name) {
				return fault.New(fault.Invalid, "%q cannot be the name of an input.", clip(name, 100))
			}
			// Some published tasks repeat a name as its own alias.
			if key := strings.ToLower(name); !taken[key] {
				taken[key] = true
			} else if name == in.Name {
				return fault.New(fault.Invalid, "Two inputs of %s are called %s.", m.Name, name)
			}
		}
		if editable, _ := strconv.ParseBool(scalar(in.Properties["EditableOptions"])); !editable {
			out.Options = slices.Sorted(maps.Keys(in.Options))
		}
		m.Inputs = append(m.Inputs, out)
	}
	return nil
}

// handlers are the programs that run here, the newest first; the number is the least major
// version of Node.
var handlers = []struct {
	key, name string
	node      int
}{
	{"node24", "Node24", 24}, {"node24_1", "Node24", 24}, {"node20_1", "Node20_1", 20}, {"node20", "Node20_1", 20}, {"node16", "Node16", 16}, {"node10", "Node10", 10}, {"node", "Node", 6},
	{"powershell3", protocol.HandlerPowerShell, 0},
}

// foreign says of handlers that nothing here can run, what they are.
var foreign = map[string]string{
	"agentplugin": "a part of the service's own agent", "httprequest": "run by the service itself", "servicebus": "run by the service itself", "serverdelay": "run by the service itself",
	"manualvalidation": "run by the service itself", "powershell": "for Windows alone", "process": "for Windows alone", "azurepowershell": "for Windows alone", "powershellexe": "for Windows alone",
}

func (m *Manifest) stages(raw *rawTask, has func(string) bool) error {
	var refused []string
	for stage, execution := range map[string]map[string]struct{ Target, WorkingDirectory string }{
		protocol.StagePre: raw.PreJobExecution, protocol.StageMain: raw.Execution, protocol.StagePost: raw.PostJobExecution,
	} {
		byKey := map[string]string{}
		for name, e := range execution {
			byKey[strings.ToLower(name)] = e.Target
			if why, no := foreign[strings.ToLower(name)]; no {
				refused = append(refused, name+" ("+why+")")
			}
		}
		for _, h := range handlers {
			target, ok := byKey[h.key]
			if !ok {
				continue
			}
			file := path.Clean(strings.TrimPrefix(strings.ReplaceAll(target, `\`, "/"), "$(currentDirectory)/"))
			if !inside(file) || !has(file) {
				return fault.New(fault.Invalid, "%s runs %q, which is no file of its folder.", m.Name, clip(target, 200)).WithNext("build the task before it is added")
			}
			m.Stages[stage] = append(m.Stages[stage], protocol.TaskHandler{Name: h.name, Node: h.node, Target: file})
		}
	}
	if len(m.Stages) > 0 {
		return nil
	}
	slices.Sort(refused)
	if len(refused) > 0 {
		return fault.New(fault.Invalid, "%s can run only as %s, which Towpath has not.", m.Name, strings.Join(slices.Compact(refused), ", ")).
			WithNext("add a version of the task with a Node handler")
	}
	return fault.New(fault.Invalid, "%s has nothing to run: no Node handler in execution, prejobexecution or postjobexecution of its task.json.", m.Name)
}

func (m *Manifest) restrictions(raw *rawTask) error {
	if c := raw.Restrictions.Commands; c != nil {
		switch strings.ToLower(c.Mode) {
		case "restricted":
			m.Restricted = true
		case "any", "":
		default:
			return fault.New(fault.Invalid, "restrictions.commands.mode is %q.", clip(c.Mode, 100)).WithNext("write restricted or any")
		}
	}
	if v := raw.Restrictions.SettableVariables; v != nil {
		if len(v.Allowed) > maxInputs {
			return fault.New(fault.TooLarge, "restrictions.settableVariables has more than %d names.", maxInputs)
		}
		m.SettableRestricted, m.Settable = true, v.Allowed
	}
	return nil
}

// scalar is a JSON value as an input gets it.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(raw)
}

func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// agentProtocol is the version of the service's agent whose task protocol this one speaks:
// what tasks ask for with minimumAgentVersion, and see as Agent.Version.
const agentProtocol = "4.248.0"

// addedTask is the added task that a step runs; nil when it is a built-in one.
func (s *stepRun) addedTask() *protocol.Added {
	for i := range s.job.Added {
		if strings.EqualFold(s.job.Added[i].Task, s.step.Task) {
			return &s.job.Added[i]
		}
	}
	return nil
}

// runAdded runs the stage of an added task that the step is for (K001 to K006).
func runAdded(ctx context.Context, s *stepRun) error {
	t := s.added
	stage := s.step.Stage
	if stage == "" {
		stage = protocol.StageMain
	}
	programs := t.Stages[stage]
	if len(programs) == 0 {
		return nil // It has something to do before or after the job alone.
	}
	if olderThan(agentProtocol, t.MinimumAgent) {
		return fmt.Errorf("the task %s %s wants version %s of the agent; this one speaks the protocol of %s. Use an older version of the task",
			t.Task, t.Version, t.MinimumAgent, agentProtocol)
	}
	dir, err := s.taskFolder(ctx, t)
	if err != nil {
		return err
	}
	env, err := s.addedEnvironment(ctx)
	if err != nil {
		return err
	}
	argv, err := s.addedCommand(ctx, programs, dir, env)
	if err != nil {
		return err
	}
	exit, err := s.process(ctx, s.space.path(dirSources), env, argv, s.consume, nil)
	if s.result == plan.Failed && err == nil && exit.Signal == 0 {
		return nil // The task has said so itself, and why.
	}
	return exitError("the task "+t.Task, exit, err)
}

// addedCommand is the command line of the program that fits this host best.
func (s *stepRun) addedCommand(ctx context.Context, programs []protocol.TaskHandler, dir string, env []string) ([]string, error) {
	t := s.added
	least := 0
	for _, p := range programs {
		if p.Node == 0 {
			continue
		}
		if node, ok := s.node(ctx, p.Node); ok {
			if s.debug {
				s.print("##[debug]Running " + t.Task + " " + t.Version + " (" + p.Name + ") with " + node)
			}
			return []string{node, filepath.Join(dir, filepath.FromSlash(p.Target))}, nil
		}
		least = p.Node
	}
	for _, p := range programs {
		if p.Name != protocol.HandlerPowerShell {
			continue
		}
		pwsh := lookPath("pwsh", env)
		if pwsh == "" {
			return nil, fmt.Errorf("the task %s runs in PowerShell (%s), and pwsh is not installed on this agent: install it where steps find programs, or use a version of the task with a Node handler", t.Task, p.Name)
		}
		script := quotePowerShell(filepath.Join(dir, filepath.FromSlash(p.Target)))
		sdk := quotePowerShell(filepath.Join(dir, "ps_modules", "VstsTaskSdk", "VstsTaskSdk.psd1"))
		return []string{pwsh, "-NoLogo", "-NoProfile", "-NonInteractive", "-Command",
			"Import-Module -Name " + sdk + " -ArgumentList @{ NonInteractive = $true } -ErrorAction Stop; Invoke-VstsTaskScript -ScriptBlock ([scriptblock]::Create(" + quotePowerShell(". "+script) + "))"}, nil
	}
	if least == 0 {
		return nil, fmt.Errorf("the task %s has no program for this agent", t.Task)
	}
	return nil, fmt.Errorf("the task %s needs Node %d or newer, and %s. Install Node where steps find programs (%s), or unpack it to %s and make the empty file %s beside it",
		t.Task, least, s.nodesThere(), strings.ReplaceAll(toolPath, ":", ", "), filepath.Join(s.agent.cfg.Dir, "tools", "node", "VERSION", toolArch()), toolArch()+".complete")
}

// nodeProgram is a Node of this host.
type nodeProgram struct {
	path    string
	version version
	text    string
}

// node finds a Node of at least a major version: where the agent's steps find programs,
// where the agent itself does, then in the tool cache. What steps put before these folders
// does not count.
func (s *stepRun) node(ctx context.Context, least int) (string, bool) {
	if s.nodes == nil {
		s.nodes = s.findNodes(ctx)
	}
	for _, n := range s.nodes {
		if n.version.parts[0] >= least {
			return n.path, true
		}
	}
	return "", false
}

func (s *stepRun) nodesThere() string {
	if len(s.nodes) == 0 {
		return "this agent has none"
	}
	var all []string
	for _, n := range s.nodes {
		all = append(all, n.text+" ("+n.path+")")
	}
	return "this agent has " + strings.Join(all, ", ")
}

func (s *stepRun) findNodes(ctx context.Context) []nodeProgram {
	found := []nodeProgram{}
	base := []string{"PATH=" + s.base["PATH"]}
	for _, env := range [][]string{base, s.agent.cfg.Env} {
		path := lookPath("node", env)
		if path == "" || slices.ContainsFunc(found, func(n nodeProgram) bool { return n.path == path }) {
			continue
		}
		var said []string
		exit, err := s.process(ctx, "/", base, []string{path, "--version"}, func(lines [][]byte) {
			for _, l := range lines {
				said = append(said, string(l))
			}
		}, nil)
		if exitError("node", exit, err) != nil || len(said) == 0 {
			continue // The user of the steps cannot run it.
		}
		if v := parseVersion(said[0]); v.known {
			found = append(found, nodeProgram{path, v, said[0]})
		}
	}
	root := filepath.Join(s.agent.cfg.Dir, "tools", "node")
	versions, err := cached(root)
	if err != nil {
		s.print("##[warning]" + err.Error())
	}
	for _, v := range versions {
		if path := lookPath("node", []string{"PATH=" + filepath.Join(root, v, toolArch(), "bin")}); path != "" {
			found = append(found, nodeProgram{path, parseVersion(v), "v" + v})
		}
	}
	return found
}

// olderThan compares dotted versions; "" is older than everything.
func olderThan(have, want string) bool {
	parts := func(text string) []int {
		var out []int
		for p := range strings.SplitSeq(text, ".") {
			n, err := strconv.Atoi(p)
			if err != nil {
				return nil
			}
			out = append(out, n)
		}
		return out
	}
	return slices.Compare(parts(have), parts(want)) < 0
}

// restricted reports whether the step may use the safe logging commands alone: its target
// says so, or the task of itself.
func (s *stepRun) restricted() bool {
	t := s.step.Target
	return t != nil && t.RestrictedCommands || s.added != nil && s.added.Restricted
}

// maySet reports whether the step may set a variable.
func (s *stepRun) maySet(name string) bool {
	if t := s.step.Target; t != nil && t.SettableRestricted && !containsFold(t.Settable, name) {
		return false
	}
	if s.added == nil || !s.added.SettableRestricted {
		return true
	}
	return slices.ContainsFunc(s.added.Settable, func(pattern string) bool {
		re, err := regexp.Compile(`(?is)^` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`) + `$`)
		return err == nil && re.MatchString(name)
	})
}

// variablesOfTask are the variables that the stages of one task share (L008).
func (r *jobRun) variablesOfTask(step *protocol.Step) plan.Values {
	key := step.Number
	if step.Of > 0 {
		key = step.Of
	}
	if r.taskVars == nil {
		r.taskVars = map[int]plan.Values{}
	}
	if r.taskVars[key] == nil {
		r.taskVars[key] = plan.Values{}
	}
	return r.taskVars[key]
}

var errNoInput = errors.New("its value is too long for an environment, or holds a zero byte")

package agent

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// print writes a line of the agent's own to the log of the step.
func (s *stepRun) print(text string) {
	for line := range strings.Lines(text) {
		s.lines([][]byte{[]byte(strings.TrimRight(line, "\r\n"))})
	}
}

// error prints an error and notes the first one.
func (s *stepRun) error(text string) {
	text = strings.TrimSpace(text)
	if s.why == "" {
		s.why, _, _ = strings.Cut(text, "\n")
	}
	s.print("##[error]" + text)
}

// lines masks lines and writes them to the spool.
func (s *stepRun) lines(lines [][]byte) {
	now := time.Now().UnixMilli()
	var records []byte
	for _, l := range lines {
		records = protocol.AppendLine(records, now, l)
	}
	s.records(records, lines)
}

func (s *stepRun) records(records []byte, lines [][]byte) {
	// Most output holds no secret: one look at the whole tells.
	if masked := s.masker.Bytes(records); len(masked) != len(records) || !bytes.Equal(masked, records) {
		now := time.Now().UnixMilli()
		records = records[:0]
		for _, l := range lines {
			records = protocol.AppendLine(records, now, s.masker.Bytes(l))
		}
	}
	if err := s.jobRun.spool.write(s.spool, records, int64(len(lines))); err != nil {
		s.jobRun.log.Error("writing the log of a step", "error", err)
		s.jobRun.fail(err.Error())
	}
}

// consume takes whole lines that a process printed: logging commands are carried out,
// the rest is written.
func (s *stepRun) consume(lines [][]byte) {
	from := 0
	for i, l := range lines {
		c, found, ok := parseCommand(l)
		if !found {
			continue
		}
		if i > from {
			s.lines(lines[from:i])
		}
		from = i + 1
		if !ok {
			s.print("##[warning]Not understood: " + strings.Replace(string(l), "##vso[", "## vso[", 1))
			continue
		}
		s.carryOut(c)
	}
	if from < len(lines) {
		s.lines(lines[from:])
	}
}

// carryOut does what a logging command asks for.
func (s *stepRun) carryOut(c command) {
	if t := s.step.Target; t != nil && t.RestrictedCommands && !restricted[c.name] {
		s.print("##[warning]The command " + c.name + " is not allowed in this step: its target restricts commands.")
		return
	}
	switch c.name {
	case "task.setvariable":
		s.setVariable(c)
	case "task.setsecret":
		s.masker.Add(c.data)
	case "task.logissue":
		s.logIssue(c)
	case "task.complete":
		s.complete(c)
	case "task.prependpath":
		if c.data != "" && !strings.ContainsAny(c.data, ":\n\x00") {
			s.paths = append([]string{c.data}, s.paths...)
		}
	case "task.debug":
		if s.debug {
			s.print("##[debug]" + c.data)
		}
	default:
		if !quiet[c.name] {
			s.print("##[warning]The command ##vso [" + c.name + "] is not supported here and has no effect.")
		}
	}
}

// setVariable sets a variable for the steps that follow (L001, L030, L031, L034, V008).
func (s *stepRun) setVariable(c command) {
	name, secret := strings.TrimSpace(c.props["variable"]), c.flag("issecret")
	if secret {
		// Whatever else is wrong: what was meant as a secret is hidden from now on.
		s.masker.Add(c.data)
	}
	old, exists := s.vars.Get(name)
	t := s.step.Target
	switch {
	case name == "" || strings.ContainsAny(name, "\n\x00"):
		s.error("##vso [task.setvariable] needs the property variable")
		s.result = plan.Failed
		return
	case exists && old.ReadOnly:
		s.print("##[warning]The variable " + name + " is read-only and was not set.")
		return
	case t != nil && t.SettableRestricted && !containsFold(t.Settable, name):
		s.print("##[warning]The variable " + name + " is not among the settableVariables of this step and was not set.")
		return
	case len(c.data) > protocol.MaxOutput:
		s.error(fmt.Sprintf("the value of the variable %s is longer than %d bytes", name, protocol.MaxOutput))
		s.result = plan.Failed
		return
	}
	v := plan.Value{Name: name, Text: c.data, Secret: secret || exists && old.Secret, ReadOnly: c.flag("isreadonly")}
	if v.Secret {
		s.masker.Add(v.Text)
	}
	if !c.flag("isoutput") {
		s.vars.Set(v)
		return
	}
	s.setOutput(s.outputName(), name, v)
}

// setOutput sets an output variable: "$(step.name)" in this job, and, unless it holds a
// secret, an output of the job.
func (s *stepRun) setOutput(step, name string, v plan.Value) {
	v.Name = step + "." + name
	s.vars.Set(v)
	if v.Secret || s.masker.Holds(v.Text) {
		s.print("##[warning]The output " + v.Name + " holds a secret and stays in this job.")
		return
	}
	s.outputs = append(s.outputs, protocol.Output{Round: s.round, Step: step, Name: name, Value: v.Text})
}

// outputName is the name of the step under which its outputs are found.
func (s *stepRun) outputName() string {
	if s.step.Name != "" {
		return s.step.Name
	}
	return s.step.ID
}

func containsFold(list []string, name string) bool {
	for _, l := range list {
		if strings.EqualFold(l, name) {
			return true
		}
	}
	return false
}

// logIssue prints an error or warning with its place (L003).
func (s *stepRun) logIssue(c command) {
	text := c.data
	if path := c.props["sourcepath"]; path != "" {
		place := path
		for _, k := range []string{"linenumber", "columnnumber"} {
			if n := c.props[k]; n != "" {
				place += ":" + n
			}
		}
		text = place + ": " + text
	}
	if code := c.props["code"]; code != "" {
		text += " [" + code + "]"
	}
	if strings.EqualFold(c.props["type"], "error") {
		s.error(text)
		return
	}
	s.print("##[warning]" + text)
}

// complete merges the result that a step asks for with the one it has; a result never
// improves (L004).
func (s *stepRun) complete(c command) {
	for _, r := range []plan.Result{plan.Succeeded, plan.SucceededWithIssues, plan.Failed, plan.Canceled, plan.Skipped} {
		if !strings.EqualFold(c.props["result"], string(r)) {
			continue
		}
		if r == plan.Failed && s.why == "" {
			s.why = c.data
		}
		if plan.Combine(s.result, r) != s.result {
			s.result = r
		}
		if c.data != "" && r != plan.Succeeded {
			s.print(c.data)
		}
		return
	}
	if c.props["result"] != "" {
		s.print("##[warning]Not understood: the result " + c.props["result"])
	}
}

package agent

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// known is a logging command that the agent knows (L001 to L024).
type known struct {
	// restricted commands are those that a step with "target.commands: restricted" may
	// use as well.
	restricted bool
	// run carries the command out. An error fails the step, as it does with the service.
	run func(s *stepRun, c command) error
}

// logging are the logging commands by name.
var logging = map[string]known{
	"task.setvariable":     {true, (*stepRun).setVariable},
	"task.setsecret":       {true, (*stepRun).setSecret},
	"task.logissue":        {true, (*stepRun).logIssue},
	"task.issue":           {true, (*stepRun).logIssue}, // as the task library calls it
	"task.complete":        {true, (*stepRun).complete},
	"task.setprogress":     {true, (*stepRun).setProgress},
	"task.logdetail":       {true, (*stepRun).logDetail},
	"task.debug":           {true, (*stepRun).logDebug},
	"task.settaskvariable": {true, (*stepRun).setTaskVariable},
	"task.prependpath":     {true, (*stepRun).prependPath},
	"task.setendpoint":     {false, (*stepRun).setEndpoint},
	"task.addattachment":   {false, (*stepRun).addAttachment},
	"task.uploadfile":      {false, (*stepRun).uploadFile},
	"task.uploadsummary":   {false, (*stepRun).uploadSummary},
	"build.uploadlog":      {false, (*stepRun).uploadLog},
	"build.uploadsummary":  {false, (*stepRun).uploadSummary},

	"build.updatebuildnumber":             {false, (*stepRun).updateBuildNumber},
	"build.addbuildtag":                   {false, (*stepRun).addBuildTag},
	"artifact.upload":                     {false, (*stepRun).artifactUpload},
	"artifact.associate":                  {false, (*stepRun).artifactAssociate},
	"results.publish":                     {false, (*stepRun).resultsPublish},
	"results.publishtoevidencestore":      {false, (*stepRun).resultsToEvidence},
	"codecoverage.publish":                {false, (*stepRun).coveragePublish},
	"release.updatereleasename":           {false, (*stepRun).updateReleaseName},
	"telemetry.publish":                   {true, (*stepRun).telemetryPublish},
	"plugininternal.updaterepositorypath": {false, (*stepRun).updateRepositoryPath},
}

// carryOut does what a logging command asks for.
func (s *stepRun) carryOut(c command) {
	k, ok := logging[c.name]
	if !ok {
		s.print("##[warning]The command ##vso [" + c.name + "] is not known here and has no effect.")
		return
	}
	if s.restricted() && !k.restricted {
		// The blank keeps an agent that reads this log from carrying the command out.
		s.print("##[warning]##vso [" + c.name + "] is not allowed in this step due to policy restrictions: its target, or its task, restricts commands.")
		return
	}
	if err := k.run(s, c); err != nil {
		s.error("##vso [" + c.name + "]: " + err.Error())
		s.result = plan.Failed
	}
}

// need returns a property that the command cannot do without.
func (c command) need(name string) (string, error) {
	v := strings.TrimSpace(c.props[name])
	if v == "" {
		return "", errors.New("it needs the property " + name)
	}
	return v, nil
}

// logIssue prints an error or warning with its place (L003).
func (s *stepRun) logIssue(c command) error {
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
	switch strings.ToLower(c.props["type"]) {
	case "error":
		s.error(text)
	case "warning":
		s.print("##[warning]" + text)
	default:
		return fmt.Errorf("the type of an issue is error or warning, not %q", c.props["type"])
	}
	return nil
}

// complete merges the result that a step asks for with the one it has; a result never
// improves (L004).
func (s *stepRun) complete(c command) error {
	for _, r := range []plan.Result{plan.Succeeded, plan.SucceededWithIssues, plan.Failed, plan.Canceled, plan.Skipped} {
		if !strings.EqualFold(c.props["result"], string(r)) {
			continue
		}
		if r == plan.Failed && s.why == "" {
			s.why = s.masker.String(c.data)
		}
		if plan.Combine(s.result, r) != s.result {
			s.result = r
		}
		if c.data != "" && r != plan.Succeeded {
			s.print(c.data)
		}
		return nil
	}
	return fmt.Errorf("the result is Succeeded, SucceededWithIssues, Failed, Canceled or Skipped, not %q", c.props["result"])
}

// setProgress notes how far the step is (L005).
func (s *stepRun) setProgress(c command) error {
	percent, err := strconv.Atoi(strings.TrimSpace(c.props["value"]))
	if err != nil || percent < 0 || percent > 100 {
		return fmt.Errorf("value is a whole number from 0 to 100, not %q", c.props["value"])
	}
	s.progress, s.operation = percent, s.text(c.data)
	s.reportRunning()
	return nil
}

// text is a masked line of a foreign text, short enough for a row.
func (s *stepRun) text(t string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s.masker.String(t)), "\n")
	if len(line) > maxNote {
		line = line[:maxNote]
	}
	return strings.ToValidUTF8(line, "\uFFFD")
}

// Limits of what a step says about itself.
const (
	maxNote    = 500 // bytes of one text
	maxDetails = 200 // records of task.logdetail
)

// logDetail creates or changes a record below the step (L006). The first command about a
// record needs its name and type.
func (s *stepRun) logDetail(c command) error {
	id, err := c.need("id")
	if err != nil {
		return err
	}
	id = s.text(id)
	at := -1
	for i := range s.details {
		if strings.EqualFold(s.details[i].ID, id) {
			at = i
		}
	}
	if at < 0 {
		if c.props["name"] == "" || c.props["type"] == "" {
			return fmt.Errorf("the record %s is new and needs the properties name and type", id)
		}
		if len(s.details) == maxDetails {
			return fmt.Errorf("a step has at most %d records", maxDetails)
		}
		s.details = append(s.details, protocol.Detail{ID: id, State: "Unknown"})
		at = len(s.details) - 1
	}
	if err := s.changeDetail(&s.details[at], c); err != nil {
		return err
	}
	s.reportRunning()
	return nil
}

// changeDetail writes the properties of the command into a record.
func (s *stepRun) changeDetail(d *protocol.Detail, c command) error {
	for name, into := range map[string]*string{"parentid": &d.Parent, "type": &d.Type, "name": &d.Name, "state": &d.State, "result": &d.Result} {
		if v := c.props[name]; v != "" {
			*into = s.text(v)
		}
	}
	for name, into := range map[string]*int{"order": &d.Order, "progress": &d.Progress} {
		v := c.props[name]
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		if err != nil || name == "progress" && (n < 0 || n > 100) {
			return fmt.Errorf("%s is %q, which is no number that can be", name, v)
		}
		*into = n
	}
	for name, into := range map[string]*time.Time{"starttime": &d.Started, "finishtime": &d.Finished} {
		if v := c.props[name]; v != "" {
			when, err := parseTime(v)
			if err != nil {
				return fmt.Errorf("%s is %q, which is no time such as 2026-01-31T12:00:00Z", name, v)
			}
			*into = when
		}
	}
	if c.data != "" {
		d.Message = s.text(c.data)
	}
	return nil
}

// parseTime reads the forms of time that scripts write.
func parseTime(text string) (time.Time, error) {
	var err error
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.RFC1123, "01/02/2006 15:04:05"} {
		var t time.Time
		if t, err = time.Parse(layout, strings.TrimSpace(text)); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, err
}

// reportRunning tells the server what the step says about itself.
func (s *stepRun) reportRunning() {
	s.jobRun.spool.report(s.spool, s.update(protocol.StepUpdate{Status: plan.Running, Started: s.started}))
}

// update adds what the step says about itself to an update.
func (s *stepRun) update(u protocol.StepUpdate) protocol.StepUpdate {
	u.Progress, u.Operation = s.progress, s.operation
	// The spool sends it later, when the records may have changed.
	u.Details = append([]protocol.Detail(nil), s.details...)
	return u
}

// logDebug prints a line that only debugging shows (L007).
func (s *stepRun) logDebug(c command) error {
	if s.debug {
		s.print("##[debug]" + c.data)
	}
	return nil
}

// prependPath puts a folder before those where the following steps find programs (L009).
func (s *stepRun) prependPath(c command) error {
	if c.data == "" || strings.ContainsAny(c.data, ":\n\x00") {
		return fmt.Errorf("the path is %q; name one folder", c.data)
	}
	s.prepend(c.data)
	return nil
}

// prepend puts a folder first, where it may have stood later.
func (s *stepRun) prepend(dir string) {
	paths := []string{dir}
	for _, p := range s.paths {
		if p != dir {
			paths = append(paths, p)
		}
	}
	s.paths = paths
}

// updateReleaseName is for classic releases, which do not exist here (L022).
func (s *stepRun) updateReleaseName(command) error {
	s.print("##[warning]release.updatereleasename has no effect: a pipeline has a run, not a classic release; use ##vso [build.updatebuildnumber] to name it.")
	return nil
}

// telemetryPublish checks what a task says of itself and keeps none of it (L023).
func (s *stepRun) telemetryPublish(c command) error {
	for _, name := range []string{"area", "feature"} {
		if _, err := c.need(name); err != nil {
			return err
		}
	}
	if s.debug {
		s.print("##[debug]Telemetry is not collected.")
	}
	return nil
}

// resultsToEvidence has nothing to do: the results of every test run are part of the
// evidence (L020).
func (s *stepRun) resultsToEvidence(command) error {
	s.print("The test results that this run publishes are in its evidence already.")
	return nil
}

// updateRepositoryPath says where the sources are now (L024): a folder of the workspace.
func (s *stepRun) updateRepositoryPath(c command) error {
	alias, err := c.need("alias")
	if err != nil {
		return err
	}
	rel, err := s.space.inside(s.space.dir, c.data)
	if err != nil {
		return err
	}
	if c.data == "" || rel == "." {
		return errors.New("it needs the path of a folder below $(Pipeline.Workspace)")
	}
	if !strings.EqualFold(alias, "self") {
		s.vars.Set(plan.Value{Name: "resources.repositories." + alias + ".localpath", Text: s.space.path(rel), ReadOnly: true})
		return nil
	}
	s.vars.Set(plan.Value{Name: "Build.SourcesDirectory", Text: s.space.path(rel), ReadOnly: true})
	s.vars.Set(plan.Value{Name: "Build.Repository.LocalPath", Text: s.space.path(rel), ReadOnly: true})
	return nil
}

// buildNumberLimit is the longest name of a run.
const buildNumberLimit = 255

// updateBuildNumber gives the run another name (L015).
func (s *stepRun) updateBuildNumber(c command) error {
	name := strings.TrimSpace(c.data)
	if name == "" || len(name) > buildNumberLimit || strings.ContainsAny(name, "\"/:<>\\|?@*\n") || strings.HasSuffix(name, ".") {
		return fmt.Errorf("%q cannot be the name of a run: at most %d characters, none of \" / : < > \\ | ? @ * and no '.' at the end", name, buildNumberLimit)
	}
	if s.masker.Holds(name) {
		return errors.New("the name of a run must not hold a secret")
	}
	if err := s.tell(protocol.RunChange{Name: name}); err != nil {
		return err
	}
	s.vars.Set(plan.Value{Name: "Build.BuildNumber", Text: name, ReadOnly: true})
	s.print("The run is called " + name + " now.")
	return nil
}

// addBuildTag adds a tag to the run (L016).
func (s *stepRun) addBuildTag(c command) error {
	tag := strings.TrimSpace(c.data)
	if tag == "" {
		return errors.New("it needs the text of the tag")
	}
	if s.masker.Holds(tag) {
		return errors.New("a tag must not hold a secret")
	}
	return s.tell(protocol.RunChange{Tags: []string{tag}})
}

// tell asks the server to change the run.
func (s *stepRun) tell(change protocol.RunChange) error {
	change.Step = s.step.Number
	return retry(s.ctx, func() error {
		return s.agent.client.call(s.ctx, path.Join("jobs", s.job.ID, "run"), s.job.Lease, change, nil)
	})
}

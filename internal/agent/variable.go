package agent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// systemNames are the variables that belong to the system: no step can set them, whether
// they have a value in this job or not (L031). Names are in lower case; one that ends with
// '.' stands for everything below it.
var systemNames = []string{
	"agent.acceptteeeula", "agent.builddirectory", "agent.cloudid", "agent.containerid", "agent.containermapping", "agent.containernetwork",
	"agent.deploymentgroupid", "agent.deploymentgroupname", "agent.diagnostic", "agent.homedirectory", "agent.id", "agent.isselfhosted",
	"agent.jobname", "agent.jobstatus", "agent.machinename", "agent.name", "agent.os", "agent.osarchitecture", "agent.osversion",
	"agent.poolname", "agent.proxybypasslist", "agent.proxypassword", "agent.proxyurl", "agent.proxyusername", "agent.releasedirectory",
	"agent.retainadefaultencoding", "agent.rootdirectory", "agent.serveromdirectory", "agent.tempdirectory", "agent.toolsdirectory",
	"agent.usehostgroupid", "agent.version", "agent.workfolder", "agent.workfolders", "agent.workingdirectory",
	"build.artifactstagingdirectory", "build.binariesdirectory", "build.buildid", "build.builduri", "build.clean", "build.containerid",
	"build.cronschedule.displayname", "build.definitionname", "build.definitionversion", "build.gatedrunci", "build.gatedshelvesetname",
	"build.queuedby", "build.queuedbyid", "build.reason", "build.repository.", "build.requestedfor", "build.requestedforemail",
	"build.requestedforid", "build.sourcebranch", "build.sourcebranchname", "build.sourcesdirectory", "build.sourcetfvcshelveset",
	"build.sourceversion", "build.sourceversionauthor", "build.sourceversionmessage", "build.stagingdirectory", "build.syncsources",
	"build.triggeredby.", "common.testresultsdirectory", "environment.id", "environment.name", "environment.resourceid",
	"environment.resourcename", "pipeline.workspace", "resources.", "strategy.action", "strategy.increment", "strategy.name",
	"system.accesstoken", "system.artifactsdirectory", "system.collectionid", "system.collectionuri", "system.culture",
	"system.defaultworkingdirectory", "system.definitionid", "system.definitionname", "system.enableaccesstoken", "system.hosttype",
	"system.isscheduled", "system.jobattempt", "system.jobdisplayname", "system.jobid", "system.jobidentifier", "system.jobname",
	"system.jobparallelismtag", "system.jobpositioninphase", "system.jobtimeout", "system.oidcrequesturi", "system.parallelexecutiontype",
	"system.phaseattempt", "system.phasedisplayname", "system.phaseid", "system.phasename", "system.pipelinestarttime", "system.planid",
	"system.postlinesspeed", "system.pullrequest.", "system.restrictsecrets", "system.selfmanagegitcreds", "system.servertype",
	"system.stageattempt", "system.stagedisplayname", "system.stageid", "system.stagename", "system.taskdefinitionsuri",
	"system.taskdisplayname", "system.taskinstanceid", "system.taskinstancename", "system.teamfoundationcollectionuri",
	"system.teamfoundationserveruri", "system.teamproject", "system.teamprojectid", "system.timelineid", "system.totaljobsinphase",
	"system.workfolder", "system", "tf_build", "towpath.",
}

// systemName reports whether a variable belongs to the system.
func systemName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(systemNames, func(n string) bool {
		return n == name || strings.HasSuffix(n, ".") && strings.HasPrefix(name, n)
	})
}

// setSecret hides a value in everything that is printed from now on (L002).
func (s *stepRun) setSecret(c command) error {
	s.masker.Add(c.data)
	return nil
}

// allowMultiline is the variable that lets a secret have several lines (L030).
const allowMultiline = "SYSTEM_UNSAFEALLOWMULTILINESECRET"

// secretLines refuses a secret of several lines: output is masked line by line, and a tool
// may print the lines with others between them (L030). The value is hidden all the same.
func (s *stepRun) secretLines(c command) error {
	if !c.flag("issecret") {
		return nil
	}
	s.masker.Add(c.data)
	allowed := false
	if v, ok := s.vars.Lookup(allowMultiline); ok {
		allowed, _ = plan.ParseBoolean(v)
	}
	if strings.ContainsAny(strings.TrimRight(c.data, "\r\n"), "\r\n") && !allowed {
		return errors.New("a secret must be one line; encode it (base64) or set the variable " + allowMultiline + " to true")
	}
	return nil
}

// setVariable sets a variable for the steps that follow (L001, L030, L031, L034, V008).
func (s *stepRun) setVariable(c command) error {
	name := strings.TrimSpace(c.props["variable"])
	// Whatever else is wrong: what was meant as a secret is hidden from now on.
	if err := s.secretLines(c); err != nil {
		return err
	}
	old, exists := s.vars.Get(name)
	switch {
	case name == "" || strings.ContainsAny(name, "\n\x00"):
		return errors.New("it needs the property variable")
	case exists && old.ReadOnly || !c.flag("isoutput") && systemName(name):
		s.print("##[warning]The variable " + name + " is read-only and was not set.")
		return nil
	case !s.maySet(name):
		s.print("##[warning]Setting variable '" + name + "' has been disabled by the task or build definition.")
		return nil
	case len(c.data) > protocol.MaxOutput:
		return fmt.Errorf("the value of the variable %s is longer than %d bytes", name, protocol.MaxOutput)
	}
	v := plan.Value{Name: name, Text: c.data, Secret: c.flag("issecret") || exists && old.Secret, ReadOnly: c.flag("isreadonly")}
	if v.Secret {
		s.masker.Add(v.Text)
	}
	if c.flag("preservecase") {
		s.cased[strings.ToLower(name)] = true
	}
	if !c.flag("isoutput") {
		s.vars.Set(v)
		return nil
	}
	s.setOutput(s.outputName(), name, v)
	return nil
}

// setTaskVariable sets a variable that only the stages of this task see (L008).
func (s *stepRun) setTaskVariable(c command) error {
	name, err := c.need("variable")
	if err != nil {
		return err
	}
	if err := s.secretLines(c); err != nil {
		return err
	}
	old, exists := s.taskVars.Get(name)
	if exists && old.ReadOnly {
		s.print("##[warning]The task variable " + name + " is read-only and was not set.")
		return nil
	}
	v := plan.Value{Name: name, Text: c.data, Secret: c.flag("issecret") || exists && old.Secret, ReadOnly: c.flag("isreadonly")}
	if v.Secret {
		s.masker.Add(v.Text)
	}
	s.taskVars.Set(v)
	return nil
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
	return slices.ContainsFunc(list, func(l string) bool { return strings.EqualFold(l, name) })
}

// systemEndpoints name the connection to the server itself.
var systemEndpoints = []string{"SystemVssConnection", "system"}

// setEndpoint changes a service connection for the steps that follow (L010, L035).
func (s *stepRun) setEndpoint(c command) error {
	id, err := c.need("id")
	if err != nil {
		return err
	}
	field, err := c.need("field")
	if err != nil {
		return err
	}
	if containsFold(systemEndpoints, id) {
		return errors.New("the connection to the server itself cannot be changed")
	}
	e := s.endpoints[strings.ToLower(id)]
	if e == nil {
		// Only what a step makes itself is for every task: changing a connection opens it to nobody.
		e = &endpoint{data: map[string]string{}, made: true}
	}
	switch strings.ToLower(field) {
	case "url":
		if !strings.Contains(c.data, "://") {
			return fmt.Errorf("the URL %q has no scheme", c.data)
		}
		e.url = c.data
	case "authparameter", "dataparameter":
		key, err := c.need("key")
		if err != nil {
			return err
		}
		if strings.EqualFold(field, "authparameter") {
			s.masker.Add(c.data)
			e.setAuth(key, c.data)
		} else {
			e.data[strings.ToUpper(key)] = c.data
		}
	default:
		return fmt.Errorf("the field is url, authParameter or dataParameter, not %q", field)
	}
	s.endpoints[strings.ToLower(id)] = e
	return nil
}

// endpointVariables are the variables in which a script finds the service connections of its
// job; those that hold secrets are for tasks alone.
func (s *stepRun) endpointVariables() map[string]string {
	out := map[string]string{}
	for id, e := range s.endpoints {
		maps.Copy(out, e.variables(id, false))
	}
	return out
}

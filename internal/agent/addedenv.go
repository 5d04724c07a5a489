package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// addedEnvironment is the environment of an added task: that of a script, and what the
// service's agent gives a task beside it (K001 to K003). The secrets in it are those that
// the task library takes out before it starts another program.
func (s *stepRun) addedEnvironment(ctx context.Context) ([]string, error) {
	env := map[string]string{}
	for _, kv := range s.environment() {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "ENDPOINT_") {
			env[name] = value
		}
	}
	set := func(what, name, value string) error {
		if !validEnv(name, value) {
			return fmt.Errorf("%s cannot be given to the task: %w", what, errNoInput)
		}
		env[name] = value
		return nil
	}
	if err := s.addedEndpoints(set); err != nil {
		return nil, err
	}
	if err := s.addedSecureFiles(ctx, set); err != nil {
		return nil, err
	}
	// Those that nobody gave are there as well, empty.
	names := slices.Collect(maps.Keys(s.step.Inputs))
	for _, in := range s.added.Inputs {
		names = append(names, in.Name)
	}
	for _, name := range names {
		if err := set("The input "+name, "INPUT_"+envName(name), s.addedInput(name)); err != nil {
			return nil, err
		}
	}
	if err := s.addedVariables(set); err != nil {
		return nil, err
	}
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out, nil
}

// addedInput is the value of an input as the task gets it: paths are absolute, an empty one
// is the folder of the sources, and a connection is named by its id.
func (s *stepRun) addedInput(name string) string {
	value := s.inputs[strings.ToLower(name)]
	kind := ""
	for _, in := range s.added.Inputs {
		if strings.EqualFold(in.Name, name) {
			kind = strings.ToLower(in.Type)
		}
	}
	switch {
	case kind == "filepath" && !filepath.IsAbs(value):
		return filepath.Join(s.space.path(dirSources), value)
	case kind == "filepath":
		return filepath.Clean(value)
	case kind == "securefile" || strings.HasPrefix(kind, "connectedservice"):
		var ids []string
		for one := range strings.SplitSeq(value, ",") {
			ids = append(ids, strings.ToLower(strings.TrimSpace(one)))
		}
		return strings.Join(ids, ",")
	}
	return value
}

// addedEndpoints gives the task the connections that its own inputs name, what steps have
// made with task.setendpoint, and the one to the server; nothing else of what the job has.
func (s *stepRun) addedEndpoints(set func(what, name, value string) error) error {
	mine := map[string]bool{}
	for _, name := range s.step.Connections {
		id := strings.ToLower(s.expand(name))
		if s.endpoints[id] == nil {
			return fmt.Errorf("this job was given no service connection %s: the project has none of that name, or the run is that of a pull request. List them with: towpath connection list", name)
		}
		mine[id] = true
	}
	for id, e := range s.endpoints {
		if !mine[id] && !e.made {
			continue
		}
		for name, value := range e.variables(id, true) {
			if err := set("The service connection "+id, name, value); err != nil {
				return err
			}
		}
	}
	url, _ := s.vars.Lookup("System.CollectionUri")
	system := &endpoint{url: url, authenticationAs: "OAuth"}
	system.setAuth("AccessToken", s.job.Token)
	for name, value := range system.variables("SYSTEMVSSCONNECTION", true) {
		if err := set("The connection to the server", name, value); err != nil {
			return err
		}
	}
	return nil
}

// addedSecureFiles gives the task the names and tickets of the secure files that its inputs name.
// A ticket opens the file at the server, where the service's own library for tasks looks for it.
func (s *stepRun) addedSecureFiles(ctx context.Context, set func(what, name, value string) error) error {
	if len(s.step.SecureFiles) > 0 {
		// From a pod the public address may not be there; that of the agent is.
		if err := set("The address of the server", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI", strings.TrimSuffix(s.agent.cfg.Server, "/")+"/"); err != nil {
			return err
		}
	}
	for _, name := range s.step.SecureFiles {
		name = s.expand(name)
		kept, err := s.secureFileName(ctx, name)
		if err == nil && kept == "" {
			err = fmt.Errorf("the server has no name of a file for the secure file %s", name)
		}
		if err != nil {
			return err
		}
		id, ticket := strings.ToLower(name), protocol.Ticket(s.job.Lease, name)
		s.masker.Add(ticket)
		s.borrowed = append(s.borrowed, filepath.Join(dirTemp, kept)) // where the library puts it
		for key, value := range map[string]string{"SECUREFILE_NAME_": kept, "SECUREFILE_TICKET_": ticket} {
			if err := set("The secure file "+name, key+id, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// addedVariables are the variables of the job with the lists of their names, and those of
// the task's own stages.
func (s *stepRun) addedVariables(set func(what, name, value string) error) error {
	public, secret := []string{}, []string{}
	for _, v := range s.vars.Sorted() {
		if !v.Secret {
			public = append(public, v.Name)
			continue
		}
		secret = append(secret, v.Name)
		if err := set("The variable "+v.Name, "SECRET_"+s.variableKey(v), v.Text); err != nil {
			return err
		}
	}
	status, _ := s.vars.Lookup("Agent.JobStatus")
	extra := map[string]string{
		"AGENT_VERSION": agentProtocol, "TASK_DISPLAYNAME": s.step.DisplayName, "SYSTEM_TASKDISPLAYNAME": s.step.DisplayName, "SYSTEM_TASKINSTANCENAME": s.outputName(),
		"agent.jobstatus": status, "VSTS_PUBLIC_VARIABLES": jsonOf(public), "VSTS_SECRET_VARIABLES": jsonOf(secret),
	}
	for _, v := range s.taskVars {
		extra["VSTS_TASKVARIABLE_"+envName(v.Name)] = v.Text
	}
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		if err := set(name, name, extra[name]); err != nil {
			return err
		}
	}
	return nil
}

// variableKey is the name of a variable in the environment, in its own case when it asked
// for that.
func (s *stepRun) variableKey(v plan.Value) string {
	if s.cased[strings.ToLower(v.Name)] {
		return strings.NewReplacer(".", "_", " ", "_").Replace(v.Name)
	}
	return envName(v.Name)
}

func jsonOf(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(raw)
}

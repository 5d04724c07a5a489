package local

import (
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// given refuses a plan that uses what nobody has given the run: variable groups,
// connections and secure files, which a server keeps. All of them are named at once.
func (cfg *Config) given() error {
	var lines, flags []string
	say := func(pos fmt.Stringer, what, flag string) {
		line := fmt.Sprintf("%s: the %s is kept on a server", pos, what)
		for _, l := range flags {
			if l == flag {
				return
			}
		}
		lines, flags = append(lines, line), append(flags, flag)
	}
	groups := func(list []plan.Variable) {
		for _, v := range list {
			if _, ok := cfg.Groups[v.Group]; v.Group != "" && !ok {
				say(v.Pos, "variable group "+v.Group, "--group '"+v.Group+"=FILE'")
			}
		}
	}
	groups(cfg.Plan.Variables)
	for i := range cfg.Plan.Stages {
		stage := &cfg.Plan.Stages[i]
		groups(stage.Variables)
		for k := range stage.Jobs {
			job := &stage.Jobs[k]
			if job.Kind == plan.KindDeployment {
				continue // It is left out.
			}
			groups(job.Variables)
			for _, r := range check.OfJob(cfg.Plan, job, project+"/"+project).Resources {
				switch {
				case r.Kind == check.Connection && !cfg.connected(r.Name):
					say(job.Pos, "service connection "+r.Name, "--connection '"+r.Name+"=FILE'")
				case r.Kind == check.File && !cfg.filed(r.Name):
					say(job.Pos, "secure file "+r.Name, "--secure-file '"+r.Name+"=PATH'")
				}
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "%s.", strings.Join(lines, ".\n")).WithNext("give it for this run: %s (towpath pipeline run --help says what is in such a file)", strings.Join(flags, " "))
}

// connected reports whether a connection was given; names of connections know no case.
func (cfg *Config) connected(name string) bool {
	for _, c := range cfg.Connections {
		if strings.EqualFold(c.Name, name) {
			return true
		}
	}
	return false
}

func (cfg *Config) filed(name string) bool {
	for n := range cfg.SecureFiles {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// missing says which repository of a plan needs a folder, or nil.
func missing(alias, name string) error {
	return fault.New(fault.Invalid, "The pipeline checks out the repository %s (%s), which is not on this machine.", alias, name).
		WithNext("say where it is: --resource %s=DIR", alias)
}

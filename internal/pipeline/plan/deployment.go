package plan

import (
	"slices"
	"strings"
)

// HookRun is one round of one hook of a deployment.
type HookRun struct {
	// Hook is the name of the hook.
	Hook string `json:"hook"`
	// Increment is the percentage of a canary round, 0 elsewhere.
	Increment int `json:"increment,omitempty"`
	// Action is the value of strategy.action: "deploy", "promote" or "reject" (D004).
	Action string `json:"action,omitempty"`
}

// HookResult is a round that has ended.
type HookResult struct {
	HookRun
	Result Result `json:"result"`
}

// Next returns the hook round that follows those that have ended, and false when
// the deployment is over. After a failure the rest is skipped and on.failure
// runs, otherwise on.success runs at the end; what happens in these two starts
// nothing further (D001, D006). A canary repeats deploy, routeTraffic and
// postRouteTraffic for every increment (D003).
func (s *Strategy) Next(ended []HookResult) (HookRun, bool) {
	if len(ended) > 0 {
		last := ended[len(ended)-1]
		switch {
		case last.Hook == HookSuccess || last.Hook == HookFailure || last.Result == Canceled:
			return HookRun{}, false
		case last.Result == Failed:
			return s.closing(true)
		}
	}
	if rounds := s.rounds(); len(ended) < len(rounds) {
		return rounds[len(ended)], true
	}
	return s.closing(false)
}

// Turn returns the rounds that may come while one agent has the deployment, given those that
// have ended before: from the next one on for as long as the hooks have one pool, with
// on.failure where its pool is that one too. A pool that is "server" is the server itself. On
// a machine of an environment every agent is the machine's own, so that only this counts.
func (s *Strategy) Turn(ended []HookResult, machine bool) []HookRun {
	first, more := s.Next(ended)
	if !more {
		return nil
	}
	pool := s.Hook(first.Hook).Pool
	here := func(round HookRun) bool {
		own := s.Hook(round.Hook).Pool
		return own.Same(pool) || machine && own.Server == pool.Server
	}
	var rounds []HookRun
	at := slices.Clone(ended)
	for round := first; more && here(round); round, more = s.Next(at) {
		rounds = append(rounds, round)
		at = append(at, HookResult{HookRun: round, Result: Succeeded})
	}
	if failure, can := s.closing(true); can && here(failure) && !slices.Contains(rounds, failure) {
		rounds = append(rounds, failure)
	}
	return rounds
}

// Goes appends to the rounds that have ended those that somebody reports, as far as the
// strategy has them follow each other.
func (s *Strategy) Goes(ended, reported []HookResult) []HookResult {
	ended = slices.Clone(ended)
	for len(reported) > len(ended) {
		one := reported[len(ended)]
		if round, more := s.Next(ended); !more || round != one.HookRun {
			break
		}
		ended = append(ended, one)
	}
	return ended
}

// Same reports whether two pools are written alike; names compare without regard to case.
func (p Pool) Same(o Pool) bool {
	return p.Server == o.Server && equalFold(p.Name, o.Name) && equalFold(p.VMImage, o.VMImage) && slices.Equal(p.Demands, o.Demands)
}

// Result sums up the rounds of a deployment that is over.
func (s *Strategy) Result(ended []HookResult) Result {
	results := make([]Result, len(ended))
	for i, end := range ended {
		results[i] = end.Result
	}
	return Combine(results...)
}

// closing returns on.failure or on.success, where the file defines it.
func (s *Strategy) closing(failed bool) (HookRun, bool) {
	run := HookRun{Hook: HookSuccess, Action: s.action("promote")}
	if failed {
		run = HookRun{Hook: HookFailure, Action: s.action("reject")}
	}
	return run, s.Hook(run.Hook) != nil
}

// action returns the strategy.action of a canary; the other strategies have none
// but "deploy".
func (s *Strategy) action(name string) string {
	if s.Name == Canary {
		return name
	}
	return "deploy"
}

// rounds returns everything up to the closing hook, in order.
func (s *Strategy) rounds() []HookRun {
	var rounds []HookRun
	add := func(increment int, names ...string) {
		for _, name := range names {
			if s.Hook(name) != nil {
				rounds = append(rounds, HookRun{Hook: name, Increment: increment, Action: "deploy"})
			}
		}
	}
	add(0, HookPreDeploy)
	if s.Name != Canary || len(s.Increments) == 0 {
		add(0, HookDeploy, HookRouteTraffic, HookPostRouteTraffic)
		return rounds
	}
	for _, increment := range s.Increments {
		add(increment, HookDeploy, HookRouteTraffic, HookPostRouteTraffic)
	}
	return rounds
}

// OutputName returns the key of an output variable in JobState.Outputs, given
// where it was set: leg is the leg of a matrix job or the virtual machine of a
// deployment, run the round of a deployment; both are zero elsewhere.
//
//	ordinary job            step.variable
//	leg of a matrix         leg.step.variable             (V006)
//	runOnce, deploy alone   job.step.variable             (V007)
//	runOnce, several hooks  hook.step.variable
//	with a resource         hook_resource.step.variable   (also each machine's own)
//	canary                  hook_increment.step.variable
func (j *Job) OutputName(leg string, run HookRun, step, variable string) string {
	var name string
	switch {
	case leg != "" && j.Strategy != nil:
		name = strings.TrimPrefix(run.Hook, "on.") + "_" + leg
	case leg != "":
		name = leg
	case j.Strategy == nil:
		return step + "." + variable
	default:
		name = j.hookOutput(run)
	}
	return name + "." + step + "." + variable
}

func (j *Job) hookOutput(run HookRun) string {
	hook := strings.TrimPrefix(run.Hook, "on.")
	switch {
	case j.Strategy.Name == Canary:
		return hook + "_" + itoa(run.Increment)
	case j.Environment != nil && j.Environment.Resource != "":
		return hook + "_" + j.Environment.Resource
	case j.Strategy.Name == RunOnce && len(j.Strategy.Hooks) == 1:
		return j.Name
	}
	return hook
}

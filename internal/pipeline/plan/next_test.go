package plan_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// TestNext runs the cases of testdata/next. A file describes a plan in the lines
// before "---": "stage NAME after A,B if CONDITION" and, below it, "job NAME
// after A if CONDITION" or "var NAME=VALUE". After "---" come rounds: "given"
// lines change the state ("given NAME RESULT", "given STAGE.JOB RESULT [out
// step.var=value]", "running NAME", "cancel"), and "want" lines are all
// decisions that Next then makes, in order.
func TestNext(t *testing.T) {
	files, err := filepath.Glob("testdata/next/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s := &scenario{t: t, state: plan.State{Stages: map[string]plan.StageState{}}}
			for lines := bufio.NewScanner(f); lines.Scan(); {
				s.line(lines.Text())
			}
			s.check()
		})
	}
}

type scenario struct {
	t       *testing.T
	plan    plan.Plan
	state   plan.State
	started bool
	want    []string
	checked bool
}

func (s *scenario) line(line string) {
	fields := strings.Fields(line)
	switch {
	case len(fields) == 0 || strings.HasPrefix(line, "#"):
	case fields[0] == "---":
		s.started = true
	case !s.started:
		s.define(fields)
	case fields[0] == "want":
		s.want = append(s.want, strings.Join(fields[1:], " "))
		s.checked = true
	default:
		s.check()
		s.happen(fields)
	}
}

func (s *scenario) define(fields []string) {
	name, dependsOn, condition := fields[1], []string(nil), plan.DefaultCondition
	for i := 2; i < len(fields); i++ {
		switch fields[i] {
		case "after":
			dependsOn = strings.Split(fields[i+1], ",")
		case "if":
			condition = strings.Join(fields[i+1:], " ")
		}
	}
	stages := &s.plan.Stages
	switch fields[0] {
	case "stage":
		*stages = append(*stages, plan.Stage{Name: name, DependsOn: dependsOn, Condition: condition})
	case "job":
		last := &(*stages)[len(*stages)-1]
		last.Jobs = append(last.Jobs, plan.Job{Name: name, DependsOn: dependsOn, Condition: condition})
	case "var":
		last := &(*stages)[len(*stages)-1]
		job := &last.Jobs[len(last.Jobs)-1]
		key, value, _ := strings.Cut(strings.Join(fields[1:], " "), "=")
		job.Variables = append(job.Variables, plan.Variable{Name: key, Value: value})
	default:
		s.t.Fatalf("unknown line %v", fields)
	}
}

func (s *scenario) happen(fields []string) {
	switch fields[0] {
	case "cancel":
		s.state.Canceled = true
		return
	case "var":
		key, value, _ := strings.Cut(fields[1], "=")
		if s.state.Variables == nil {
			s.state.Variables = plan.Values{}
		}
		s.state.Variables.Set(plan.Value{Name: key, Text: value})
		return
	}
	stage, job, isJob := strings.Cut(fields[1], ".")
	entry := s.state.Stages[stage]
	status, result := plan.Running, plan.Result("")
	if fields[0] == "given" {
		status, result = plan.Completed, plan.Result(fields[2])
	}
	if !isJob {
		entry.Status, entry.Result = status, result
		s.state.Stages[stage] = entry
		return
	}
	if entry.Jobs == nil {
		entry.Jobs = map[string]plan.JobState{}
	}
	outputs := map[string]string{}
	for _, field := range fields {
		if key, value, ok := strings.Cut(field, "="); ok {
			outputs[key] = value
		}
	}
	entry.Jobs[job] = plan.JobState{Status: status, Result: result, Outputs: outputs}
	s.state.Stages[stage] = entry
}

// check compares the decisions with the "want" lines that were collected.
func (s *scenario) check() {
	s.t.Helper()
	if !s.checked {
		return
	}
	var got []string
	for _, d := range s.plan.Next(s.state) {
		text := string(d.Action) + " " + d.Stage
		if d.Job != "" {
			text += "." + d.Job
		}
		if d.Action == plan.Finish {
			text += " " + string(d.Result)
		}
		got = append(got, text)
	}
	if len(got) == 0 {
		got = []string{strings.TrimSpace("nothing " + string(s.plan.Result(s.state)))}
	}
	if diff := cmp.Diff(s.want, got); diff != "" {
		s.t.Errorf("decisions differ (-want +got):\n%s", diff)
	}
	s.want, s.checked = nil, false
}

func TestNextIsPure(t *testing.T) {
	p := plan.Plan{Stages: []plan.Stage{{Name: "A", Condition: plan.DefaultCondition, Jobs: []plan.Job{{Name: "J", Condition: plan.DefaultCondition}}}}}
	state := plan.State{}
	first := fmt.Sprint(p.Next(state))
	if second := fmt.Sprint(p.Next(state)); first != second || state.Stages != nil {
		t.Errorf("first %s, then %s, state %v", first, second, state)
	}
}

func TestConditionErrorFailsX113(t *testing.T) {
	p := plan.Plan{Stages: []plan.Stage{{Name: "A", Condition: "gt(1, 'x')"}}}
	decisions := p.Next(plan.State{})
	if len(decisions) != 1 || decisions[0].Action != plan.Fail || !strings.Contains(decisions[0].Reason, "Unable to compare") {
		t.Errorf("got %+v", decisions)
	}
}

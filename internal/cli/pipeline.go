package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/validate"
)

func (e *env) pipelines() *cobra.Command {
	files := []*cobra.Command{e.pipelineValidate(), e.pipelineExpand(), e.pipelinePlan(), e.pipelineRun(), e.pipelineLSP(), e.pipelineParameters(), e.pipelineVariables()}
	return noun("pipeline", "Pipelines of a project, and their files: check, expand, plan, run", append(files, e.definitions()...)...)
}

func (e *env) pipelineValidate() *cobra.Command {
	c := &cobra.Command{
		Use: "validate [FILE]", Short: "Check an azure-pipelines.yml on this machine", Args: cobra.MaximumNArgs(1),
		Long: "Expands the file with its templates and checks the result, without a server or the network. Every finding is\n" +
			"printed as FILE (Line: n, Col: m): message. What is a pipeline but cannot run on an installation of Towpath is a\n" +
			"warning; --strict makes it an error, as it is when a run starts.",
		Example: "  towpath pipeline validate\n  towpath pipeline validate azure-pipelines.yml -p environment=test --resource templates=../templates",
	}
	strict := c.Flags().Bool("strict", false, "what this version of Towpath cannot run is an error")
	return onFile(c, func(p *localPipeline) error {
		p.options.Question = validate.Correct
		if *strict {
			p.options.Question = validate.Runnable
		}
		_, found := compile.Full(c.Context(), p.file, p, p.options)
		if err := e.diagnostics(found, p); err != nil {
			return err
		}
		fmt.Fprintf(e.err, "%s is valid\n", p.shown)
		return nil
	})
}

func (e *env) pipelineExpand() *cobra.Command {
	c := &cobra.Command{
		Use: "expand [FILE]", Short: "Print the pipeline with its templates and ${{ }} expanded", Args: cobra.MaximumNArgs(1),
		Long: "Prints the YAML that remains when templates and ${{ }} are gone, without a server or the network. The same files,\n" +
			"parameters and variables always give the same text. Tasks that are unknown here are a warning.",
		Example: "  towpath pipeline expand examples/shop/azure-pipelines.yml\n" +
			"  towpath pipeline expand build/ci.yml --repo . -p configuration=Release --resource templates@refs/tags/v1=../templates",
	}
	return onFile(c, func(p *localPipeline) error {
		p.options.Question = validate.Expandable
		text, found := compile.Expand(c.Context(), p.file, p, p.options)
		if err := e.diagnostics(found, p); err != nil {
			return err
		}
		_, err := e.out.Write(text)
		return err
	})
}

func (e *env) pipelinePlan() *cobra.Command {
	c := &cobra.Command{
		Use: "plan [FILE]", Short: "Print the stages, jobs and steps that a pipeline would run", Args: cobra.MaximumNArgs(1),
		Long: "Compiles the file as the server does and prints what would run, in which order and under which conditions.\n" +
			"-o json or yaml prints the whole plan.",
		Example: "  towpath pipeline plan examples/shop/azure-pipelines.yml\n  towpath pipeline plan azure-pipelines.yml -p environment=test -o json",
	}
	return onFile(c, func(p *localPipeline) error {
		planned, found := compile.Compile(c.Context(), p.file, p, p.options)
		if err := e.diagnostics(found, p); err != nil {
			return err
		}
		return e.print(planned, func() table { return planTable(planned) })
	})
}

// onFile gives a command the flags of a pipeline file, and has it do something with that file.
func onFile(c *cobra.Command, do func(p *localPipeline) error) *cobra.Command {
	var flags pipelineFlags
	flags.add(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		p, err := flags.open(args)
		if err != nil {
			return err
		}
		return do(p)
	}
	return c
}

// planTable lists stages, jobs and steps, each under what it belongs to.
func planTable(p *plan.Plan) table {
	t := table{head: []string{"WHAT", "TASK", "AFTER", "CONDITION"}}
	row := func(depth int, what, name, title, task string, after []string, condition string) {
		text := strings.Repeat("  ", depth) + what + " " + name
		if title != "" && title != name {
			text += " (" + title + ")"
		}
		if condition == plan.DefaultCondition {
			condition = ""
		}
		t.rows = append(t.rows, []string{text, task, strings.Join(after, ", "), condition})
	}
	for _, s := range p.Stages {
		row(0, "stage", s.Name, s.DisplayName, "", s.DependsOn, s.Condition)
		for _, j := range s.Jobs {
			row(1, string(j.Kind), j.Name, j.DisplayName, jobNote(j), j.DependsOn, j.Condition)
			for _, step := range j.Steps {
				row(2, "step", step.ID, step.DisplayName, step.Task, nil, step.Condition)
			}
			for _, h := range hooksOf(j) {
				elsewhere := ""
				if !h.Pool.Same(j.Pool) {
					elsewhere = poolNote(h.Pool)
				}
				row(2, "hook", h.Name, "", elsewhere, nil, plan.DefaultCondition)
				for _, step := range h.Steps {
					row(3, "step", step.ID, step.DisplayName, step.Task, nil, step.Condition)
				}
			}
		}
	}
	return t
}

// jobNote says in a few words how a job differs from one that runs once on any agent.
func jobNote(j plan.Job) string {
	var notes []string
	if j.Environment != nil {
		name := j.Environment.Name
		if j.Environment.Resource != "" {
			name += "." + j.Environment.Resource
		}
		notes = append(notes, "to "+name)
	}
	if j.Strategy != nil {
		notes = append(notes, j.Strategy.Name)
	}
	if j.Matrix != nil {
		count := strconv.Itoa(len(j.Matrix.Legs)) + " legs"
		if j.Matrix.Expression != "" {
			count = "legs from " + j.Matrix.Expression
		}
		notes = append(notes, count)
	}
	if pool := poolNote(j.Pool); pool != "" {
		notes = append(notes, pool)
	}
	return strings.Join(notes, ", ")
}

// poolNote names a pool; "" for the one that is there without being named.
func poolNote(p plan.Pool) string {
	name := p.Name + p.VMImage
	if p.Server {
		name = "server"
	}
	if name == "" {
		return ""
	}
	return "pool " + name
}

func hooksOf(j plan.Job) []plan.Hook {
	if j.Strategy == nil {
		return nil
	}
	return j.Strategy.Hooks
}

// diagnostics prints what was found; errors end the command with exit code 1.
func (e *env) diagnostics(found compile.Diagnostics, p *localPipeline) error {
	for _, d := range found {
		d.Pos = p.place(d.Pos)
		prefix := ""
		if d.Severity != "error" {
			prefix = string(d.Severity) + ": "
		}
		fmt.Fprintln(e.err, prefix+d.Error())
	}
	if found.Err() != nil {
		return exitCode(1)
	}
	return nil
}

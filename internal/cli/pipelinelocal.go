package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"towpath.dev/towpath/internal/local"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// localFlags are those of a run on this machine.
type localFlags struct {
	jobs, steps, secrets, groups []string
	connections, files           []string
	artifacts, engine            string
	dry, shell                   bool
	slots                        int
}

func (l *localFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&l.jobs, "job", nil, "only this job: JOB, STAGE.JOB or STAGE.JOB.LEG; may be repeated")
	f.StringArrayVar(&l.steps, "step", nil, "only this step, by name or title, after the checkouts of its job; may be repeated")
	f.StringArrayVar(&l.secrets, "secret", nil, "secret variable that has the value of the environment variable NAME, or NAME=OTHER")
	f.StringArrayVar(&l.groups, "group", nil, "values of a variable group, NAME=FILE with lines NAME=VALUE; all of them are secret")
	f.StringArrayVar(&l.connections, "connection", nil, "service connection, NAME=FILE; the YAML file has type, url, parameters and secrets")
	f.StringArrayVar(&l.files, "secure-file", nil, "secure file, NAME=PATH; NAME alone is the file of this name here")
	f.StringVar(&l.artifacts, "artifacts", "", "folder that the published artifacts are written to")
	f.BoolVar(&l.dry, "dry-run", false, "say what would run and what is left out, and run nothing")
	f.BoolVar(&l.shell, "shell-on-failure", false, "open a shell where a step failed, with its environment; the job goes on when the shell ends")
	f.StringVar(&l.engine, "container-engine", "", "docker or podman, for jobs with containers; without it the first of them that answers")
	f.IntVar(&l.slots, "parallel", min(4, runtime.NumCPU()), "jobs at a time")
}

// isFile reports whether a name is a file here, or in the repository that --repo names.
func isFile(name, repo string) bool {
	return exists(name) || repo != "" && !filepath.IsAbs(name) && exists(filepath.Join(repo, name))
}

func hasExtension(name string, of ...string) bool {
	return slices.Contains(of, strings.ToLower(filepath.Ext(name)))
}

// localResult is what a local run has come to.
type localResult struct {
	*pipeline.Detail
	LeftOut []local.LeftOut `json:"left_out"`
}

// dryResult is what a local run would do.
type dryResult struct {
	Plan    *plan.Plan      `json:"plan"`
	LeftOut []local.LeftOut `json:"left_out"`
}

// runLocal runs a pipeline file on this machine.
func (e *env) runLocal(ctx context.Context, files *pipelineFlags, here *localFlags, args []string) error {
	p, err := files.open(args)
	if err != nil {
		return err
	}
	p.onBranch(files.variables)
	home, known := local.Remote(ctx, p.root)
	if known {
		p.predefine(home.Variables())
	}
	p.options.Features = local.Features()
	planned, found := compile.Compile(ctx, p.file, p, p.options)
	if err := e.diagnostics(found, p); err != nil {
		return err
	}
	choice, err := local.Choose(planned, here.jobs, here.steps)
	if err != nil {
		return err
	}
	if here.dry {
		e.sayLeftOut(choice, p)
		return e.print(dryResult{planned, choice.LeftOut}, func() table { return planTable(planned) })
	}
	cfg, err := e.localConfig(p, here, planned, choice)
	if err != nil {
		return err
	}
	if cfg.Variables, err = assignments("--var", files.variables); err != nil {
		return err
	}
	if known {
		cfg.Predefined = home.Variables()
	}
	e.sayLeftOut(choice, p)
	out := e.out
	if e.output == "json" || e.output == "yaml" {
		out = e.err
	}
	show := newLocalLog(out, e.err, planned)
	cfg.Watcher = show
	if here.shell {
		cfg.Pause = e.shell(show)
	}
	if terminal := e.stdinTerminal(); terminal != nil {
		cfg.Ask = newTerminalAsker(show, terminal)
	}
	detail, err := local.Run(ctx, secondInterrupt(), cfg)
	if err != nil {
		return err
	}
	return e.localVerdict(detail, choice, here)
}

// localConfig is the run that the flags ask for.
func (e *env) localConfig(p *localPipeline, here *localFlags, planned *plan.Plan, choice local.Choice) (local.Config, error) {
	cfg := local.Config{
		Plan: planned, Choice: choice, Root: p.root, Repositories: map[string]string{}, Parameters: p.options.Parameters, Secrets: map[string]string{},
		Groups: map[string]map[string]string{}, SecureFiles: map[string]string{}, Slots: max(here.slots, 1), Path: e.getenv("PATH"), Version: e.version, Log: slog.New(slog.DiscardHandler),
		Tasks: p.tasks, Engine: here.engine, Env: os.Environ(),
	}
	for _, r := range planned.Resources.Repositories {
		if dir, ok := p.resource(&expand.Repository{Alias: r.Alias, Type: r.Type, Name: r.Name, Ref: r.Ref}); ok {
			absolute, err := filepath.Abs(dir)
			if err != nil {
				return cfg, fmt.Errorf("finding %s: %w", dir, err)
			}
			cfg.Repositories[strings.ToLower(r.Alias)] = absolute
		}
	}
	if err := e.give(&cfg, here); err != nil {
		return cfg, err
	}
	if here.artifacts != "" {
		var err error
		if cfg.Artifacts, err = filepath.Abs(here.artifacts); err != nil {
			return cfg, fmt.Errorf("finding %s: %w", here.artifacts, err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cfg.Shared = filepath.Join(cache, "towpath")
	return cfg, nil
}

// sayLeftOut names what does not run here.
func (e *env) sayLeftOut(c local.Choice, p *localPipeline) {
	for _, l := range c.LeftOut {
		fmt.Fprintf(e.err, "left out: %s (%s): %s\n  next: %s\n", l.What, p.place(l.Pos), l.Why, l.Next)
	}
}

// onBranch has ${{ }} see the branch that is checked out, unless a flag says another one.
func (p *localPipeline) onBranch(given []string) {
	head, err := os.ReadFile(filepath.Join(p.root, ".git", "HEAD"))
	ref, ok := strings.CutPrefix(strings.TrimSpace(string(head)), "ref: ")
	if err != nil || !ok {
		return
	}
	if slices.ContainsFunc(given, func(g string) bool { return strings.HasPrefix(strings.ToLower(g), "build.sourcebranch") }) {
		return
	}
	p.options.Variables["Build.SourceBranch"] = ref
	p.options.Variables["Build.SourceBranchName"] = ref[strings.LastIndexByte(ref, '/')+1:]
}

// predefine has ${{ }} see predefined variables, unless a flag says others.
func (p *localPipeline) predefine(values map[string]string) {
	given := p.options.Variables
	p.options.Variables = values
	for name, value := range given {
		for known := range values {
			if strings.EqualFold(known, name) {
				delete(values, known)
			}
		}
		values[name] = value
	}
}

// secondInterrupt returns a channel that is closed when the user interrupts for the second
// time; a third one ends the program.
func secondInterrupt() <-chan struct{} {
	signals, end := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		<-signals
		signal.Stop(signals)
		close(end)
	}()
	return end
}

// localVerdict prints what a local run came to, errors first.
func (e *env) localVerdict(d *pipeline.Detail, c local.Choice, here *localFlags) error {
	failed := d.Result != plan.Succeeded && d.Result != plan.SucceededWithIssues
	for _, why := range troubles(d) {
		fmt.Fprintln(e.err, "error: "+printable(why))
	}
	if err := e.print(localResult{d, c.LeftOut}, func() table { return localTable(d) }); err != nil {
		return err
	}
	if len(d.Artifacts) > 0 && here.artifacts == "" {
		fmt.Fprintf(e.err, "%d artifacts are gone with the run; keep them with --artifacts DIR\n", len(d.Artifacts))
	}
	if failed {
		return exitCode(1)
	}
	return nil
}

// troubles are the reasons of what failed: steps, else the jobs and stages that have none.
func troubles(d *pipeline.Detail) []string {
	var out []string
	for _, s := range d.Stages {
		before := len(out)
		for _, j := range s.Jobs {
			at := len(out)
			for _, p := range j.Steps {
				if p.Result == plan.Failed {
					out = append(out, strings.TrimSpace(local.Label(s.Name, j.Name, j.Leg)+" "+p.DisplayName)+": "+p.Why)
				}
			}
			if len(out) == at && j.Result == plan.Failed {
				out = append(out, local.Label(s.Name, j.Name, j.Leg)+": "+j.Why)
			}
		}
		if len(out) == before && s.Result == plan.Failed {
			out = append(out, s.Name+": "+s.Why)
		}
	}
	return out
}

// localTable is the end of a local run: each job with its result.
func localTable(d *pipeline.Detail) table {
	t := table{rows: [][]string{{"run " + d.Name, state(d.Status, d.Result), took(d.Started, d.Finished), ""}}}
	for _, s := range d.Stages {
		if len(s.Jobs) == 0 || s.Result == plan.Skipped && s.Started.IsZero() {
			t.rows = append(t.rows, []string{"  stage " + s.Name, state(s.Status, s.Result), "-", s.Why})
			continue
		}
		for _, j := range s.Jobs {
			name := local.Label(s.Name, j.Name, j.Leg)
			if name == "" {
				name = "the steps"
			}
			t.rows = append(t.rows, []string{"  " + name, state(j.Status, j.Result), took(j.Started, j.Finished), whyNot(j)})
		}
	}
	for _, x := range d.Tests {
		t.rows = append(t.rows, []string{"  tests", fmt.Sprintf("%d of %d passed", x.Passed, x.Total), "", x.Title})
	}
	for _, a := range d.Artifacts {
		t.rows = append(t.rows, []string{"  artifact " + a.Name, fmt.Sprintf("%d files", a.Files), "", size(a.Bytes)})
	}
	return t
}

// whyNot is why a job did not run; that it failed was said before.
func whyNot(j pipeline.Job) string {
	if j.Result == plan.Failed {
		return ""
	}
	return j.Why
}

// stdinTerminal is the terminal that the user types at, or nil.
func (e *env) stdinTerminal() *os.File {
	f, ok := e.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/fault"
)

// env is what a command runs with.
type env struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	version  string

	server, token, contextName string // flags
	output                     string
	project, repo              string
}

// Main runs the command line and returns the exit code. The first interrupt ends the
// command's context, so that it can clean up; the second ends the program.
func Main(version string, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // From now on a signal has its usual effect.
	}()
	e := &env{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, version: version}
	return e.run(ctx, args)
}

func (e *env) run(ctx context.Context, args []string) int {
	root := e.root()
	root.SetArgs(args)
	root.SetIn(e.in)
	root.SetOut(e.out)
	root.SetErr(e.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		if ctx.Err() != nil {
			fmt.Fprintln(e.err, "interrupted")
			return 1
		}
		// What cobra finds wrong with flags and arguments, and our own plain errors.
		fmt.Fprintf(e.err, "error: %v\n", err)
		if usage(err) {
			return 2
		}
		return 1
	}
	message, next := f.Message, f.Next
	if f.Kind == fault.Internal && f.Cause != nil {
		message += " " + f.Cause.Error()
	}
	fmt.Fprintf(e.err, "error: %s\n", message)
	if next != "" {
		fmt.Fprintf(e.err, "  next: %s\n", next)
	}
	return f.Kind.ExitCode()
}

// usage reports errors that cobra makes of wrong words.
func usage(err error) bool {
	for _, s := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires ", "invalid argument", "flag needs", "required flag"} {
		if strings.HasPrefix(err.Error(), s) {
			return true
		}
	}
	return false
}

// exitCode ends a command that has said all there is to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func (e *env) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "towpath",
		Short: "From git push to a running pod, with one evidence chain through all of it",
		Long: "Towpath hosts the source, runs azure-pipelines.yml, keeps, scans and signs the images, and deploys charts to a real\n" +
			"Kubernetes. `towpath up` starts all of it on this machine.",
		Example:       "  towpath up\n  towpath run list --project shop\n  towpath trace commit/HEAD --project shop",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       e.version,
	}
	f := root.PersistentFlags()
	f.StringVar(&e.server, "server", "", "address of the server (default: the current context's)")
	f.StringVar(&e.token, "token", "", "personal token (default: the current context's); prefer $TOWPATH_TOKEN")
	f.StringVar(&e.contextName, "context", "", "context to use (default: the current one)")
	f.StringVarP(&e.output, "output", "o", "table", "form of what is read: table, wide, json or yaml")
	root.AddGroup(
		&cobra.Group{ID: "host", Title: "On this machine:"},
		&cobra.Group{ID: "loop", Title: "From commit to pod:"},
		&cobra.Group{ID: "know", Title: "Look and ask:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("host", e.up(), e.down(), e.status(), e.doctor(), e.serve(), e.kubectl(), e.kubeconfig())
	add("loop", e.projects(), e.repos(), e.pulls(), e.checks(), e.pipelines(), e.runs(), e.pools(), e.agents(), e.approvals(), e.variableGroups(), e.secureFiles(), e.connections(), e.tasks(), e.images(), e.envs(), e.releases(), e.canaries(), e.dev(), e.policies(), e.items(), e.sprints())
	add("know", e.trace(), e.verify(), e.query(), e.spans(), e.lines(), e.top(), e.services(), e.errors(), e.alerts(), e.insights(), e.dora(), e.log(), e.advisories(), e.rulesets(), e.secrets(), e.keys(), e.login(), e.contexts(), e.tokens(), e.users())
	return root
}

// client returns the API's client for the flags, the environment and the context, in
// this order.
func (e *env) client() (*client.Client, error) {
	c, err := e.chosen()
	if err != nil {
		return nil, err
	}
	return client.New(c.Server, c.Token), nil
}

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/app"
	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/fault"
)

func (e *env) up() *cobra.Command {
	var foreground bool
	c := &cobra.Command{
		Use: "up", Short: "Start Towpath on this machine: server, Kubernetes, agent", Args: cobra.NoArgs,
		Long: "Starts the server in the background with an embedded Kubernetes and a host agent, waits until all of it is ready, and\n" +
			"signs this command line in. With --kubeconfig it uses the cluster that you already have instead.",
		Example: "  towpath up\n  towpath up --data ./data\n  towpath up --kubeconfig ~/.kube/config",
	}
	f := e.bind(c)
	c.Flags().BoolVar(&foreground, "foreground", false, "stay in the foreground, for a service manager")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, level, err := f.config()
		if err != nil {
			return err
		}
		if cfg.Data, err = filepath.Abs(cfg.Data); err != nil {
			return err
		}
		if cfg.Cluster == cluster.KindEmbedded {
			if err := e.preflight(c.Context()); err != nil {
				return err
			}
		}
		if foreground {
			return e.serveUntil(c.Context(), cfg, level)
		}
		return e.upBackground(c, cfg)
	}
	return c
}

// programs is the folder of towpath's own executables.
func programs() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return "", err
	}
	return filepath.Dir(exe), nil
}

func (e *env) upBackground(c *cobra.Command, cfg app.Config) error {
	ctx := c.Context()
	if pid := running(cfg.Data); pid != 0 {
		fmt.Fprintf(e.err, "Towpath is running already (process %d).\n", pid)
		t, err := e.signIn(cfg)
		if err != nil {
			return err
		}
		return e.awaitReady(ctx, client.New(t.Server, t.Token), cfg)
	}
	url, err := e.start(ctx, c, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.err, "  server            ready at %s\n", url)
	if err := os.WriteFile(filepath.Join(cfg.Data, "run", "url"), []byte(url+"\n"), 0o644); err != nil {
		return fmt.Errorf("noting the server's address: %w", err)
	}
	t, err := e.signIn(cfg)
	if err != nil {
		return err
	}
	return e.awaitReady(ctx, client.New(t.Server, t.Token), cfg)
}

// start runs `towpath serve` with the same flags, detached from this terminal, and
// returns the address that it prints.
func (e *env) start(ctx context.Context, c *cobra.Command, cfg app.Config) (string, error) {
	dir, err := programs()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(cfg.Data, "run"), 0o700); err != nil {
		return "", fault.Wrap(fault.Invalid, err, "The data folder %s cannot be made.", cfg.Data).WithNext("choose another with --data DIR")
	}
	logPath := filepath.Join(cfg.Data, "towpath.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "The server's log %s cannot be written.", logPath)
	}
	defer log.Close()
	at, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(dir, "towpath"), serveArgs(c, cfg)...)
	cmd.Stderr, cmd.Dir = log, cfg.Data
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("starting the server: %w", err)
	}
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		ready <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), cmd.Process.Signal(syscall.SIGTERM))
	case line := <-ready:
		if url, ok := strings.CutPrefix(line, "ready "); ok {
			return url, cmd.Process.Release()
		}
	}
	err = cmd.Wait()
	return "", startError(logPath, at, err)
}

// startError repeats what the server said before it ended.
func startError(logPath string, at int64, cause error) error {
	said := ""
	if f, err := os.Open(logPath); err == nil {
		defer f.Close()
		if _, err := f.Seek(at, io.SeekStart); err == nil {
			b, _ := io.ReadAll(io.LimitReader(f, 64<<10))
			said = strings.TrimSpace(string(b))
		}
	}
	what, next, _ := strings.Cut(said, "\n  next: ")
	if i := strings.LastIndex(what, "error: "); i >= 0 {
		what = what[i+len("error: "):]
	}
	if what == "" {
		what = "The server ended while it started."
	}
	if next == "" {
		next = "read " + logPath
	}
	return fault.Wrap(fault.Conflict, cause, "%s", what).WithNext("%s", next)
}

// serveArgs repeats the flags that were given, as serve understands the same.
func serveArgs(c *cobra.Command, cfg app.Config) []string {
	args := []string{"serve", "--data", cfg.Data}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		switch list, ok := f.Value.(pflag.SliceValue); {
		case !f.Changed || f.Name == "data" || f.Name == "foreground":
		case ok:
			args = append(args, "--"+f.Name+"="+strings.Join(list.GetSlice(), ","))
		default:
			args = append(args, "--"+f.Name+"="+strings.Trim(f.Value.String(), "[]"))
		}
	})
	return args
}

// signIn makes a context of the installation, with the administrator's token, and has
// git sign in with it.
func (e *env) signIn(cfg app.Config) (target, error) {
	url, err := os.ReadFile(filepath.Join(cfg.Data, "run", "url"))
	if err != nil {
		return target{}, fault.Wrap(fault.Conflict, err, "A server runs on %s that was not started by `towpath up`.", cfg.Data).
			WithNext("sign in to it with `towpath login URL`")
	}
	file := cfg.AdminTokenFile
	if file == "" {
		file = filepath.Join(cfg.Data, "admin-token")
	}
	token, err := os.ReadFile(file)
	if err != nil {
		return target{}, fault.Wrap(fault.Denied, err, "The administrator's token in %s cannot be read.", file)
	}
	t := target{Server: strings.TrimSpace(string(url)), Token: strings.TrimSpace(string(token)), User: app.AdminUser}
	if err := e.remember("local", t); err != nil {
		return t, err
	}
	return t, e.installHelper(t.Server)
}

// upWait bounds how long up waits for the cluster; the server goes on by itself.
const upWait = 5 * time.Minute

// awaitReady shows what becomes ready, and when, until the cluster is.
func (e *env) awaitReady(ctx context.Context, api *client.Client, cfg app.Config) error {
	ctx, cancel := context.WithTimeout(ctx, upWait)
	defer cancel()
	shown := map[string]string{}
	for {
		s, err := status(ctx, api)
		if err != nil {
			return err
		}
		for _, c := range s.Cluster.Components {
			line := c.State
			if c.State == cluster.Ready {
				line = fmt.Sprintf("ready after %.1f s", c.Seconds)
			} else if c.Detail != "" {
				line += ": " + c.Detail
			}
			if shown[c.Name] != line && c.State != cluster.Starting {
				shown[c.Name] = line
				fmt.Fprintf(e.err, "  %-17s %s\n", c.Name, line)
			}
		}
		switch s.Cluster.State {
		case cluster.Ready:
			fmt.Fprintf(e.err, "  %-17s ready (Kubernetes %s)\n", "cluster", s.Cluster.Version)
			return e.announce(s, cfg)
		case cluster.Stopped:
			return e.announce(s, cfg)
		case cluster.Failed:
			return fault.New(fault.Unavailable, "The cluster cannot start: %s", s.Cluster.Why).
				WithNext("run `towpath doctor`; its log is %s", filepath.Join(cfg.Data, "logs", "cluster.log"))
		}
		select {
		case <-ctx.Done():
			return fault.Wrap(fault.Unavailable, ctx.Err(), "The cluster is still %s: %s", s.Cluster.State, orDash(s.Cluster.Why)).
				WithNext("watch it with `towpath status`")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (e *env) announce(s api.Status, cfg app.Config) error {
	return e.print(s, func() table {
		t := table{rows: [][]string{{"Open", s.URL}, {"User", app.AdminUser}, {"Password", "in " + filepath.Join(cfg.Data, "admin-password")}}}
		if s.Cluster.FrontDoor != "" {
			t.rows = append(t.rows, []string{"Apps", strings.Replace(s.Cluster.FrontDoor, "127.0.0.1", "HOST.localhost", 1)})
		}
		return t
	})
}

func (e *env) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the installation is", Args: cobra.NoArgs, Example: "  towpath status\n  towpath status -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := e.client()
			if err != nil {
				return err
			}
			s, err := status(c.Context(), client)
			if err != nil {
				return err
			}
			return e.print(s, func() table {
				t := table{rows: [][]string{
					{"server", "ready", s.URL + "  (" + s.Version + ", since " + ago(s.Started) + ")"},
					{"logbook", "ready", fmt.Sprintf("%d events", s.Events)},
					{"cluster", s.Cluster.State, strings.TrimSpace(s.Cluster.Kind + " " + s.Cluster.Version + " " + s.Cluster.Why)},
				}}
				for _, c := range s.Cluster.Components {
					d := c.Detail
					if c.Restarts > 0 {
						d = fmt.Sprintf("restarted %d times; %s", c.Restarts, d)
					}
					t.rows = append(t.rows, []string{"  " + c.Name, c.State, d})
				}
				return t
			})
		},
	}
}

// preflight asks towpath-kube whether this host can run the embedded cluster.
func (e *env) preflight(ctx context.Context) error {
	dir, err := programs()
	if err != nil {
		return err
	}
	kube := filepath.Join(dir, "towpath-kube")
	if _, err := os.Stat(kube); errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Unavailable, "The embedded Kubernetes is not installed (%s).", kube).
			WithNext("build it with `make kube`, or use a cluster that you have: towpath up --kubeconfig FILE")
	}
	if os.Geteuid() == 0 {
		return nil // The cluster checks the rest itself when it starts.
	}
	out, err := exec.CommandContext(ctx, kube, "check").CombinedOutput()
	if err == nil {
		return nil
	}
	fmt.Fprintf(e.err, "%s\n", strings.TrimSpace(string(out)))
	return fault.Wrap(fault.Unavailable, err, "This host cannot run the embedded Kubernetes for this user.").
		WithNext("run as root, or use a cluster that you have: towpath up --kubeconfig FILE")
}

func (e *env) doctor() *cobra.Command {
	var data string
	c := &cobra.Command{
		Use: "doctor", Short: "Check this host and the installation, and say how to mend what is wrong", Args: cobra.NoArgs, Example: "  towpath doctor",
		RunE: func(c *cobra.Command, _ []string) error {
			checks := e.diagnose(c.Context(), data)
			bad := 0
			for _, k := range checks {
				if k.Status == "fail" {
					bad++
				}
			}
			err := e.print(checks, func() table {
				t := table{head: []string{"check", "status", "detail", "fix"}}
				for _, k := range checks {
					t.rows = append(t.rows, []string{k.Name, k.Status, k.Detail, orDash(k.Fix)})
				}
				return t
			})
			if err == nil && bad > 0 {
				return exitCode(1)
			}
			return err
		},
	}
	c.Flags().StringVar(&data, "data", e.defaultData(), "folder of the installation")
	return c
}

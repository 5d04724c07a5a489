package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/cli/devbox"
	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/fault"
)

func (e *env) dev() *cobra.Command {
	var f devFlags
	c := &cobra.Command{
		Use: "dev SERVICE", Short: "Let your own program answer your requests in a shared environment",
		Long: "Starts a session on a service of an environment that is not production: requests that carry the session's key, in W3C baggage, reach\n" +
			"your program, all others the deployed one. The session ends with the command, or 60 seconds after it was last heard of.",
		Example: "  towpath dev cart --run 'go run ./cmd/cart' --env shop/staging\n  towpath dev cart --attach :8081 --env shop/staging\n" +
			"  towpath dev cart --sync 'go build -o cart ./cmd/cart' --binary cart --env shop/staging",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return e.develop(c.Context(), args[0], f)
		},
	}
	f.add(c)
	c.AddCommand(e.devList(), e.devStop(), e.devShare(), e.devLogs(), e.devDoctor(), devInside())
	return c
}

// devInside is the command line itself, started again inside of an isolated box.
func devInside() *cobra.Command {
	return &cobra.Command{
		Use: devbox.Inside, Hidden: true, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error { return devbox.RunInside() },
	}
}

// devFlags are the flags of `towpath dev`.
type devFlags struct {
	run, attach, sync, binary string
	env, isolation            string
	ports                     []string
	ttl                       time.Duration
	fallback                  bool
}

func (f *devFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.run, "run", "", "command that runs the service here; built and started again on each save")
	fl.StringVar(&f.attach, "attach", "", "address of a program that runs already, e.g. :8081")
	fl.StringVar(&f.sync, "sync", "", "command that builds the program for the session's pod, on each save")
	fl.StringVar(&f.binary, "binary", "", "with --sync: the file that the command builds")
	fl.StringVar(&f.env, "env", "", "environment, as PROJECT/ENVIRONMENT")
	fl.StringArrayVar(&f.ports, "port", nil, "SERVICEPORT=LOCAL: the program listens on LOCAL for a port of the service (default: the service's target port)")
	fl.DurationVar(&f.ttl, "ttl", 0, "end the session after so long (default and most: 8h)")
	fl.BoolVar(&f.fallback, "fallback", false, "while the program is down let the deployed one answer, instead of 502")
	fl.StringVar(&f.isolation, "isolation", "auto", "where --run runs: namespace (Linux), env (plain process, addresses in its environment rewritten), or auto")
}

func (f *devFlags) check() error {
	modes := 0
	for _, m := range []string{f.run, f.attach, f.sync} {
		if m != "" {
			modes++
		}
	}
	switch {
	case modes != 1:
		return fault.New(fault.Invalid, "A session needs one of --run, --sync and --attach.").WithNext("e.g. --run 'go run ./cmd/cart'")
	case (f.sync != "") != (f.binary != ""):
		return fault.New(fault.Invalid, "--sync and --binary belong together: the command that builds, and the file that it builds.")
	case f.isolation != "auto" && f.isolation != "namespace" && f.isolation != "env":
		return fault.New(fault.Invalid, "There is no isolation %q.", f.isolation).WithNext("use auto, namespace or env")
	}
	_, _, err := f.place()
	return err
}

func (f *devFlags) mode() string {
	switch {
	case f.attach != "":
		return dev.Attach
	case f.sync != "":
		return dev.Sync
	}
	return dev.Run
}

// place splits --env.
func (f *devFlags) place() (project, environment string, err error) {
	project, environment, ok := strings.Cut(f.env, "/")
	if !ok || project == "" || environment == "" || strings.Contains(environment, "/") {
		return "", "", fault.New(fault.Invalid, "--env names the environment as PROJECT/ENVIRONMENT, not %q.", f.env).WithNext("e.g. --env shop/staging")
	}
	return project, environment, nil
}

// locals maps each port of the service to the port that the program listens on.
func (f *devFlags) locals(ports []dev.Port) (map[int]int, error) {
	out := map[int]int{}
	for _, p := range ports {
		out[p.Port] = p.Target
	}
	if f.attach != "" {
		_, port, ok := strings.Cut(f.attach, ":")
		n, err := strconv.Atoi(port)
		if !ok || err != nil || n < 1 || n > 65535 || !strings.HasPrefix(f.attach, ":") && !strings.HasPrefix(f.attach, "localhost:") && !strings.HasPrefix(f.attach, "127.0.0.1:") {
			return nil, fault.New(fault.Invalid, "--attach names a port of this machine, not %q.", f.attach).WithNext("e.g. --attach :8081")
		}
		for port := range out {
			out[port] = n
		}
	}
	for _, word := range f.ports {
		service, local, _ := strings.Cut(word, "=")
		s, err := strconv.Atoi(service)
		l, again := strconv.Atoi(local)
		if _, known := out[s]; err != nil || again != nil || l < 1 || l > 65535 || !known {
			return nil, fault.New(fault.Invalid, "--port %s names no port of the service.", word).WithNext("the service has: %s", portWords(ports))
		}
		out[s] = l
	}
	return out, nil
}

func portWords(ports []dev.Port) string {
	var out []string
	for _, p := range ports {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d %s", p.Port, p.Name)))
	}
	return strings.Join(out, ", ")
}

func (e *env) devList() *cobra.Command {
	var all bool
	c := e.inProject(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the sessions of a project", Args: cobra.NoArgs, Example: "  towpath dev list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/sessions")
			if err != nil {
				return err
			}
			got, err := fetch[[]dev.Session](c.Context(), e, path, url.Values{"all": {strconv.FormatBool(all)}})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"id", "service", "environment", "user", "mode", "state", "started", "key", "why"}, wide: 1,
					none: "No sessions. Start one: towpath dev SERVICE --run COMMAND --env PROJECT/ENVIRONMENT"}
				for _, s := range got {
					t.rows = append(t.rows, []string{s.ID, s.Service, s.Environment, s.User, s.Mode, s.State, ago(s.Started), orDash(s.Key), orDash(s.Why)})
				}
				return t
			})
		},
	})
	c.Flags().BoolVar(&all, "all", false, "those that are over, too")
	return c
}

func (e *env) devStop() *cobra.Command {
	return &cobra.Command{
		Use: "stop SESSION", Short: "End a session", Args: cobra.ExactArgs(1), Example: "  towpath dev stop 01JAB…",
		RunE: func(c *cobra.Command, args []string) error {
			_, err := send[any](c.Context(), e, http.MethodPost, sessionPath(args[0], "/stop"), nil)
			return err
		},
	}
}

func sessionPath(id, rest string) string { return "/dev/sessions/" + url.PathEscape(id) + rest }

func (e *env) devShare() *cobra.Command {
	var ttl time.Duration
	c := &cobra.Command{
		Use: "share SESSION", Short: "Print a signed address by which others see your session", Args: cobra.ExactArgs(1),
		Example: "  towpath dev share 01JAB… --ttl 1h",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := send[dev.Preview](c.Context(), e, http.MethodPost, sessionPath(args[0], "/share"), map[string]int{"ttl": int(ttl.Seconds())})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{got.URL}, {"until " + got.Expires.Local().Format(time.DateTime) + ", or until the session ends"}}}
			})
		},
	}
	c.Flags().DurationVar(&ttl, "ttl", 0, "the address works so long (default: as long as the session may last)")
	return c
}

func (e *env) devLogs() *cobra.Command {
	var lines int
	c := &cobra.Command{
		Use: "logs SESSION", Short: "Print what the pod of a session wrote", Args: cobra.ExactArgs(1), Example: "  towpath dev logs 01JAB…",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := fetch[string](c.Context(), e, sessionPath(args[0], "/logs"), url.Values{"lines": {strconv.Itoa(lines)}})
			if err != nil {
				return err
			}
			for line := range strings.Lines(got) {
				fmt.Fprintln(e.out, printable(strings.TrimRight(line, "\r\n")))
			}
			return nil
		},
	}
	c.Flags().IntVar(&lines, "lines", 200, "the last so many")
	return c
}

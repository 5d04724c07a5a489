package cli

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/fault"
)

func (e *env) login() *cobra.Command {
	var name string
	var stdin, helper bool
	c := &cobra.Command{
		Use: "login URL", Short: "Sign in to a server with a personal token", Args: cobra.ExactArgs(1),
		Long: "Stores a personal token for the server and makes it the current context. Git then signs in through\n" +
			"`towpath login --git-credential`, which this command sets up for the server's address.",
		Example: "  towpath login http://localhost:7080\n  towpath login https://towpath.example.com --token-stdin < token",
	}
	c.Flags().StringVar(&name, "name", "", "name of the context (default: the server's host)")
	c.Flags().BoolVar(&stdin, "token-stdin", false, "read the token from stdin without asking")
	c.Flags().BoolVar(&helper, "git-credential", false, "answer git as a credential helper")
	c.Flags().Lookup("git-credential").Hidden = true // Git asks this way, nobody else.
	c.RunE = func(c *cobra.Command, args []string) error {
		if helper {
			return e.gitCredential(args[0])
		}
		u, err := url.Parse(args[0])
		if err != nil || u.Host == "" {
			return fault.New(fault.Invalid, "%q is no address of a server.", args[0]).WithNext("write it as http://localhost:7080")
		}
		base := u.Scheme + "://" + u.Host
		token, err := e.askToken(base, stdin)
		if err != nil {
			return err
		}
		var me api.Me
		if err := client.New(base, token).Get(c.Context(), "/me", nil, &me); err != nil {
			return err
		}
		if name == "" {
			name = u.Host
		}
		if err := e.remember(name, target{Server: base, Token: token, User: me.Name}); err != nil {
			return err
		}
		fmt.Fprintf(e.err, "Signed in to %s as %s (context %s).\n", base, me.Name, name)
		return e.installHelper(base)
	}
	return c
}

func (e *env) askToken(base string, stdin bool) (string, error) {
	if e.token != "" {
		return e.token, nil
	}
	if t := e.getenv("TOWPATH_TOKEN"); t != "" {
		return t, nil
	}
	ask := ""
	if !stdin {
		ask = fmt.Sprintf("Make a token at %s/settings and paste it here: ", base)
	}
	t, err := e.readSecret(ask)
	if err == nil && t == "" {
		err = fault.New(fault.Invalid, "No token was given.").WithNext("pipe it in: towpath login URL --token-stdin < FILE")
	}
	return t, err
}

// readSecret reads a secret from stdin: from a terminal without showing it, after the
// question, which "" suppresses.
func (e *env) readSecret(ask string) (string, error) {
	if f, ok := e.in.(*os.File); ok && ask != "" && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(e.err, ask)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.err)
		return strings.TrimSpace(string(b)), err
	}
	b, err := io.ReadAll(io.LimitReader(e.in, 64<<10))
	return strings.TrimSpace(string(b)), err
}

// installHelper makes git ask this program for the server's password.
func (e *env) installHelper(base string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	key := "credential." + base + ".helper"
	cmd := exec.Command("git", "config", "--global", "--replace-all", key, "!'"+strings.ReplaceAll(exe, "'", `'\''`)+"' login --git-credential")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(e.err, "Git was not set up to sign in by itself: %s\n", strings.TrimSpace(string(out)))
		return nil
	}
	fmt.Fprintln(e.err, "Git signs in to it by itself from now on.")
	return nil
}

// gitCredential answers `git credential` (gitcredentials(7)): get prints user and
// password for a server that there is a context for; store and erase do nothing.
func (e *env) gitCredential(verb string) error {
	if verb != "get" {
		return nil
	}
	asked := map[string]string{}
	in := bufio.NewScanner(io.LimitReader(e.in, 64<<10))
	for in.Scan() && in.Text() != "" {
		k, v, _ := strings.Cut(in.Text(), "=")
		asked[k] = v
	}
	if err := in.Err(); err != nil {
		return err
	}
	s, err := e.settings()
	if err != nil {
		return err
	}
	base := asked["protocol"] + "://" + asked["host"]
	for _, t := range s.Contexts {
		if t.Server == base && t.Token != "" {
			_, err := fmt.Fprintf(e.out, "username=%s\npassword=%s\n", t.User, t.Token)
			return err
		}
	}
	return nil
}

func (e *env) contexts() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the servers that you signed in to", Args: cobra.NoArgs, Example: "  towpath context list",
		RunE: func(*cobra.Command, []string) error {
			s, err := e.settings()
			if err != nil {
				return err
			}
			type view struct {
				Name, Server, User string
				Current            bool
			}
			got := []view{}
			for n, t := range s.Contexts {
				got = append(got, view{n, t.Server, t.User, n == s.Current})
			}
			slices.SortFunc(got, func(a, b view) int { return strings.Compare(a.Name, b.Name) })
			return e.print(got, func() table {
				t := table{head: []string{"", "name", "server", "user"}, none: "No contexts yet. Start a server: towpath up; or sign in: towpath login URL"}
				for _, v := range got {
					mark := ""
					if v.Current {
						mark = "*"
					}
					t.rows = append(t.rows, []string{mark, v.Name, v.Server, v.User})
				}
				return t
			})
		},
	}
	use := &cobra.Command{
		Use: "use NAME", Short: "Choose the server to talk to", Args: cobra.ExactArgs(1), Example: "  towpath context use local",
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := e.settings()
			if err != nil {
				return err
			}
			if _, ok := s.Contexts[args[0]]; !ok {
				return fault.New(fault.NotFound, "There is no context %s.", args[0]).WithNext("list them with `towpath context list`")
			}
			s.Current = args[0]
			return e.save(s)
		},
	}
	return noun("context", "Servers that you signed in to", list, use)
}

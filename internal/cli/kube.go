package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
)

func (e *env) kubectl() *cobra.Command {
	return &cobra.Command{
		Use: "kubectl …", Short: "Run kubectl against the installation's cluster", DisableFlagParsing: true,
		Example: "  towpath kubectl get pods -A\n  towpath kubectl -n shop logs deploy/web",
		RunE: func(c *cobra.Command, args []string) error {
			// Flags are kubectl's, but the help of this very command needs no cluster.
			if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
				return c.Help()
			}
			file, err := e.kubeconfigFile(c)
			if err != nil {
				return err
			}
			defer os.Remove(file)
			dir, err := programs()
			if err != nil {
				return err
			}
			cmd := exec.CommandContext(c.Context(), filepath.Join(dir, "towpath-kube"), append([]string{"kubectl"}, args...)...)
			if _, err := os.Stat(cmd.Path); err != nil {
				cmd = exec.CommandContext(c.Context(), "kubectl", args...)
			}
			cmd.Env = append(os.Environ(), "KUBECONFIG="+file)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = e.in, e.out, e.err
			err = cmd.Run()
			var ended *exec.ExitError
			if errors.As(err, &ended) {
				return exitCode(ended.ExitCode())
			}
			if err != nil {
				return fault.Wrap(fault.Unavailable, err, "kubectl cannot be run.").WithNext("build the embedded one with `make kube`, or install kubectl")
			}
			return nil
		},
	}
}

// kubeconfigFile writes the administrator's kubeconfig to a private temporary file.
func (e *env) kubeconfigFile(c *cobra.Command) (string, error) {
	client, err := e.client()
	if err != nil {
		return "", err
	}
	var got api.Kubeconfig
	if err := client.Get(c.Context(), "/kubeconfig", nil, &got); err != nil {
		return "", err
	}
	f, err := os.CreateTemp("", "towpath-kubeconfig-")
	if err != nil {
		return "", fmt.Errorf("writing the kubeconfig: %w", err)
	}
	_, err = f.WriteString(got.Content)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return f.Name(), nil
}

func (e *env) kubeconfig() *cobra.Command {
	return &cobra.Command{
		Use: "kubeconfig", Short: "Print the kubeconfig of the installation's cluster", Args: cobra.NoArgs,
		Example: "  towpath kubeconfig > ~/.kube/towpath",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[api.Kubeconfig](c.Context(), e, "/kubeconfig", nil)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(e.out, got.Content)
			return err
		},
	}
}

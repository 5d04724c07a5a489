package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/pipeline/pool"
)

// pools are the agent pools of the installation.
func (e *env) pools() *cobra.Command {
	return noun("pool", "Pools of agents that jobs run on", e.poolList(), e.poolShow(), e.poolCreate(), e.poolEdit(), e.poolToken(), e.poolRemove())
}

func poolPath(name string) string { return "/pools/" + url.PathEscape(name) }

func (e *env) poolList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the agent pools", Args: cobra.NoArgs, Example: "  towpath pool list",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[[]pool.Pool](c.Context(), e, "/pools", nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "kind", "online", "running", "queued", "stands for"}}
				for _, p := range got {
					t.rows = append(t.rows, []string{p.Name, string(p.Kind), fmt.Sprintf("%d of %d", p.Online, p.Agents), fmt.Sprint(p.Running), fmt.Sprint(p.Queued), strings.Join(p.Settings.VMImages, ",")})
				}
				return t
			})
		},
	}
}

func (e *env) poolShow() *cobra.Command {
	return &cobra.Command{
		Use: "show POOL", Short: "Show a pool with its agents and what they have", Args: cobra.ExactArgs(1), Example: "  towpath pool show Default\n  towpath pool show Kubernetes -o yaml",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := fetch[api.PoolDetail](c.Context(), e, poolPath(args[0]), nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return agentTable(got.Members, "No agents. For one on a host: towpath pool token "+args[0])
			})
		},
	}
}

// poolFlags fill settings from flags that were given.
type poolFlags struct {
	set          pool.Settings
	capabilities map[string]string
}

func (f *poolFlags) add(fl *pflag.FlagSet) {
	fl.StringSliceVar(&f.set.VMImages, "vm-image", nil, "hosted images that the pool stands for, with * for any text")
	fl.StringSliceVar(&f.set.Projects, "project-only", nil, "projects that may use it (default: all)")
	fl.BoolVar(&f.set.Restricted, "restricted", false, "closed to pipelines until a maintainer of their project permits them")
	fl.StringToStringVar(&f.capabilities, "capability", nil, "what all agents of the pool have, as `NAME=VALUE`")
	fl.StringVar(&f.set.Image, "image", "", "kubernetes: image that jobs without a container run in")
	fl.StringVar(&f.set.Namespace, "namespace", "", "kubernetes: namespace of the pods (default: towpath-agents)")
	fl.IntVar(&f.set.Warm, "warm", 0, "kubernetes: free agents that wait for a job")
	fl.IntVar(&f.set.Max, "max", 0, "kubernetes: the most pods at a time (default: 10)")
	fl.BoolVar(&f.set.Root, "root", false, "kubernetes: containers may run as root")
	fl.StringVar(&f.set.CPU, "cpu", "", "kubernetes: CPU limit of a container")
	fl.StringVar(&f.set.Memory, "memory", "", "kubernetes: memory limit of a container (default: 4Gi)")
	fl.StringVar(&f.set.Disk, "disk", "", "kubernetes: size of a workspace, and of each volume of a container (default: 10Gi)")
	fl.StringToStringVar(&f.set.NodeSelector, "node", nil, "kubernetes: labels of the nodes that pods run on, as `KEY=VALUE`")
}

// over lays the flags that were given over settings.
func (f *poolFlags) over(s pool.Settings, changed func(string) bool) pool.Settings {
	f.set.Capabilities = f.capabilities
	for name, put := range map[string]func(){
		"vm-image": func() { s.VMImages = f.set.VMImages }, "project-only": func() { s.Projects = f.set.Projects }, "restricted": func() { s.Restricted = f.set.Restricted },
		"capability": func() { s.Capabilities = f.set.Capabilities }, "image": func() { s.Image = f.set.Image }, "namespace": func() { s.Namespace = f.set.Namespace },
		"warm": func() { s.Warm = f.set.Warm }, "max": func() { s.Max = f.set.Max }, "root": func() { s.Root = f.set.Root }, "cpu": func() { s.CPU = f.set.CPU },
		"memory": func() { s.Memory = f.set.Memory }, "disk": func() { s.Disk = f.set.Disk }, "node": func() { s.NodeSelector = f.set.NodeSelector },
	} {
		if changed(name) {
			put()
		}
	}
	return s
}

func (e *env) poolCreate() *cobra.Command {
	var f poolFlags
	var kind string
	c := &cobra.Command{
		Use: "create NAME", Short: "Make an agent pool", Args: cobra.ExactArgs(1),
		Example: "  towpath pool create linux --vm-image 'ubuntu-*'\n  towpath pool create pods --kind kubernetes --image registry.example/tools:1 --warm 2",
		RunE: func(c *cobra.Command, args []string) error {
			in := map[string]any{"name": args[0], "kind": kind, "settings": f.over(pool.Settings{}, c.Flags().Changed)}
			got, err := send[pool.Pool](c.Context(), e, http.MethodPost, "/pools", in)
			if err != nil {
				return err
			}
			if got.Kind == pool.Host {
				fmt.Fprintf(e.err, "For an agent on a host: towpath pool token %q > pool.token\n", got.Name)
			}
			return e.print(got, func() table { return table{rows: [][]string{{"pool " + got.Name + " is there"}}} })
		},
	}
	c.Flags().StringVar(&kind, "kind", "host", "what its agents are: host or kubernetes")
	f.add(c.Flags())
	return c
}

func (e *env) poolEdit() *cobra.Command {
	var f poolFlags
	c := &cobra.Command{
		Use: "edit POOL", Short: "Change settings of a pool; what is not named stays", Args: cobra.ExactArgs(1),
		Example: "  towpath pool edit Kubernetes --image registry.example/tools:1 --warm 2\n  towpath pool edit linux --vm-image 'ubuntu-*'",
		RunE: func(c *cobra.Command, args []string) error {
			now, err := fetch[api.PoolDetail](c.Context(), e, poolPath(args[0]), nil)
			if err != nil {
				return err
			}
			got, err := send[pool.Pool](c.Context(), e, http.MethodPut, poolPath(args[0]), f.over(now.Settings, c.Flags().Changed))
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{"pool " + got.Name + " is changed"}}} })
		},
	}
	f.add(c.Flags())
	return c
}

func (e *env) poolToken() *cobra.Command {
	return &cobra.Command{
		Use: "token POOL", Short: "Make a new token for the agents of a pool, which is shown once; the old one ends", Args: cobra.ExactArgs(1),
		Example: "  towpath pool token linux > pool.token",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := send[api.PoolToken](c.Context(), e, http.MethodPost, poolPath(args[0])+"/token", nil)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.err, "Keep the token now: it is not shown again. On the host, with the token in a file that only its owner reads:\n"+
				"  towpath-agent --server URL --token-file FILE --work DIR --user NAME --name HOST\n")
			return e.print(got, func() table { return table{rows: [][]string{{got.Token}}} })
		},
	}
}

func (e *env) poolRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove POOL", Short: "Take a pool away that no job is in", Args: cobra.ExactArgs(1), Example: "  towpath pool remove linux",
		RunE: func(c *cobra.Command, args []string) error {
			_, err := send[any](c.Context(), e, http.MethodDelete, poolPath(args[0]), nil)
			return err
		},
	}
}

package cli

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/pool"
)

// agents are the agents of the pools.
func (e *env) agents() *cobra.Command {
	return noun("agent", "Agents of the pools", e.agentList(), e.agentSwitch("enable", "Let an agent take jobs again", true),
		e.agentSwitch("disable", "Keep new jobs from an agent; those that it has go on", false), e.agentEdit(), e.agentRemove())
}

func agentTable(list []pipeline.Agent, none string) table {
	t := table{head: []string{"name", "pool", "state", "system", "jobs", "seen", "capabilities"}, wide: 1, none: none}
	for _, a := range list {
		state := "offline"
		if a.Online {
			state = "online"
		}
		if !a.Enabled {
			state = "disabled"
		}
		if a.State != "" {
			state = a.State
		}
		jobs := make([]string, 0, len(a.Jobs))
		for _, j := range a.Jobs {
			jobs = append(jobs, fmt.Sprintf("%d/%s", j.Run, j.Job))
		}
		if len(jobs) == 0 {
			jobs = []string{fmt.Sprintf("%d of %d", a.Running, a.Slots)}
		}
		has := slices.Sorted(maps.Keys(a.Capabilities))
		t.rows = append(t.rows, []string{a.Name, a.Pool, state, a.OS + "/" + a.Arch, strings.Join(jobs, ","), ago(a.Seen), strings.Join(has, ",")})
	}
	return t
}

func (e *env) agentList() *cobra.Command {
	var in string
	c := &cobra.Command{
		Use: "list", Short: "List the agents; -o wide also shows what they have", Args: cobra.NoArgs, Example: "  towpath agent list\n  towpath agent list --pool Default -o wide",
		RunE: func(c *cobra.Command, _ []string) error {
			query := url.Values{}
			if in != "" {
				query.Set("pool", in)
			}
			got, err := fetch[[]pipeline.Agent](c.Context(), e, "/agents", query)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return agentTable(got, "No agents. `towpath up` starts one; for another host: towpath pool token Default")
			})
		},
	}
	c.Flags().StringVar(&in, "pool", "", "only those of this pool")
	return c
}

// editAgent sends a change of an agent.
func (e *env) editAgent(c *cobra.Command, name string, change pool.Edit, words string) error {
	got, err := send[pipeline.Agent](c.Context(), e, http.MethodPatch, "/agents/"+url.PathEscape(name), change)
	if err != nil {
		return err
	}
	return e.print(got, func() table { return table{rows: [][]string{{"agent " + got.Name + " " + words}}} })
}

func (e *env) agentSwitch(verb, short string, on bool) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1), Example: "  towpath agent " + verb + " build-1",
		RunE: func(c *cobra.Command, args []string) error {
			return e.editAgent(c, args[0], pool.Edit{Enabled: &on}, "is "+verb+"d")
		},
	}
}

func (e *env) agentEdit() *cobra.Command {
	var has map[string]string
	c := &cobra.Command{
		Use: "edit NAME", Short: "Set capabilities of an agent, beside those that it reports", Args: cobra.ExactArgs(1),
		Example: "  towpath agent edit build-1 --capability gpu=a100\n  towpath agent edit build-1 --capability gpu=",
		RunE: func(c *cobra.Command, args []string) error {
			return e.editAgent(c, args[0], pool.Edit{Capabilities: has}, "is changed")
		},
	}
	c.Flags().StringToStringVar(&has, "capability", nil, "capability to set, as `NAME=VALUE`; without a value it is taken back")
	_ = c.MarkFlagRequired("capability") // Fails only for a flag that is not there.
	return c
}

func (e *env) agentRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Forget an agent that is away", Args: cobra.ExactArgs(1), Example: "  towpath agent remove build-1",
		RunE: func(c *cobra.Command, args []string) error {
			_, err := send[any](c.Context(), e, http.MethodDelete, "/agents/"+url.PathEscape(args[0]), nil)
			return err
		},
	}
}

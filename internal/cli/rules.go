package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/source/protect"
	"towpath.dev/towpath/internal/source/ruleset"
)

func (e *env) rulesets() *cobra.Command {
	list := e.inRepo(&cobra.Command{
		Use: "list", Short: "List what a repository demands of changes", Args: cobra.NoArgs, Example: "  towpath ruleset list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.repoPath("/rulesets")
			if err != nil {
				return err
			}
			got, err := fetch[[]ruleset.Ruleset](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "enforcement", "refs", "demands", "bypass"}, none: "No rulesets: only the default branch is kept from being rewritten. Make one: towpath ruleset apply FILE"}
				for _, r := range got {
					t.rows = append(t.rows, []string{r.Name, string(r.Enforcement), strings.Join(r.Refs, " "), demands(r.Rules), orDash(strings.Join(r.Bypass, " "))})
				}
				return t
			})
		},
	})
	show := e.inRepo(&cobra.Command{
		Use: "show NAME", Short: "Show a ruleset", Args: cobra.ExactArgs(1), Example: "  towpath ruleset show \"main is reviewed\" -o yaml --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.repoPath("/rulesets/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			got, err := fetch[ruleset.Ruleset](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{"name", got.Name}, {"enforcement", string(got.Enforcement)}, {"refs", strings.Join(got.Refs, " ")},
					{"demands", demands(got.Rules)}, {"bypass", orDash(strings.Join(got.Bypass, " "))}}}
			})
		},
	})
	apply := e.inRepo(&cobra.Command{
		Use: "apply FILE", Short: "Make or change a ruleset from a file", Args: cobra.ExactArgs(1),
		Long:    "Reads a ruleset as JSON or YAML, from a file or from standard input (-). `towpath ruleset show NAME -o yaml` prints one.",
		Example: "  echo '{name: main is reviewed, enforcement: active, refs: [~default], rules: {pullRequest: {approvals: 1}}}' | towpath ruleset apply - --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			b, err := e.readInput(args[0])
			if err != nil {
				return err
			}
			var r ruleset.Ruleset
			text, err := yaml.YAMLToJSONStrict(b)
			if err == nil {
				err = json.Unmarshal(text, &r)
			}
			if err != nil {
				return fault.Wrap(fault.Invalid, err, "The file %s is no ruleset: %v.", args[0], err).WithNext("see `towpath ruleset apply --help`")
			}
			if r.Name == "" {
				return fault.New(fault.Invalid, "The ruleset has no name.").WithNext("add `name: …`")
			}
			path, err := e.repoPath("/rulesets/" + url.PathEscape(r.Name))
			if err != nil {
				return err
			}
			if r.Enforcement == "" {
				r.Enforcement = ruleset.Active
			}
			got, err := send[ruleset.Ruleset](c.Context(), e, http.MethodPut, path, map[string]any{
				"enforcement": r.Enforcement, "refs": r.Refs, "bypass": r.Bypass, "rules": r.Rules,
			})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{fmt.Sprintf("ruleset %q is %s for %s", got.Name, got.Enforcement, strings.Join(got.Refs, " "))}}}
			})
		},
	})
	remove := e.inRepo(&cobra.Command{
		Use: "delete NAME", Short: "Delete a ruleset", Args: cobra.ExactArgs(1), Example: "  towpath ruleset delete \"main is reviewed\" --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.repoPath("/rulesets/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			_, err = send[any](c.Context(), e, http.MethodDelete, path, nil)
			return err
		},
	})
	return noun("ruleset", "What a repository demands of changes", list, show, apply, remove)
}

// demands says in a few words what rules ask for.
func demands(r ruleset.Rules) string {
	var out []string
	add := func(ok bool, text string) {
		if ok {
			out = append(out, text)
		}
	}
	if p := r.PullRequest; p != nil {
		text := "pull request"
		if p.Approvals > 0 {
			text += fmt.Sprintf(" with %d approval(s)", p.Approvals)
		}
		out = append(out, text)
		add(p.CodeOwners, "code owners")
		add(p.ResolvedThreads, "threads resolved")
		add(p.Item, "an item named")
	}
	for _, c := range r.RequiredChecks {
		out = append(out, "check "+c.Name)
	}
	add(r.BlockForcePush, "no rewriting")
	add(r.RestrictDeletion, "no deletion")
	add(r.RestrictCreation, "no creation")
	add(r.LinearHistory, "linear history")
	add(len(r.RestrictPushes) > 0, "pushes by "+strings.Join(r.RestrictPushes, " "))
	return orDash(strings.Join(out, ", "))
}

func (e *env) secrets() *cobra.Command {
	list := e.inRepo(&cobra.Command{
		Use: "list", Short: "List the secrets for which pushes were refused", Args: cobra.NoArgs, Example: "  towpath secret list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.repoPath("/secrets")
			if err != nil {
				return err
			}
			got, err := fetch[[]protect.Finding](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"id", "rule", "where", "secret", "pushed by", "last"}, none: "No push was refused because of a secret."}
				for _, f := range got {
					t.rows = append(t.rows, []string{f.ID, f.Rule, fmt.Sprintf("%s:%d", f.Path, f.Line), f.Redacted, f.Actor, ago(f.Last)})
				}
				return t
			})
		},
	})
	var reason, comment string
	var lasts time.Duration
	bypass := e.inRepo(&cobra.Command{
		Use: "bypass ID", Short: "Let a finding through for a while", Args: cobra.ExactArgs(1),
		Long:    "Lets one secret into one repository until the bypass expires. It is recorded with your name and reason.\nA real secret must be replaced where it is used: whoever saw it can use it.",
		Example: "  towpath secret bypass 01JQ… --reason test-value --comment \"opens nothing\" --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.repoPath("/secrets/" + url.PathEscape(args[0]) + "/bypass")
			if err != nil {
				return err
			}
			got, err := send[protect.Granted](c.Context(), e, http.MethodPost, path, map[string]any{"reason": reason, "comment": comment, "seconds": int64(lasts.Seconds())})
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{fmt.Sprintf("bypass %s holds until %s; push again", got.ID, got.Expires.Local().Format(time.DateTime))}}}
			})
		},
	})
	bypass.Flags().StringVar(&reason, "reason", "", "test-value, false-positive or fix-later")
	bypass.Flags().StringVar(&comment, "comment", "", "why, for whoever audits it")
	bypass.Flags().DurationVar(&lasts, "for", 0, "how long it holds (default 3h)")
	_ = bypass.MarkFlagRequired("reason") // Fails for a flag that does not exist only.
	bypasses := e.inRepo(&cobra.Command{
		Use: "bypasses", Short: "List what was let through", Args: cobra.NoArgs, Example: "  towpath secret bypasses --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.repoPath("/bypasses")
			if err != nil {
				return err
			}
			got, err := fetch[[]protect.Granted](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"id", "rule", "secret", "reason", "by", "expires"}, none: "Nothing was let through."}
				for _, g := range got {
					until := g.Expires.Local().Format(time.DateTime)
					if !g.Revoked.IsZero() {
						until = "revoked by " + g.RevokedBy
					}
					t.rows = append(t.rows, []string{g.ID, g.Rule, g.Redacted, g.Reason, g.Actor, until})
				}
				return t
			})
		},
	})
	revoke := e.inRepo(&cobra.Command{
		Use: "revoke BYPASS", Short: "End a bypass", Args: cobra.ExactArgs(1), Example: "  towpath secret revoke 01JQ… --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.repoPath("/bypasses/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			_, err = send[any](c.Context(), e, http.MethodDelete, path, nil)
			return err
		},
	})
	return noun("secret", "Secrets that were kept out of repositories", list, bypass, bypasses, revoke)
}

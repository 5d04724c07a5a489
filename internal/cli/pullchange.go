package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/source/pull"
)

func (e *env) pullReview() *cobra.Command {
	var approve, changes bool
	var j pull.Judgement
	c := e.inRepo(&cobra.Command{
		Use: "review NUMBER", Short: "Approve a pull request, or ask for changes", Args: cobra.ExactArgs(1),
		Example: "  towpath pull review 7 --approve --project shop\n  towpath pull review 7 --request-changes --body \"The total is wrong.\" --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.pullAt(args[0], "/reviews")
			if err != nil {
				return err
			}
			switch {
			case approve == changes && approve:
				return fault.New(fault.Invalid, "A review approves or asks for changes, not both.")
			case approve:
				j.Verdict = pull.Approved
			case changes:
				j.Verdict = pull.Changes
			default:
				j.Verdict = pull.Commented
			}
			got, err := send[pull.Review](c.Context(), e, http.MethodPost, path, j)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{got.Verdict + " at " + short(got.Commit)}}} })
		},
	})
	c.Flags().BoolVar(&approve, "approve", false, "approve the head")
	c.Flags().BoolVar(&changes, "request-changes", false, "ask for changes")
	c.Flags().StringVar(&j.Body, "body", "", "what you have to say, Markdown")
	c.Flags().StringVar(&j.Commit, "commit", "", "head that you looked at; refused when it is another one by now")
	return c
}

func (e *env) pullComment() *cobra.Command {
	var at string
	c := e.inRepo(&cobra.Command{
		Use: "comment NUMBER TEXT", Short: "Comment on a pull request, or on one of its lines", Args: cobra.ExactArgs(2),
		Example: "  towpath pull comment 7 \"Why twice?\" --at internal/cart/store.go:41 --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.pullAt(args[0], "/comments")
			if err != nil {
				return err
			}
			r := pull.Remark{Body: args[1]}
			if at != "" {
				i := strings.LastIndexByte(at, ':')
				if i < 1 {
					return fault.New(fault.Invalid, "%q is no line of a file.", at).WithNext("write --at PATH:LINE")
				}
				if r.Line, err = strconv.Atoi(at[i+1:]); err != nil {
					return fault.New(fault.Invalid, "%q is no line of a file.", at).WithNext("write --at PATH:LINE")
				}
				r.Path = at[:i]
			}
			got, err := send[pull.Thread](c.Context(), e, http.MethodPost, path, r)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{"thread " + got.ID}}} })
		},
	})
	c.Flags().StringVar(&at, "at", "", "line of the head, PATH:LINE")
	return c
}

func (e *env) pullResolve() *cobra.Command {
	var again bool
	c := e.inRepo(&cobra.Command{
		Use: "resolve NUMBER THREAD", Short: "End a thread of a pull request", Args: cobra.ExactArgs(2),
		Example: "  towpath pull resolve 7 01JQ… --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.pullAt(args[0], "/threads/"+url.PathEscape(args[1])+"/resolve")
			if err != nil {
				return err
			}
			_, err = send[pull.Thread](c.Context(), e, http.MethodPost, path, map[string]bool{"resolved": !again})
			return err
		},
	})
	c.Flags().BoolVar(&again, "again", false, "take it up again")
	return c
}

func (e *env) pullMerge() *cobra.Command {
	var m pull.Merge
	c := e.inRepo(&cobra.Command{
		Use: "merge NUMBER", Short: "Merge a pull request", Args: cobra.ExactArgs(1),
		Example: "  towpath pull merge 7 --project shop\n  towpath pull merge 7 --method squash --delete-source --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.pullAt(args[0], "/merge")
			if err != nil {
				return err
			}
			got, err := send[pull.Pull](c.Context(), e, http.MethodPost, path, m)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				return table{rows: [][]string{{fmt.Sprintf("#%d is merged into %s as %s", got.Number, got.Target, short(got.Result))}}}
			})
		},
	})
	f := c.Flags()
	f.StringVar(&m.Method, "method", "", "merge, squash or rebase (default: the first that the rulesets allow)")
	f.StringVar(&m.Expect, "expect", "", "head that you looked at; refused when it is another one by now")
	f.StringVar(&m.Message, "message", "", "message of the merge commit")
	f.BoolVar(&m.Bypass, "bypass", false, "merge in spite of what blocks it, where a ruleset lets you; it is recorded")
	f.BoolVar(&m.DeleteSource, "delete-source", false, "delete the source branch afterwards")
	return c
}

func (e *env) pullEdit() *cobra.Command {
	var title, body, target string
	var draft, ready bool
	c := e.inRepo(&cobra.Command{
		Use: "edit NUMBER", Short: "Change title, text or target, or make a draft ready", Args: cobra.ExactArgs(1),
		Example: "  towpath pull edit 7 --ready --project shop\n  towpath pull edit 7 --target release --project shop",
	})
	f := c.Flags()
	f.StringVar(&title, "title", "", "title")
	f.StringVar(&body, "body", "", "text, Markdown")
	f.StringVar(&target, "target", "", "branch to merge it into")
	f.BoolVar(&draft, "draft", false, "make it a draft")
	f.BoolVar(&ready, "ready", false, "make a draft ready for review")
	c.MarkFlagsMutuallyExclusive("draft", "ready")
	c.RunE = func(c *cobra.Command, args []string) error {
		path, err := e.pullAt(args[0], "")
		if err != nil {
			return err
		}
		var in pull.Edit
		for name, set := range map[string]func(){
			"title": func() { in.Title = &title }, "body": func() { in.Body = &body }, "target": func() { in.Target = &target },
			"draft": func() { in.Draft = &draft }, "ready": func() { no := !ready; in.Draft = &no },
		} {
			if f.Changed(name) {
				set()
			}
		}
		if in == (pull.Edit{}) {
			return fault.New(fault.Invalid, "Nothing is to be changed.").WithNext("add --title, --body, --target, --draft or --ready")
		}
		got, err := send[pull.Pull](c.Context(), e, http.MethodPatch, path, in)
		if err != nil {
			return err
		}
		return e.print(got, func() table { return table{rows: [][]string{{fmt.Sprintf("#%d %s", got.Number, got.Title)}}} })
	}
	return c
}

func (e *env) pullEnd(verb, short string) *cobra.Command {
	return e.inRepo(&cobra.Command{
		Use: verb + " NUMBER", Short: short, Args: cobra.ExactArgs(1), Example: "  towpath pull " + verb + " 7 --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.pullAt(args[0], "/"+verb)
			if err != nil {
				return err
			}
			got, err := send[pull.Pull](c.Context(), e, http.MethodPost, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table { return table{rows: [][]string{{fmt.Sprintf("#%d is %s", got.Number, got.State)}}} })
		},
	})
}

// Command clidoc writes the reference of the command line, docs/cli, from the commands
// themselves: one page for each command of the first level and a page that lists them.
//
//	go run ./scripts/clidoc
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"towpath.dev/towpath/internal/cli"
)

func main() {
	dir := flag.String("dir", filepath.Join("docs", "cli"), "folder to write into")
	flag.Parse()
	if err := write(*dir, pages(cli.Commands())); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// write makes the folder hold exactly these pages.
func write(dir string, pages map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if _, ok := pages[filepath.Base(path)]; !ok {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// notice begins every page.
const notice = "<!-- Written by `go run ./scripts/clidoc`; change the commands, not this page. -->\n\n"

// pages returns the pages by the names of their files.
func pages(root *cobra.Command) map[string]string {
	out := map[string]string{}
	var index bytes.Buffer
	index.WriteString(notice + "# Command line\n\n" + root.Long + "\n\n```console\n" + dedent(root.Example) + "\n```\n")
	for _, group := range root.Groups() {
		fmt.Fprintf(&index, "\n## %s\n\n| command | what it does |\n|---|---|\n", strings.TrimSuffix(group.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID != group.ID || !c.IsAvailableCommand() {
				continue
			}
			fmt.Fprintf(&index, "| [`%s`](%s.md) | %s |\n", c.CommandPath(), c.Name(), cell(c.Short))
			var page bytes.Buffer
			page.WriteString(notice)
			describe(&page, c, 1)
			out[c.Name()+".md"] = page.String()
		}
	}
	index.WriteString("\n## Options of every command\n\n")
	flags(&index, root.PersistentFlags())
	out["README.md"] = index.String()
	return out
}

// describe writes a command and those below it.
func describe(w *bytes.Buffer, c *cobra.Command, level int) {
	fmt.Fprintf(w, "%s %s\n\n%s.\n", strings.Repeat("#", min(level, 4)), c.CommandPath(), strings.TrimSuffix(c.Short, "."))
	if c.Long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.Long))
	}
	if c.Runnable() {
		fmt.Fprintf(w, "\n```console\n%s\n```\n", c.UseLine())
	}
	if len(c.Aliases) > 0 {
		fmt.Fprintf(w, "\nAlso: `%s`\n", strings.Join(c.Aliases, "`, `"))
	}
	if c.LocalNonPersistentFlags().HasAvailableFlags() || c.PersistentFlags().HasAvailableFlags() {
		w.WriteString("\n")
		flags(w, c.LocalFlags())
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n\n```console\n%s\n```\n", dedent(c.Example))
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			w.WriteString("\n")
			describe(w, sub, level+1)
		}
	}
}

// flags writes a table of options.
func flags(w *bytes.Buffer, set *pflag.FlagSet) {
	w.WriteString("| option | what it says |\n|---|---|\n")
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name, usage := pflag.UnquoteUsage(f)
		option := "--" + f.Name
		if name != "" {
			option += " " + name
		}
		if f.Shorthand != "" {
			option = "-" + f.Shorthand + ", " + option
		}
		switch f.DefValue {
		case "", "false", "0", "[]", "0s":
		default:
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "| `%s` | %s |\n", option, cell(usage))
	})
}

// cell makes a text fit into a cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(s)
}

// dedent takes the two blanks of an example away.
func dedent(s string) string {
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "  ")
	}
	return strings.Join(lines, "\n")
}

package cli

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/gallery"
)

// tasks are the verbs of `towpath task`.
func (e *env) tasks() *cobra.Command {
	return noun("task", "Tasks of others that pipelines may use beside the built-in ones", e.taskAdd(), e.taskList(), e.taskShow(), e.taskRemove())
}

// forTasks gives a command the flags that say whose tasks are meant, and returns the path.
func (e *env) forTasks(c *cobra.Command, rest func(args []string) string, run func(c *cobra.Command, path string, args []string) error) *cobra.Command {
	var installation bool
	e.inProject(c).Flags().BoolVar(&installation, "installation", false, "for every project; only administrators change these")
	c.RunE = func(c *cobra.Command, args []string) error {
		path := "/tasks" + rest(args)
		if !installation {
			var err error
			if path, err = e.projectPath(path); err != nil {
				return err
			}
		}
		return run(c, path, args)
	}
	return c
}

func none([]string) string { return "" }

func named(args []string) string { return "/" + url.PathEscape(args[0]) }

func (e *env) taskAdd() *cobra.Command {
	return e.forTasks(&cobra.Command{
		Use: "add DIR|VSIX", Short: "Add a task from its folder, or all tasks of a .vsix", Args: cobra.ExactArgs(1),
		Long: "Adds a task as the marketplace has them: a folder with a task.json and what it runs, built and with its node_modules,\n" +
			"or an extension (.vsix). Pipelines name it as NAME@MAJOR, by its GUID, or as publisher.extension.NAME@MAJOR, and get the\n" +
			"newest version of that major. Agents run it with their own Node. What is added runs with what its pipelines may use, so\n" +
			"only who maintains the project may add to it, and only an administrator to the installation.",
		Example: "  towpath task add ./my-task --project shop\n  towpath task add acme.deploy-1.4.0.vsix --installation",
	}, none, func(c *cobra.Command, path string, args []string) error {
		content, err := taskZip(args[0])
		if err != nil {
			return err
		}
		remote, err := e.client()
		if err != nil {
			return err
		}
		answer, err := remote.Raw(c.Context(), http.MethodPost, path, "application/octet-stream", bytes.NewReader(content))
		if err != nil {
			return err
		}
		defer answer.Close()
		var got []gallery.Task
		if err := json.NewDecoder(answer).Decode(&got); err != nil {
			return fmt.Errorf("reading the answer of the server: %w", err)
		}
		return e.print(got, func() table {
			var t table
			for _, x := range got {
				t.rows = append(t.rows, []string{fmt.Sprintf("task %s, version %s: write  - task: %s", x.Name, x.Version, x.Reference)})
			}
			return t
		})
	})
}

// taskZip is what is sent for a folder or a .vsix.
func taskZip(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "There is no %s.", name).WithNext("name the folder of a task, or a .vsix")
	}
	if info.IsDir() {
		return packTask(name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The file %s cannot be read.", name)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, gallery.MaxUpload+1))
	if err == nil && len(content) > gallery.MaxUpload {
		err = fault.New(fault.TooLarge, "%s has more than %d MiB.", name, gallery.MaxUpload>>20)
	}
	return content, err
}

// packTask packs a folder: plain files alone, and nothing of git's. A link is an error, so
// that nothing of elsewhere is sent by mistake; those that npm makes in .bin are left out,
// which no task needs at run time.
func packTask(dir string) ([]byte, error) {
	if _, err := os.Stat(filepath.Join(dir, "task.json")); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The folder %s holds no task.json.", dir).WithNext("name the folder of one task")
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == ".bin" && filepath.Base(filepath.Dir(name)) == "node_modules"):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return fault.New(fault.Invalid, "%s is a link or no plain file.", name).WithNext("put a copy of the file in its place")
		case out.Len() > gallery.MaxUpload:
			return fault.New(fault.TooLarge, "Packed, %s has more than %d MiB.", dir, gallery.MaxUpload>>20).WithNext("leave out what the task does not need at run time: npm prune --omit=dev")
		}
		return packFile(w, dir, name)
	})
	if err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("packing %s: %w", dir, err)
	}
	return out.Bytes(), nil
}

func packFile(w *zip.Writer, dir, name string) error {
	rel, err := filepath.Rel(dir, name)
	if err != nil {
		return err
	}
	from, err := os.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	h := &zip.FileHeader{Name: filepath.ToSlash(rel), Method: zip.Deflate}
	h.SetMode(info.Mode().Perm())
	to, err := w.CreateHeader(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return err
}

func (e *env) taskList() *cobra.Command {
	return e.forTasks(&cobra.Command{
		Use: "list", Short: "List the added tasks that a project may use", Args: cobra.NoArgs, Example: "  towpath task list --project shop",
	}, none, func(c *cobra.Command, path string, _ []string) error {
		got, err := fetch[[]gallery.Task](c.Context(), e, path, nil)
		if err != nil {
			return err
		}
		return e.print(got, func() table {
			t := table{head: []string{"task", "version", "for", "runs in", "added", "by", "id", "digest"}, wide: 2, none: "No tasks were added; the built-in ones are in docs/pipelines/tasks.md. Add one: towpath task add DIR|VSIX"}
			for _, x := range got {
				scope := "project"
				if x.Project == "" {
					scope = "installation"
				}
				t.rows = append(t.rows, []string{x.Reference, x.Version, scope, strings.Join(x.Handlers, " "), ago(x.Added), x.By, x.ID, x.Digest})
			}
			return t
		})
	})
}

func (e *env) taskShow() *cobra.Command {
	return e.forTasks(&cobra.Command{
		Use: "show TASK", Short: "Show an added task with its inputs", Args: cobra.ExactArgs(1), Example: "  towpath task show AcmeDeploy@1 --project shop",
	}, named, func(c *cobra.Command, path string, _ []string) error {
		got, err := fetch[gallery.Task](c.Context(), e, path, nil)
		if err != nil {
			return err
		}
		return e.print(got, func() table {
			t := table{head: []string{"input", "type", "default", "required", "what"}, none: got.Reference + " has no inputs."}
			for _, in := range got.Inputs {
				required := "-"
				if in.Required {
					required = "yes"
				}
				t.rows = append(t.rows, []string{strings.Join(append([]string{in.Name}, in.Aliases...), " "), orDash(in.Type), orDash(in.Default), required, in.Title})
			}
			return t
		})
	})
}

func (e *env) taskRemove() *cobra.Command {
	return e.forTasks(&cobra.Command{
		Use: "remove TASK", Short: "Remove an added task: NAME, NAME@MAJOR or NAME@VERSION", Args: cobra.ExactArgs(1), Example: "  towpath task remove AcmeDeploy@1.4.0 --project shop",
	}, named, func(c *cobra.Command, path string, _ []string) error {
		_, err := send[any](c.Context(), e, http.MethodDelete, path, nil)
		return err
	})
}

package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/library"
)

// connections are the verbs of `towpath connection`.
func (e *env) connections() *cobra.Command {
	return noun("connection", "Addresses outside that pipelines may use, and what opens them", e.connectionList(), e.connectionShow(), e.connectionCreate(), e.connectionSet(), e.connectionRemove())
}

func (e *env) connectionList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List service connections", Args: cobra.NoArgs, Example: "  towpath connection list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/connections")
			if err != nil {
				return err
			}
			got, err := fetch[[]library.Connection](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "type", "url", "changed"}, none: "No service connections. Make one: towpath connection create NAME --type generic --url https://HOST"}
				for _, x := range got {
					t.rows = append(t.rows, []string{x.Name, x.Type, x.URL, ago(x.Changed)})
				}
				return t
			})
		},
	})
}

func (e *env) connectionShow() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "show CONNECTION", Short: "Show a service connection; secret parameters stay hidden", Args: cobra.ExactArgs(1), Example: "  towpath connection show hub --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/connections/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			got, err := fetch[library.Connection](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.printConnection(got)
		},
	})
}

func (e *env) printConnection(x library.Connection) error {
	return e.print(x, func() table {
		address := x.URL
		if at, err := e.chosen(); err == nil && x.Type == library.IncomingWebhook {
			address = at.Server + api.Prefix + pipeline.HookPath(e.project, x.Name)
		}
		t := table{rows: [][]string{{"name", x.Name}, {"type", x.Type}, {"url", address}}}
		for _, v := range x.Parameters {
			value := v.Value
			if v.Secret {
				value = "(secret)"
			}
			t.rows = append(t.rows, []string{v.Name, value})
		}
		return t
	})
}

func (e *env) connectionCreate() *cobra.Command {
	var in api.NewConnection
	var set []string
	var secret string
	c := e.inProject(&cobra.Command{
		Use: "create CONNECTION", Short: "Make a service connection", Args: cobra.ExactArgs(1),
		Long: "Makes a service connection of the type kubernetes, dockerregistry, generic or incomingwebhook. A secret parameter is read from standard input.\n" +
			"An incoming webhook takes calls that are signed with its parameter secret; show prints the address.\n" +
			"Pipelines are held until somebody permits them (`towpath check permit connection/NAME PROJECT/REPO`).",
		Example: "  towpath connection create hub --type dockerregistry --url https://images.example.com --set username=robot --secret password --project shop < password.txt",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			in.Name = args[0]
			if in.Parameters, err = e.parameters(set, secret); err != nil {
				return err
			}
			path, err := e.projectPath("/connections")
			if err != nil {
				return err
			}
			got, err := send[library.Connection](c.Context(), e, http.MethodPost, path, in)
			if err != nil {
				return err
			}
			return e.printConnection(got)
		},
	})
	f := c.Flags()
	f.StringVar(&in.Type, "type", "", "kubernetes, dockerregistry, generic or incomingwebhook")
	f.StringVar(&in.URL, "url", "", "address, https://HOST; not for an incoming webhook")
	f.StringVar(&in.Description, "description", "", "what it is for")
	f.StringArrayVar(&set, "set", nil, "a parameter that is no secret, NAME=VALUE")
	f.StringVar(&secret, "secret", "", "`name` of a secret parameter, whose value is read from standard input")
	f.BoolVar(&in.Open, "open", false, "every pipeline of the project may use it")
	return c
}

// parameters reads plain parameters and at most one secret.
func (e *env) parameters(set []string, secret string) ([]library.Value, error) {
	values, err := libraryValues(set)
	if err != nil || secret == "" {
		return values, err
	}
	text, err := e.readSecret("Value of " + secret + ": ")
	return append(values, library.Value{Name: secret, Value: text, Secret: true}), err
}

func (e *env) connectionSet() *cobra.Command {
	var secret string
	c := e.inProject(&cobra.Command{
		Use: "set CONNECTION [NAME=VALUE…]", Short: "Set parameters of a service connection", Args: cobra.MinimumNArgs(1),
		Example: "  towpath connection set hub --secret password --project shop < password.txt",
		RunE: func(c *cobra.Command, args []string) error {
			values, err := e.parameters(args[1:], secret)
			if err != nil {
				return err
			}
			if len(values) == 0 {
				return fault.New(fault.Invalid, "Nothing is to be set.").WithNext("write NAME=VALUE, or --secret NAME")
			}
			path, err := e.projectPath("/connections/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			got, err := send[library.Connection](c.Context(), e, http.MethodPatch, path, library.Change{Set: values})
			if err != nil {
				return err
			}
			return e.printConnection(got)
		},
	})
	c.Flags().StringVar(&secret, "secret", "", "`name` of a secret parameter, whose value is read from standard input")
	return c
}

func (e *env) connectionRemove() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "remove CONNECTION", Short: "Remove a service connection with its secrets", Args: cobra.ExactArgs(1), Example: "  towpath connection remove hub --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/connections/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			_, err = send[any](c.Context(), e, http.MethodDelete, path, nil)
			return err
		},
	})
}

// secureFiles are the verbs of `towpath secure-file`.
func (e *env) secureFiles() *cobra.Command {
	return noun("secure-file", "Keys and certificates that only jobs can read", e.fileList(), e.fileUpload(), e.fileRemove())
}

func (e *env) fileList() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "list", Short: "List secure files", Args: cobra.NoArgs, Example: "  towpath secure-file list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/secure-files")
			if err != nil {
				return err
			}
			got, err := fetch[[]library.File](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "bytes", "changed", "by"}, none: "No secure files. Keep one: towpath secure-file upload FILE"}
				for _, f := range got {
					t.rows = append(t.rows, []string{f.Name, strconv.FormatInt(f.Bytes, 10), ago(f.Changed), f.By})
				}
				return t
			})
		},
	})
}

func (e *env) fileUpload() *cobra.Command {
	var name string
	var open bool
	c := e.inProject(&cobra.Command{
		Use: "upload FILE", Short: "Keep a file that only jobs can read", Args: cobra.ExactArgs(1),
		Long:    "Keeps a file of at most 10 MiB, encrypted. A job reads it with the task DownloadSecureFile@1, once its pipeline is permitted.",
		Example: "  towpath secure-file upload signing.p12 --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return fault.Wrap(fault.Invalid, err, "The file %s cannot be read.", args[0])
			}
			defer f.Close()
			if name == "" {
				name = filepath.Base(args[0])
			}
			path, err := e.projectPath("/secure-files/" + url.PathEscape(name) + "?open=" + strconv.FormatBool(open))
			if err != nil {
				return err
			}
			remote, err := e.client()
			if err != nil {
				return err
			}
			answer, err := remote.Raw(c.Context(), http.MethodPut, path, "application/octet-stream", f)
			if err != nil {
				return err
			}
			defer answer.Close()
			var got library.File
			if err := json.NewDecoder(answer).Decode(&got); err != nil {
				return fmt.Errorf("reading the answer of the server: %w", err)
			}
			return e.print(got, func() table { return table{rows: [][]string{{"secure file " + got.Name}}} })
		},
	})
	c.Flags().StringVar(&name, "name", "", "name to keep it under (default: the file's)")
	c.Flags().BoolVar(&open, "open", false, "every pipeline of the project may use it")
	return c
}

func (e *env) fileRemove() *cobra.Command {
	return e.inProject(&cobra.Command{
		Use: "remove NAME", Short: "Remove a secure file", Args: cobra.ExactArgs(1), Example: "  towpath secure-file remove signing.p12 --project shop",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := e.projectPath("/secure-files/" + url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			_, err = send[any](c.Context(), e, http.MethodDelete, path, nil)
			return err
		},
	})
}

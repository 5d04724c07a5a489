package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/evidence/bundle"
	"towpath.dev/towpath/internal/fault"
)

// export writes a bundle to a file, after checking it as its reader will, and pins the
// server's key.
func (e *env) export(ctx context.Context, c *client.Client, ref, path string) error {
	body, err := c.Raw(ctx, http.MethodGet, "/trace/bundle?"+url.Values{"ref": {ref}}.Encode(), "", nil)
	if err != nil {
		return err
	}
	raw, err := bundle.Read(body)
	if err := errors.Join(err, body.Close()); err != nil {
		return err
	}
	key, err := e.pin(ctx, c)
	if err != nil {
		return err
	}
	report, err := bundle.Verify(ctx, raw, key)
	if err != nil {
		return err
	}
	if path == "-" {
		_, err := io.Copy(e.out, bytes.NewReader(raw))
		return err
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		return fault.Wrap(fault.Invalid, err, "The bundle cannot be written to %s.", path)
	}
	fmt.Fprintf(e.err, "Wrote %s: %d events and %d documents of %s. Check it anywhere with: towpath verify %s --key %s\n",
		path, report.Events, report.Documents, report.Subject, path, key)
	return nil
}

// pin asks the server for the key of its bundles and remembers it. A server whose key is
// another one than before is not believed: somebody may stand between.
func (e *env) pin(ctx context.Context, c *client.Client) (string, error) {
	t, err := e.chosen()
	if err != nil {
		return "", err
	}
	var key evidence.Key
	if err := c.Get(ctx, "/trace/key", nil, &key); err != nil {
		return "", err
	}
	print, err := bundle.ParseKey(key.PEM)
	if err != nil {
		return "", err
	}
	s, err := e.settings()
	if err != nil {
		return "", err
	}
	switch known := s.EvidenceKeys[t.Server]; known {
	case print:
		return print, nil
	case "":
	default:
		return "", fault.New(fault.Denied, "The server %s signs with the key %s; before it was %s.", t.Server, print, known).
			WithNext("ask who runs the server; if it was set up anew, remove the old key from evidence_keys in the file of contexts")
	}
	if s.EvidenceKeys == nil {
		s.EvidenceKeys = map[string]string{}
	}
	s.EvidenceKeys[t.Server] = print
	return print, e.save(s)
}

func (e *env) verify() *cobra.Command {
	var keys []string
	var server bool
	cmd := &cobra.Command{
		Use: "verify BUNDLE", Short: "Check a signed evidence bundle without the server", Args: cobra.MaximumNArgs(1),
		Long: "Check a bundle that `towpath trace SUBJECT --bundle FILE` wrote: the signature and whose it is, the hash of every\n" +
			"event and of its neighbours, the digest of every document, and the links that hold the chain together. No server is\n" +
			"asked. Trusted are the keys that --key names, and without it those of the servers from which this machine has taken\n" +
			"bundles itself. A bundle that does not hold ends the command with the exit code 1.",
		Example: "  towpath verify item-12.json\n  towpath verify item-12.json --key sha256:7d0c…\n  towpath verify item-12.json --key towpath.pem\n  towpath verify --server-key",
		RunE: func(c *cobra.Command, args []string) error {
			if server {
				return e.serverKey(c.Context())
			}
			if len(args) == 0 {
				return fault.New(fault.Invalid, "There is no bundle to check.").WithNext("name a file: towpath verify FILE")
			}
			report, err := e.check(c.Context(), args[0], keys)
			if fault.Is(err, fault.Denied) {
				message, next := fault.Public(err)
				fmt.Fprintf(e.err, "refused: %s\n  next: %s\n", message, next)
				return exitCode(1)
			}
			if err != nil {
				return err
			}
			return e.print(report, func() table { return reportTable(report) })
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "trust this key: its fingerprint (sha256:…), or a file with the key or its certificate in PEM; may be repeated")
	cmd.Flags().BoolVar(&server, "server-key", false, "print the key of the server instead, to compare it with, and remember it")
	return cmd
}

// check reads and verifies a bundle.
func (e *env) check(ctx context.Context, path string, keys []string) (bundle.Report, error) {
	trusted, err := e.trusted(keys)
	if err != nil {
		return bundle.Report{}, err
	}
	in := e.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return bundle.Report{}, fault.Wrap(fault.NotFound, err, "The bundle %s cannot be read.", path).WithNext("check the name of the file")
		}
		defer f.Close()
		in = f
	}
	raw, err := bundle.Read(in)
	if err != nil {
		return bundle.Report{}, err
	}
	return bundle.Verify(ctx, raw, trusted...)
}

// trusted are the keys that are named, else those of the servers that are known here.
func (e *env) trusted(keys []string) ([]string, error) {
	if len(keys) == 0 {
		s, err := e.settings()
		if err != nil && !fault.Is(err, fault.Invalid) {
			return nil, err
		}
		return slices.Sorted(maps.Values(s.EvidenceKeys)), nil
	}
	out := make([]string, len(keys))
	for i, k := range keys {
		text := k
		if !strings.HasPrefix(k, "sha256:") {
			b, err := os.ReadFile(k)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, fault.New(fault.NotFound, "There is no key file %s.", k).WithNext("give a fingerprint (sha256:…) or a PEM file")
			}
			if err != nil {
				return nil, fault.Wrap(fault.Invalid, err, "The key file %s cannot be read.", k)
			}
			text = string(b)
		}
		var err error
		if out[i], err = bundle.ParseKey(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// serverKey prints the key of the server.
func (e *env) serverKey(ctx context.Context) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	if _, err := e.pin(ctx, c); err != nil {
		return err
	}
	var key evidence.Key
	if err := c.Get(ctx, "/trace/key", nil, &key); err != nil {
		return err
	}
	return e.print(key, func() table { return table{head: []string{"fingerprint"}, rows: [][]string{{key.Fingerprint}}} })
}

func reportTable(r bundle.Report) table {
	t := table{head: []string{"what", "is"}}
	row := func(what, is string) { t.rows = append(t.rows, []string{what, is}) }
	row("subject", string(r.Subject))
	row("project", orDash(r.Project))
	row("taken", r.Created.UTC().Format(time.RFC3339)+" by "+r.By)
	row("signed by", r.Key)
	row("events", fmt.Sprintf("%d about %d things, every hash fits, %d segments of the hash chain", r.Events, r.Subjects, r.Segments))
	row("logbook", fmt.Sprintf("event %d %.16s", r.Head.Seq, r.Head.Hash))
	row("documents", fmt.Sprintf("%d, every digest fits", r.Documents))
	for _, a := range r.Absent {
		row("not there", a.Digest+": "+a.Why)
	}
	if r.Truncated {
		row("truncated", "the chain has more than a bundle shows")
	}
	return t
}

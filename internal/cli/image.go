package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/registry/supply/scan"
)

func (e *env) images() *cobra.Command {
	list := e.inProject(&cobra.Command{
		Use: "list", Short: "List the images of a project with their scan", Args: cobra.NoArgs, Example: "  towpath image list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/images")
			if err != nil {
				return err
			}
			got, err := fetch[[]api.Image](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{
					head: []string{"repository", "tags", "digest", "size", "findings", "pushed", "run"},
					none: "No images yet. A run pushes them with a Docker@2 step, or: docker push HOST/" + e.project + "/NAME:TAG",
				}
				for _, i := range got {
					t.rows = append(t.rows, []string{i.Repository, orDash(strings.Join(i.Tags, ",")), short(i.Digest), size(i.Bytes), verdict(i.Verdict), ago(i.Pushed), number(i.Run)})
				}
				return t
			})
		},
	})
	show := &cobra.Command{
		Use: "show REPOSITORY[:TAG|@DIGEST]", Short: "Show an image: SBOM, findings, signatures, provenance", Args: cobra.ExactArgs(1),
		Example: "  towpath image show shop/web:12\n  towpath image show shop/web@sha256:… -o json",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := fetch[api.ImageDetail](c.Context(), e, "/image", imageQuery(args[0]))
			if err != nil {
				return err
			}
			return e.print(got, func() table { return imageTable(got) })
		},
	}
	verify := &cobra.Command{
		Use: "verify REPOSITORY[:TAG|@DIGEST]", Short: "Verify an image's signatures; exit 1 when none is valid", Args: cobra.ExactArgs(1),
		Example: "  towpath image verify shop/web:12",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := send[[]supply.Signature](c.Context(), e, http.MethodPost, "/image/verify?"+imageQuery(args[0]).Encode(), nil)
			if err != nil {
				return err
			}
			valid := false
			for _, s := range got {
				valid = valid || s.Verified
			}
			err = e.print(got, func() table {
				t := table{head: []string{"signature", "valid", "identity", "why"}, none: "The image is not signed."}
				for _, s := range got {
					t.rows = append(t.rows, []string{short(s.Digest), fmt.Sprint(s.Verified), orDash(s.Identity), orDash(s.Why)})
				}
				return t
			})
			if err == nil && !valid {
				return exitCode(1)
			}
			return err
		},
	}
	return noun("image", "Images: SBOM, scan, signature, provenance", list, show, verify)
}

// imageQuery takes "repository:tag" or "repository@digest" apart.
func imageQuery(ref string) url.Values {
	name, reference, ok := strings.Cut(ref, "@")
	if !ok {
		if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
			name, reference = ref[:i], ref[i+1:]
		}
	}
	return url.Values{"repository": {name}, "reference": {reference}}
}

func imageTable(i api.ImageDetail) table {
	t := table{rows: [][]string{
		{"image", i.Repository + "@" + i.Digest},
		{"tags", orDash(strings.Join(i.Tags, ", "))},
		{"size", size(i.Bytes)},
		{"pushed", ago(i.Pushed) + " by " + i.Pusher},
		{"scan", verdict(i.Verdict)},
	}}
	r := i.Report
	if r == nil {
		t.rows = append(t.rows, []string{"report", "not made yet"})
		return t
	}
	if i.Verdict != nil {
		t.rows = append(t.rows, []string{"advisory data", "of " + orDash(date(i.Verdict.Advisories))})
	}
	t.rows = append(t.rows, []string{"packages", fmt.Sprint(len(r.Packages))})
	for _, s := range r.Signatures {
		word := "valid, " + s.Identity
		if !s.Verified {
			word = "NOT valid: " + s.Why
		}
		t.rows = append(t.rows, []string{"signature", word})
	}
	if p := r.Provenance; p != nil {
		t.rows = append(t.rows, []string{"provenance", fmt.Sprintf("SLSA v1, valid: %t %s", p.Verified, p.Why)})
	}
	for _, f := range r.Findings {
		fix := "no fix yet"
		if f.Fixed != "" {
			fix = "fixed in " + f.Fixed
		}
		t.rows = append(t.rows, []string{string(f.Severity), f.Advisory + " " + f.Package + " " + f.Version + ", " + fix})
	}
	return t
}

// verdict says a scan in a few words.
func verdict(v *scan.Verdict) string {
	switch {
	case v == nil:
		return "not scanned yet"
	case v.Problem != "":
		return v.Problem
	case v.Status != "findings":
		return v.Status
	}
	var parts []string
	for _, c := range []struct {
		n    int
		word string
	}{{v.Critical, "critical"}, {v.High, "high"}, {v.Medium, "medium"}, {v.Low, "low"}, {v.Unknown, "unrated"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	return strings.Join(parts, ", ")
}

func (e *env) advisories() *cobra.Command {
	load := &cobra.Command{
		Use: "import PATH|URL", Short: "Load OSV advisories from a folder, an all.zip or a URL", Args: cobra.ExactArgs(1),
		Example: "  towpath advisories import ./go-osv.zip",
		RunE: func(c *cobra.Command, args []string) error {
			client, err := e.client()
			if err != nil {
				return err
			}
			var got supply.Imported
			if strings.HasPrefix(args[0], "http://") || strings.HasPrefix(args[0], "https://") {
				err = client.Do(c.Context(), http.MethodPost, "/advisories/import", map[string]string{"source": args[0]}, &got)
			} else {
				err = e.uploadAdvisories(c.Context(), client, args[0], &got)
			}
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{rows: [][]string{{fmt.Sprintf("%d advisories read, %d new or changed, as of %s; %d images are judged anew", got.Entries, got.Changed, date(got.Date), got.Images)}}}
				if got.Rejected > 0 {
					t.rows = append(t.rows, []string{fmt.Sprintf("%d entries could not be read: %s", got.Rejected, strings.Join(got.Why, "; "))})
				}
				return t
			})
		},
	}
	st := &cobra.Command{
		Use: "status", Short: "Show which advisory data is loaded, and of when", Args: cobra.NoArgs, Example: "  towpath advisories status",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := fetch[[]coverage](c.Context(), e, "/advisories", nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"ecosystem", "advisories", "as of", "source"}, none: "No advisory data. Load some: towpath advisories import PATH|URL"}
				for _, g := range got {
					t.rows = append(t.rows, []string{g.Ecosystem, fmt.Sprint(g.Entries), date(g.Date), orDash(g.Source)})
				}
				return t
			})
		},
	}
	show := &cobra.Command{
		Use: "show ID", Short: "Show an advisory", Args: cobra.ExactArgs(1), Example: "  towpath advisories show GO-2024-2687",
		RunE: func(c *cobra.Command, args []string) error {
			got, err := fetch[record](c.Context(), e, "/advisories/entries/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{rows: [][]string{{"id", got.ID}, {"aliases", orDash(strings.Join(got.Aliases, ", "))}, {"severity", string(got.Severity)}, {"summary", orDash(got.Summary)}}}
				for _, a := range got.Affected {
					t.rows = append(t.rows, []string{a.Ecosystem, a.Package})
				}
				return t
			})
		},
	}
	return noun("advisories", "The advisories that images are scanned against", load, st, show)
}

var errNotZip = fault.New(fault.Invalid, "That is neither a folder nor a zip of OSV files.").WithNext("give a folder with *.json, an all.zip, or a URL of one")

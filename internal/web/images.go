package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/web/page"
)

func (h *handler) images(w http.ResponseWriter, r request) error {
	seq, _, err := h.Log.Head(r.Context())
	if err != nil {
		return err
	}
	list, err := h.Registry.Images(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	q := r.query("q")
	list = slices.DeleteFunc(list, func(i registry.Image) bool {
		return !matches(q, append([]string{i.Repository, i.Digest}, i.Tags...)...)
	})
	digests := make([]string, 0, len(list))
	for _, i := range list {
		digests = append(digests, i.Digest)
	}
	verdicts, err := h.Supply.Verdicts(r.Context(), digests)
	if err != nil {
		return err
	}
	v := page.ImageList{Query: q, Host: h.host()}
	for _, i := range list {
		item := page.ImageItem{Image: i}
		if verdict, ok := verdicts[i.Digest]; ok {
			item.Verdict = &verdict
		}
		v.Images = append(v.Images, item)
	}
	s := h.room(w, r, "images", "Images", page.Crumb{Text: "images"})
	s.Live = s.At("/events?after=" + strconv.FormatInt(seq, 10))
	return h.render(w, r, page.ImagesPage(s, v))
}

// host is the registry's host in the names of images.
func (h *handler) host() string {
	_, host, _ := strings.Cut(h.opts.PublicURL, "://")
	return host
}

// image shows one image. The address names it as people do, REPOSITORY@DIGEST or
// REPOSITORY:TAG, or by its digest alone, which is looked for in the project.
func (h *handler) image(w http.ResponseWriter, r request) error {
	repository, reference, err := h.imageRef(r)
	if err != nil {
		return err
	}
	if strings.HasPrefix(r.PathValue("ref"), "sha256:") {
		s := page.Shell{Project: r.project()}
		http.Redirect(w, r.Request, page.ImageHref(s, repository, reference)+page.Query("tab", r.query("tab")), http.StatusSeeOther)
		return nil
	}
	i, err := h.Registry.Image(r.Context(), r.actor, repository, reference)
	if err != nil {
		return err
	}
	v := page.ImageView{Image: i, Tab: r.query("tab"), Query: r.query("q"), Host: h.host()}
	report, err := h.Supply.Report(r.Context(), r.actor, i.Repository, i.Digest)
	switch {
	case err == nil:
		v.Report = &report
	case !fault.Is(err, fault.NotFound):
		return err
	}
	for _, f := range report.Findings {
		if matches(v.Query, append([]string{f.Advisory, f.Package, string(f.Severity), f.Summary, f.Version}, f.Aliases...)...) {
			v.Findings = append(v.Findings, f)
		}
	}
	for _, p := range report.Packages {
		if matches(v.Query, p.Name, p.Version, p.Ecosystem, p.Path) {
			v.Packages = append(v.Packages, p)
		}
	}
	s := h.room(w, r, "images", i.Repository, page.Crumb{Text: "images", Href: "/projects/" + r.project() + "/images"},
		page.Crumb{Text: i.Repository + " " + page.Short(i.Digest)})
	return h.render(w, r, page.ImagePage(s, v))
}

// imageRef takes the image in the address apart. Only images of the address's project
// are shown below it.
func (h *handler) imageRef(r request) (repository, reference string, err error) {
	ref := r.PathValue("ref")
	if strings.HasPrefix(ref, "sha256:") {
		list, err := h.Registry.Images(r.Context(), r.actor, r.project())
		if err != nil {
			return "", "", err
		}
		for _, i := range list {
			if i.Digest == ref {
				return i.Repository, i.Digest, nil
			}
		}
		return "", "", fault.New(fault.NotFound, "The project %s has no image %s any more.", r.project(), page.Short(ref)).
			WithNext("its evidence is still there: towpath trace image/%s", page.Short(ref))
	}
	var ok bool
	if repository, reference, ok = strings.Cut(ref, "@"); !ok {
		if repository, reference, ok = strings.Cut(ref, ":"); !ok {
			repository, reference = ref, "latest"
		}
	}
	if project, _, _ := strings.Cut(repository, "/"); project != r.project() {
		return "", "", fault.New(fault.NotFound, "The project %s has no image repository %q.", r.project(), repository[:min(len(repository), 80)])
	}
	return repository, reference, nil
}

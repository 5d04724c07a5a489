package oci

import (
	"net/http"
	"net/url"

	"towpath.dev/towpath/internal/registry"
)

// page reads n and last. n is the largest page when it is missing. It answers itself
// when it returns false.
func (q *request) page() (n int, last string, ok bool) {
	form := q.r.URL.Query()
	n = registry.MaxPage
	if s := form.Get("n"); s != "" {
		v, ok := position(s)
		if !ok {
			q.write(http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "The parameter n must be a number of entries.")
			return 0, "", false
		}
		n = int(min(v, registry.MaxPage))
	}
	return n, form.Get("last"), true
}

// next sets the Link header to the page after last.
func (q *request) next(form url.Values) {
	u := url.URL{Path: q.r.URL.Path, RawQuery: form.Encode()}
	q.w.Header().Set("Link", "<"+u.String()+`>; rel="next"`)
}

func (q *request) tags() {
	n, last, ok := q.page()
	if !ok {
		return
	}
	tags, more, err := q.registry.Tags(q.ctx(), q.actor, q.name, last, n)
	if err != nil {
		q.fail(err)
		return
	}
	if more {
		q.next(url.Values{"n": {decimal(int64(n))}, "last": {tags[len(tags)-1]}})
	}
	if tags == nil {
		tags = []string{} // [] and not null
	}
	q.json(http.StatusOK, "application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{q.name, tags})
}

func (q *request) catalog() {
	n, last, ok := q.page()
	if !ok {
		return
	}
	names, more, err := q.registry.Repositories(q.ctx(), q.actor, last, n)
	if err != nil {
		q.fail(err)
		return
	}
	if more {
		q.next(url.Values{"n": {decimal(int64(n))}, "last": {names[len(names)-1]}})
	}
	if names == nil {
		names = []string{}
	}
	q.json(http.StatusOK, "application/json", struct {
		Repositories []string `json:"repositories"`
	}{names})
}

// referrersIndex is the answer of the referrers API: an image index.
type referrersIndex struct {
	SchemaVersion int                   `json:"schemaVersion"`
	MediaType     string                `json:"mediaType"`
	Manifests     []registry.Descriptor `json:"manifests"`
}

func (q *request) referrers() {
	form := q.r.URL.Query()
	kind := form.Get("artifactType")
	list, more, err := q.registry.Referrers(q.ctx(), q.actor, q.name, q.ref, kind, form.Get("last"))
	if err != nil {
		q.fail(err)
		return
	}
	if kind != "" {
		q.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	if more {
		follow := url.Values{"last": {list[len(list)-1].Digest}}
		if kind != "" {
			follow.Set("artifactType", kind)
		}
		q.next(follow)
	}
	if list == nil {
		list = []registry.Descriptor{}
	}
	q.json(http.StatusOK, registry.TypeIndex, referrersIndex{SchemaVersion: 2, MediaType: registry.TypeIndex, Manifests: list})
}

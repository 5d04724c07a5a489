package oci

import (
	"errors"
	"io"
	"net/http"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry"
)

func (q *request) getManifest() {
	var body []byte
	var err error
	var m registry.Manifest
	if whole := q.r.Method == http.MethodGet && q.r.Header.Get("If-None-Match") == ""; whole {
		m, body, err = q.registry.ManifestBytes(q.ctx(), q.actor, q.name, q.ref)
	} else {
		m, err = q.registry.ManifestRecord(q.ctx(), q.actor, q.name, q.ref)
	}
	if err != nil {
		q.fail(err)
		return
	}
	h := q.w.Header()
	h.Set("Docker-Content-Digest", m.Digest)
	h.Set("Etag", `"`+m.Digest+`"`)
	if unchanged(q.r, m.Digest) {
		q.w.WriteHeader(http.StatusNotModified)
		return
	}
	if q.r.Method == http.MethodGet && body == nil {
		if _, body, err = q.registry.ManifestBytes(q.ctx(), q.actor, q.name, m.Digest); err != nil {
			q.fail(err)
			return
		}
	}
	h.Set("Content-Type", m.MediaType)
	h.Set("Content-Length", decimal(m.Size))
	q.w.WriteHeader(http.StatusOK)
	_, _ = q.w.Write(body) // A lost connection has nobody left to tell; HEAD has no body.
}

func (q *request) putManifest() {
	body, err := io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, registry.MaxManifest))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		q.fail(&registry.Error{Code: registry.CodeManifestInvalid, Fault: fault.New(fault.TooLarge, "The manifest is larger than %d bytes.", registry.MaxManifest)})
		return
	}
	if err != nil {
		q.fail(wrong(registry.CodeManifestInvalid, "The manifest did not arrive whole."))
		return
	}
	p, err := q.registry.PutManifest(q.ctx(), q.actor, q.name, q.ref, q.r.Header.Get("Content-Type"), body, q.r.URL.Query()["tag"]...)
	if err != nil {
		q.fail(err)
		return
	}
	h := q.w.Header()
	h.Set("Location", "/v2/"+q.name+"/manifests/"+p.Digest)
	h.Set("Docker-Content-Digest", p.Digest)
	if p.Subject != "" {
		h.Set("OCI-Subject", p.Subject)
	}
	for _, t := range q.r.URL.Query()["tag"] {
		h.Add("OCI-Tag", t)
	}
	h.Set("Content-Length", "0")
	q.w.WriteHeader(http.StatusCreated)
}

func (q *request) deleteManifest() {
	if err := q.registry.Delete(q.ctx(), q.actor, q.name, q.ref); err != nil {
		q.fail(err)
		return
	}
	q.w.Header().Set("Content-Length", "0")
	q.w.WriteHeader(http.StatusAccepted)
}

package oci

import (
	"net/http"
	"net/url"
	"strings"

	"towpath.dev/towpath/internal/registry"
)

// startUpload serves POST …/blobs/uploads/: a mount, a blob in one request, or the start
// of an upload.
func (q *request) startUpload() {
	form := q.r.URL.Query()
	if mount := form.Get("mount"); mount != "" {
		if q.mounted(mount, form.Get("from")) {
			return
		}
	} else if digest := form.Get("digest"); digest != "" {
		if _, err := q.registry.PutBlob(q.ctx(), q.actor, q.name, digest, q.r.Body); err != nil {
			q.fail(err)
			return
		}
		q.created(digest)
		return
	}
	id, err := q.registry.StartUpload(q.ctx(), q.actor, q.name)
	if err != nil {
		q.fail(err)
		return
	}
	q.ref = id
	q.progress(http.StatusAccepted, 0)
}

// mounted tries a mount and reports whether it answered. A token that does not reach the
// source is as good as no right to it; a digest that is none is left to the upload.
func (q *request) mounted(digest, from string) bool {
	if q.grant != nil && (from == "" || !q.grantHolds(from, []string{"pull"})) {
		from = q.name
	}
	ok, err := q.registry.MountBlob(q.ctx(), q.actor, q.name, digest, from)
	if err != nil {
		q.fail(err)
		return true
	}
	if ok {
		q.created(digest)
	}
	return ok
}

func (q *request) created(digest string) {
	h := q.w.Header()
	h.Set("Location", "/v2/"+q.name+"/blobs/"+digest)
	h.Set("Docker-Content-Digest", digest)
	h.Set("Content-Length", "0")
	q.w.WriteHeader(http.StatusCreated)
}

// progress answers with where the upload is and how far it has come. The specification
// has no way to say "no bytes"; "0-0" is what every client knows.
func (q *request) progress(status int, size int64) {
	q.where(size)
	q.w.Header().Set("Content-Length", "0")
	q.w.WriteHeader(status)
}

func (q *request) where(size int64) {
	h := q.w.Header()
	h.Set("Location", "/v2/"+q.name+"/blobs/uploads/"+url.PathEscape(q.ref))
	h.Set("Docker-Upload-Uuid", q.ref)
	h.Set("Range", "0-"+decimal(max(0, size-1)))
}

func (q *request) uploadStatus() {
	size, err := q.registry.UploadSize(q.ctx(), q.actor, q.name, q.ref)
	if err != nil {
		q.fail(err)
		return
	}
	q.progress(http.StatusNoContent, size)
}

func (q *request) patchUpload() {
	offset, ok := q.offset()
	if !ok {
		return
	}
	size, err := q.registry.AppendUpload(q.ctx(), q.actor, q.name, q.ref, offset, q.r.Body)
	if err != nil {
		q.failUpload(err, size)
		return
	}
	q.progress(http.StatusAccepted, size)
}

func (q *request) finishUpload() {
	digest := q.r.URL.Query().Get("digest")
	if digest == "" {
		q.fail(wrong(registry.CodeDigestInvalid, "The upload cannot be finished without the parameter digest."))
		return
	}
	offset, ok := q.offset()
	if !ok {
		return
	}
	size, err := q.registry.FinishUpload(q.ctx(), q.actor, q.name, q.ref, digest, offset, q.r.Body)
	if err != nil {
		q.failUpload(err, size)
		return
	}
	q.created(digest)
}

func (q *request) cancelUpload() {
	if err := q.registry.CancelUpload(q.ctx(), q.actor, q.name, q.ref); err != nil {
		q.fail(err)
		return
	}
	q.w.WriteHeader(http.StatusNoContent)
}

// failUpload answers an error of an append. For a chunk that does not fit it says where
// to go on.
func (q *request) failUpload(err error, size int64) {
	if registry.CodeOf(err) == registry.CodeRangeInvalid {
		q.where(size)
	}
	q.fail(err)
}

// offset reads where a chunk begins from Content-Range ("first-last", with or without a
// unit and a total). Without one the bytes go to the end. It answers itself when it
// returns false.
func (q *request) offset() (int64, bool) {
	header := q.r.Header.Get("Content-Range")
	if header == "" {
		return registry.AtEnd, true
	}
	first, last, ok := contentRange(header)
	if !ok {
		q.fail(wrong(registry.CodeBlobUploadInvalid, "The header Content-Range must be first-last, for example 0-1023."))
		return 0, false
	}
	if n := q.r.ContentLength; n >= 0 && n != last-first+1 {
		q.fail(wrong(registry.CodeSizeInvalid, "Content-Range says %d bytes, Content-Length %d.", last-first+1, n))
		return 0, false
	}
	return first, true
}

func contentRange(header string) (first, last int64, ok bool) {
	header = strings.TrimSpace(strings.TrimPrefix(header, "bytes"))
	header, _, _ = strings.Cut(header, "/")
	from, to, ok := strings.Cut(header, "-")
	if !ok {
		return 0, 0, false
	}
	first, ok1 := position(from)
	last, ok2 := position(to)
	return first, last, ok1 && ok2 && first <= last
}

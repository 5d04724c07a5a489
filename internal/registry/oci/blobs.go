package oci

import (
	"io"
	"net/http"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/registry"
)

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

func (q *request) getBlob() {
	b, err := q.registry.Blob(q.ctx(), q.actor, q.name, q.ref)
	if err != nil {
		q.fail(err)
		return
	}
	size := b.Size
	h := q.w.Header()
	h.Set("Docker-Content-Digest", q.ref)
	h.Set("Etag", `"`+q.ref+`"`)
	h.Set("Accept-Ranges", "bytes")
	// A digest's bytes never change, but whether this client may see them does.
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	h.Set("Content-Type", "application/octet-stream")
	if unchanged(q.r, q.ref) {
		q.w.WriteHeader(http.StatusNotModified)
		return
	}
	first, length, status := window(q.r.Header.Get("Range"), size)
	switch status {
	case http.StatusRequestedRangeNotSatisfiable:
		h.Set("Content-Range", "bytes */"+decimal(size))
		q.write(status, "RANGE_INVALID", "The range is outside of the blob, which has "+decimal(size)+" bytes.")
		return
	case http.StatusPartialContent:
		h.Set("Content-Range", "bytes "+decimal(first)+"-"+decimal(first+length-1)+"/"+decimal(size))
	}
	h.Set("Content-Length", decimal(length))
	if q.r.Method == http.MethodHead {
		q.w.WriteHeader(status)
		return
	}
	q.sendBlob(b, first, length, status)
}

func (q *request) sendBlob(b registry.Blob, first, length int64, status int) {
	rc, err := b.Open(q.ctx(), first)
	if err != nil {
		q.w.Header().Del("Content-Range")
		q.fail(err)
		return
	}
	defer rc.Close()
	q.w.WriteHeader(status)
	// A file inside a limited reader goes to the socket by sendfile.
	if _, err := io.CopyN(q.w, rc, length); err != nil && q.ctx().Err() == nil {
		q.log.Warn("sending a blob broke off", "digest", q.ref, "error", err)
	}
}

// unchanged reports whether the client says that it has what the digest names.
func unchanged(r *http.Request, digest string) bool {
	for tag := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == `"`+digest+`"` || tag == "*" {
			return true
		}
	}
	return false
}

// window reads a Range header (RFC 9110, section 14.1.2) against a size. One range is
// served; several, another unit or nonsense are ignored, as the RFC allows. A range that
// ends before it begins or begins after the end is not satisfiable.
func window(header string, size int64) (first, length int64, status int) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return 0, size, http.StatusOK
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return 0, size, http.StatusOK
	}
	if from == "" {
		n, ok := position(to)
		switch {
		case !ok:
			return 0, size, http.StatusOK
		case n == 0 || size == 0:
			return 0, 0, http.StatusRequestedRangeNotSatisfiable
		}
		n = min(n, size)
		return size - n, n, http.StatusPartialContent
	}
	first, ok = position(from)
	if !ok {
		return 0, size, http.StatusOK
	}
	last := size - 1
	if to != "" {
		n, ok := position(to)
		if !ok {
			return 0, size, http.StatusOK
		}
		last = min(n, last)
	}
	if first >= size || last < first {
		return 0, 0, http.StatusRequestedRangeNotSatisfiable
	}
	return first, last - first + 1, http.StatusPartialContent
}

// position reads a byte position: digits only.
func position(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func (q *request) deleteBlob() {
	if err := q.registry.DeleteBlob(q.ctx(), q.actor, q.name, q.ref); err != nil {
		q.fail(err)
		return
	}
	q.w.Header().Set("Docker-Content-Digest", q.ref)
	q.w.Header().Set("Content-Length", "0")
	q.w.WriteHeader(http.StatusAccepted)
}

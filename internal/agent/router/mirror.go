package router

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// Limits of copies.
const (
	maxMirrors = 64 // under way at a time; what is more is not copied
	mirrorTime = 30 * time.Second
)

// headerMirror tells the mirror that nobody waits for its answer.
const headerMirror = "X-Towpath-Mirror"

// hopByHop are the headers that end with a connection (RFC 9110, 7.6.1).
var hopByHop = [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Length"}

// mirrored reports whether the request is copied to another track: a session's is not, nor
// one that takes its connection over.
func (f *forward) mirrored() bool {
	m := f.p.mirror
	return m.Name != "" && f.session == nil && f.track.Name != m.Name && f.in.Header.Get("Upgrade") == "" && f.in.ContentLength <= maxCopy
}

// reserve takes one of the places for copies, when the request is to be copied and there
// is one. It comes before the body is kept, so that the memory for copies is bounded, too.
func (f *forward) reserve() bool {
	if !f.mirrored() {
		return false
	}
	select {
	case f.r.mirrors <- struct{}{}:
		f.reserved = true
	default:
	}
	return f.reserved
}

// mirror sends the copy of a request that was answered, without waiting. The answer is
// counted and dropped.
func (f *forward) mirror() {
	if !f.reserved {
		return
	}
	all, ok := f.body.copied()
	if f.resp == nil || !ok || !f.mirrored() { // a session has fallen back, or the body was too large
		<-f.r.mirrors
		return
	}
	out := f.in.Clone(context.Background())
	for _, name := range hopByHop {
		out.Header.Del(name)
	}
	out.Header.Set(headerMirror, "1")
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", f.p.at(f.p.mirror.Host)
	out.Body, out.ContentLength, out.TransferEncoding, out.Trailer = nil, 0, nil, nil
	if len(all) > 0 {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(all)), int64(len(all))
	}
	go func() {
		defer func() { <-f.r.mirrors }()
		f.copyTo(out)
	}()
}

func (f *forward) copyTo(out *http.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), mirrorTime)
	defer cancel()
	start := f.r.cfg.Now()
	resp, err := f.r.out.pick(f.http2).RoundTrip(out.WithContext(ctx))
	status := http.StatusBadGateway
	if err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxCopy))
		_ = resp.Body.Close()
		if status = resp.StatusCode; isGRPC(resp.Header) && status == http.StatusOK {
			status = httpOf(grpcStatus(resp))
		}
	}
	f.r.seen.count(f.p.service.Name, f.p.mirror.Name, status, f.r.cfg.Now().Sub(start))
}

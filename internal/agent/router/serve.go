package router

import (
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"towpath.dev/towpath/internal/deploy/route"
)

// Headers of responses.
const (
	HeaderSession = "X-Route-Session"  // the id of the session that answered
	HeaderTrack   = "X-Route-Track"    // the track that answered
	HeaderReason  = "X-Towpath-Reason" // why a request could not be answered
)

// trackSession stands for any session in the metrics' label track.
const trackSession = "session"

// forward is one request's way through the router.
type forward struct {
	r       *Router
	p       *port
	in      *http.Request
	http2   bool           // to the backend
	key     string         // the route key, "" for none
	session *route.Session // nil for a track
	track   route.Track    // of a session: where it falls back to
	cookie  string         // sticky cookie that the response sets, "" for none
	entry   *entry         // how the request entered by a preview, nil otherwise
	body    *body          // nil for a request without one
	resp    *http.Response // the backend's, nil before it
	reason  string         // why there is none

	reserved bool // a place for a copy is taken
}

// serve answers a request of a listener.
func (r *Router) serve(l *listener, w http.ResponseWriter, req *http.Request) {
	r.underWay.Add(1)
	defer r.underWay.Done()
	start := r.cfg.Now()
	st := r.state.Load()
	p, ok := st.ports[l.number]
	if !ok {
		p = l.last.Load()
	}
	out := &response{ResponseWriter: w}
	if req.Method == http.MethodConnect {
		refuse(out, req, http.StatusMethodNotAllowed, "the router does not make tunnels: CONNECT is not served")
		return
	}
	f := &forward{r: r, p: p, in: req}
	if !f.enter(out, st) {
		r.record(f, out, start, false)
		return
	}
	f.choose()
	broken := true
	defer func() { r.record(f, out, start, broken) }()
	f.proxy(out)
	broken = false
}

// choose finds the request's target: the session of its key, else a track.
func (f *forward) choose() {
	f.key = route.KeyOf(f.in.Header)
	f.track = f.weigh()
	if s, ok := f.p.session(f.key, f.r.cfg.Now()); ok && f.key != "" {
		f.session = &s
	}
	upgrade := f.in.Header.Get("Upgrade") != ""
	f.http2 = f.in.ProtoMajor == 2 || f.p.Protocol == route.H2C && !upgrade
}

// weigh returns the track by the weights and what the request sticks to.
func (f *forward) weigh() route.Track {
	s := f.p.service
	switch s.Sticky {
	case route.StickyKey:
		if f.key != "" {
			return s.Pick(f.key)
		}
	case route.StickyTrace:
		if id := traceID(f.in.Header); id != "" {
			return s.Pick(id)
		}
	case route.StickyCookie:
		if c, err := f.in.Cookie(stickyCookie); err == nil && isHex(c.Value, stickySize) {
			return s.Pick(c.Value)
		}
		f.cookie = newSticky()
		return s.Pick(f.cookie)
	}
	return s.At(rand.IntN(10000))
}

// proxy sends the request and its answer on.
func (f *forward) proxy(w *response) {
	if f.in.ProtoMajor == 1 {
		// A backend may answer before it has read all: the answer must not wait.
		_ = http.NewResponseController(w.ResponseWriter).EnableFullDuplex()
		dropH2CUpgrade(f.in.Header)
	}
	if err := f.takeBody(); err != nil {
		f.fail(w, err)
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite: f.rewrite, Transport: f, FlushInterval: -1,
		BufferPool: &f.r.out.buffers, ErrorLog: discard(),
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { f.fail(w, err) },
	}
	proxy.ModifyResponse = func(resp *http.Response) error {
		if resp.ContentLength == 0 {
			// A gRPC response may be a header that ends the stream ("Trailers-Only"). Flushed,
			// the header would go alone, and its client miss the trailers.
			proxy.FlushInterval = 0
		}
		f.mark(resp)
		return nil
	}
	proxy.ServeHTTP(w, f.in)
}

// rewrite makes the outgoing request that of the client: ReverseProxy takes more away than
// a router in a namespace may.
func (f *forward) rewrite(pr *httputil.ProxyRequest) {
	pr.Out.URL.Scheme, pr.Out.URL.Host = "http", f.p.at(f.host())
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := pr.In.Header[name]; ok {
			pr.Out.Header[name] = v
		}
	}
	if peer, _, err := net.SplitHostPort(pr.In.RemoteAddr); err == nil {
		chain := append(append([]string(nil), pr.In.Header["X-Forwarded-For"]...), peer)
		pr.Out.Header["X-Forwarded-For"] = []string{strings.Join(chain, ", ")}
	}
	if f.body != nil {
		pr.Out.Body = f.body
	}
	// The server fills this very map when it has read the body.
	pr.Out.Trailer = pr.In.Trailer
}

// takeBody makes the request's body one that can be sent again or copied as far as that is
// needed.
func (f *forward) takeBody() error {
	mirror := f.reserve()
	if f.in.Body == nil || f.in.Body == http.NoBody || f.in.ContentLength == 0 {
		return nil
	}
	var err error
	f.body, err = newBody(f.in.Body, f.in.ContentLength, f.session != nil && f.session.Fallback, mirror)
	return err
}

func (f *forward) host() string {
	if f.session != nil {
		return f.session.Host
	}
	return f.track.Host
}

// mark sets the headers that say who answered, and keeps the response for the record.
func (f *forward) mark(resp *http.Response) {
	f.resp = resp
	if !f.p.table.Production {
		resp.Header.Del(HeaderSession)
		resp.Header.Del(HeaderTrack)
		if f.session != nil {
			resp.Header.Set(HeaderSession, f.session.ID)
		} else {
			resp.Header.Set(HeaderTrack, f.track.Name)
		}
	}
	if f.cookie != "" && f.session == nil {
		c := http.Cookie{Name: stickyCookie, Value: f.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
		resp.Header.Add("Set-Cookie", c.String())
	}
	if f.entry != nil {
		f.entry.relocate(resp.Header)
	}
}

// pauses lie before a backend is asked again that could not be asked or broke the connection.
// A Service's addresses follow the end of a pod with a delay that grows with the load of the
// node, and until then the same address may be picked more than once.
func pauses() [3]time.Duration {
	return [...]time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond}
}

// RoundTrip sends the request to its target, and again when that did not answer and may be
// asked more than once: then to the stable track, should it have gone to another one. A
// request whose session with fallback is away goes to the service's track.
func (f *forward) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := f.try(req)
	for _, pause := range pauses() {
		if err == nil || !f.mayRepeat(req, err) {
			break
		}
		select {
		case <-req.Context().Done():
			return resp, err // nobody waits for the answer any more
		case <-time.After(pause):
		}
		if f.session == nil && f.track.Name != route.Stable {
			f.track = f.p.stable(f.track)
		}
		resp, err = f.try(req)
	}
	if f.session == nil || !f.session.Fallback || !f.body.again() || req.Context().Err() != nil {
		return resp, err
	}
	away := unreached(err)
	if err == nil && resp.StatusCode == http.StatusBadGateway && resp.Header.Get(HeaderReason) != "" {
		away = true
		_ = resp.Body.Close()
	}
	if !away {
		return resp, err
	}
	f.session = nil
	return f.try(req)
}

// mayRepeat reports whether a request may be sent again after an error: nobody has seen it,
// or it changes nothing and has no body. A pod on its way out breaks connections that it has
// taken.
func (f *forward) mayRepeat(req *http.Request, err error) bool {
	if req.Context().Err() != nil {
		return false
	}
	if unreached(err) {
		return f.body.again()
	}
	safe := req.Method == http.MethodGet || req.Method == http.MethodHead || req.Method == http.MethodOptions
	return safe && f.body == nil && req.Header.Get("Upgrade") == ""
}

func (f *forward) try(req *http.Request) (*http.Response, error) {
	out, target := req.WithContext(req.Context()), *req.URL
	target.Host = f.p.at(f.host())
	out.URL = &target
	if f.body != nil {
		out.Body = f.body.reader()
	}
	resp, err := f.r.out.pick(f.http2).RoundTrip(out)
	if err == nil {
		// ReverseProxy looks at the request of an upgrade's response.
		resp.Request = req
	}
	return resp, err
}

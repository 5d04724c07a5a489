package router

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/deploy/route"
)

// Known is what /routes answers: the table and what the router makes of it.
type Known struct {
	Ready   bool            `json:"ready"`
	Why     string          `json:"why,omitempty"` // it is not ready
	Time    time.Time       `json:"time"`          // by the router's clock
	Version int64           `json:"version"`
	Ports   []KnownPort     `json:"ports"`
	Session []KnownSession  `json:"sessions"`
	Service []route.Service `json:"services"`
}

// KnownPort is a port that the router listens on.
type KnownPort struct {
	Listen  int    `json:"listen"`
	Service string `json:"service"`
	Port    int    `json:"port"`
	Error   string `json:"error,omitempty"` // why it is not bound
}

// KnownSession is a session of the table. In the place of its key stands a digest of it: the
// admin address is open to the whole namespace, and a key is what opens a session.
type KnownSession struct {
	route.Session
	Live bool `json:"live"` // false when its time is over
}

// Admin returns the handler of the admin address: /metrics, /healthz, /readyz, /routes and
// /access.
func (r *Router) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := r.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = r.seen.write(w)
	})
	mux.HandleFunc("GET /routes", func(w http.ResponseWriter, _ *http.Request) { answer(w, r.known()) })
	mux.HandleFunc("GET /access", func(w http.ResponseWriter, req *http.Request) {
		key := req.URL.Query().Get("key")
		if key == "" {
			http.Error(w, "name the key whose requests you want: /access?key=KEY", http.StatusBadRequest)
			return
		}
		answer(w, r.access.of(key))
	})
	return mux
}

// digest tells keys apart without giving them away.
func digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:6])
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (r *Router) known() Known {
	now := r.cfg.Now()
	k := Known{Time: now, Ports: []KnownPort{}, Session: []KnownSession{}, Service: []route.Service{}}
	if err := r.Ready(); err != nil {
		k.Why = err.Error()
	}
	k.Ready = k.Why == ""
	st := r.state.Load()
	if st == nil {
		return k
	}
	k.Version, k.Service = st.table.Version, st.table.Services
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range st.table.Services {
		for _, p := range s.Ports {
			kp := KnownPort{Listen: p.Listen, Service: s.Name, Port: p.Port}
			if err := r.failed[p.Listen]; err != nil {
				kp.Error = err.Error()
			}
			k.Ports = append(k.Ports, kp)
		}
	}
	for _, s := range st.table.Sessions {
		live := now.Before(s.Expires)
		s.Key = digest(s.Key)
		k.Session = append(k.Session, KnownSession{Session: s, Live: live})
	}
	return k
}

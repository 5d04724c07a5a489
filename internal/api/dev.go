package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/fault"
)

// TunnelProtocol is the protocol that a request for a tunnel upgrades to.
const TunnelProtocol = "towpath-tunnel"

// InSession names a session.
type InSession struct {
	ID string `path:"id" maxLength:"26"`
}

// SessionStart is what a session begins with.
type SessionStart struct {
	Service  string `json:"service" maxLength:"63" example:"cart"`
	Mode     string `json:"mode" enum:"run,sync,attach"`
	TTL      int    `json:"ttl,omitempty" doc:"seconds; 0 is eight hours, the most" minimum:"0" maximum:"28800"`
	Fallback bool   `json:"fallback,omitempty" doc:"answer from the service while the program is away; else 502"`
}

func (a *server) devRoutes() {
	op(a, http.MethodPost, "/projects/{project}/envs/{env}/sessions", "dev-start", "Start a session on a service", func(ctx context.Context, in *struct {
		InEnv
		Body SessionStart
	}) (*Body[dev.Opened], error) {
		return body(a.Dev.Start(ctx, actor(ctx), dev.Request{
			Project: in.Project, Environment: in.Env, Service: in.Body.Service, Mode: in.Body.Mode, TTL: time.Duration(in.Body.TTL) * time.Second,
			Fallback: in.Body.Fallback,
		}))
	})
	op(a, http.MethodGet, "/projects/{project}/sessions", "dev-list", "Sessions of a project, newest first", func(ctx context.Context, in *struct {
		In
		Environment string `query:"environment" maxLength:"63"`
		All         bool   `query:"all" doc:"those that are over, too"`
	}) (*Body[[]dev.Session], error) {
		return body(list(a.Dev.List(ctx, actor(ctx), in.Project, in.Environment, in.All)))
	})
	op(a, http.MethodGet, "/dev/sessions/{id}", "dev-show", "A session", func(ctx context.Context, in *InSession) (*Body[dev.Session], error) {
		return body(a.Dev.Get(ctx, actor(ctx), in.ID))
	})
	op(a, http.MethodPost, "/dev/sessions/{id}/renew", "dev-renew", "Put the end of your session's lease off", func(ctx context.Context, in *InSession) (*Body[dev.Session], error) {
		return body(a.Dev.Renew(ctx, actor(ctx), in.ID))
	})
	op(a, http.MethodPost, "/dev/sessions/{id}/stop", "dev-stop", "End a session", func(ctx context.Context, in *InSession) (*struct{}, error) {
		return nil, a.Dev.Stop(ctx, actor(ctx), in.ID)
	})
	op(a, http.MethodPost, "/dev/sessions/{id}/share", "dev-share", "Sign an address that enters with your session's key", func(ctx context.Context, in *struct {
		InSession
		Body struct {
			TTL int `json:"ttl,omitempty" doc:"seconds; 0 is as long as the session may last" minimum:"0" maximum:"28800"`
		}
	}) (*Body[dev.Preview], error) {
		return body(a.Dev.Share(ctx, actor(ctx), in.ID, time.Duration(in.Body.TTL)*time.Second))
	})
	op(a, http.MethodGet, "/dev/sessions/{id}/logs", "dev-logs", "What the pod of a session wrote", func(ctx context.Context, in *struct {
		InSession
		Lines int `query:"lines" minimum:"0" maximum:"1000"`
	}) (*Body[string], error) {
		return body(a.Dev.Logs(ctx, actor(ctx), in.ID, in.Lines))
	})
	op(a, http.MethodGet, "/projects/{project}/envs/{env}/accesses", "dev-accesses", "What routers saw of requests with a key of yours", func(ctx context.Context, in *struct {
		InEnv
		Key string `query:"key" required:"true" maxLength:"63"`
	}) (*Body[[]dev.Access], error) {
		return body(list(a.Dev.Accesses(ctx, actor(ctx), in.Project, in.Env, in.Key)))
	})
}

// tunnel joins the connection of a request with the pod of a session, bytes for bytes. The
// request asks for it by "Upgrade: towpath-tunnel" (RFC 9110, 7.8); nothing of the answer
// is sent before the way is open.
func (a *server) tunnel(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), TunnelProtocol) {
		a.problem(w, r, fault.New(fault.Invalid, "A tunnel is asked for by the header Upgrade: %s.", TunnelProtocol).WithNext("use `towpath dev`"))
		return
	}
	pod, err := a.Dev.Tunnel(r.Context(), actor(r.Context()), r.PathValue("id"))
	if err != nil {
		a.problem(w, r, err)
		return
	}
	defer pod.Close()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		a.problem(w, r, fmt.Errorf("taking the connection over: %w", err))
		return
	}
	defer conn.Close()
	// The deadlines of requests end here: the tunnel has its own, end to end.
	err = errors.Join(conn.SetDeadline(time.Time{}), switchProtocols(buffered.Writer))
	if err == nil {
		relay(conn, buffered.Reader, pod)
	}
}

func switchProtocols(w *bufio.Writer) error {
	_, err := fmt.Fprintf(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", TunnelProtocol)
	return errors.Join(err, w.Flush())
}

// relay copies both ways until one of them ends, which ends the other: the tunnel knows
// its streams' halves, its connection has none.
func relay(conn net.Conn, from io.Reader, pod io.ReadWriteCloser) {
	done := make(chan struct{}, 2)
	pipe := func(dst io.Writer, src io.Reader) {
		_, _ = io.Copy(dst, src) // However it ended, the tunnel is over.
		done <- struct{}{}
	}
	go pipe(pod, from)
	go pipe(conn, pod)
	<-done
	_ = pod.Close()
	_ = conn.Close()
	<-done
}

package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Call is a Git service that somebody asks for over a connection of its own, as over SSH.
type Call struct {
	Actor    identity.Actor
	Door     string // DoorSSH
	Address  Address
	Protocol string // GIT_PROTOCOL as the client sent it; one that is malformed counts as none
}

// ParseTarget reads what a client names over a connection of its own: "/project/repo.git",
// also without the first slash and without ".git". service is "git-upload-pack" or
// "git-receive-pack". ok is false for anything else.
func ParseTarget(service, path string) (a Address, ok bool) {
	if service != uploadPack && service != receivePack {
		return Address{}, false
	}
	return ParsePath("/" + strings.TrimPrefix(path, "/") + "/" + service)
}

// Talk runs a Git service between the client's in and out until git ends. A refusal before
// that is a fault, of which the caller tells the words; nothing was written to out then.
// in must end, or fail, when the client has left; Talk may return while a read of it still
// waits. A fetch ends with ctx; a push whose objects are in goes on to its end.
func (s *Service) Talk(ctx context.Context, c Call, in io.Reader, out io.Writer) error {
	q := request{service: c.Address.Action, actor: c.Actor, door: c.Door, protocol: c.Protocol}
	if q.service != uploadPack && q.service != receivePack {
		return fault.New(fault.Invalid, "%q is no service of Git.", clip(q.service))
	}
	q, err := s.admit(ctx, q, c.Address, true)
	if err != nil {
		return err
	}
	release, err := s.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	if q.service == uploadPack {
		return s.pump(ctx, q, nil, io.LimitReader(in, maxWants), out, "upload-pack", "--strict", ".")
	}
	p, env, done, err := s.begin(q)
	if err != nil {
		return err
	}
	defer done()
	defer s.finish(p)
	return s.pump(context.WithoutCancel(ctx), q, env, io.LimitReader(in, s.opts.MaxPush+maxWants), out, "receive-pack", ".")
}

// pump connects git with the client.
func (s *Service) pump(ctx context.Context, q request, env []string, in io.Reader, out io.Writer, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, maxTransfer)
	defer cancel()
	cmd := s.git.Command(ctx, q.dir, args...)
	cmd.Env = append(cmd.Env, env...)
	if q.protocol != "" {
		cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+q.protocol)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("connecting to git: %w", err)
	}
	said, client := &tail{}, &leaver{out: out}
	if q.service == uploadPack {
		client.left = cancel // Nobody wants the rest of a fetch.
	}
	cmd.Stdout, cmd.Stderr = client, said
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting git: %w", err)
	}
	go func() {
		_, _ = io.Copy(stdin, in) // Either side has ended; git notices.
		_ = stdin.Close()         // Closed already when git has ended.
	}()
	if err := cmd.Wait(); err != nil && client.err == nil && !errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("running git: %w: %s", err, strings.TrimSpace(said.buf.String()))
	}
	return nil
}

// leaver writes to a client until that leaves, and then throws the rest away, so that git
// comes to its end.
type leaver struct {
	out  io.Writer
	left func() // called once; nil to let git go on
	err  error
}

// Write never fails.
func (l *leaver) Write(p []byte) (int, error) {
	if l.err != nil {
		return len(p), nil
	}
	if _, l.err = l.out.Write(p); l.err != nil && l.left != nil {
		l.left()
	}
	return len(p), nil
}

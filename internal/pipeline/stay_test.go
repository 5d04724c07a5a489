package pipeline_test

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// broken fails in a folder of its own, with a value that only its step has.
const broken = `
variables: {plain: seen}
steps:
- checkout: none
- bash: mkdir deep; echo found > deep/file
- bash: test -f absent
  workingDirectory: $(Build.SourcesDirectory)/deep
  env: {MARK: of the step}
- bash: echo the rest
`

// standing waits for the end of a run, and that its job is kept or not.
func standing(kept bool) func(*pipeline.Detail) bool {
	return func(d *pipeline.Detail) bool {
		return d.Status == plan.Completed && (find(d, "__default.Job").Kept != nil) == kept
	}
}

// keep starts a run of a pipeline whose failed job is kept, and waits until it is.
func (w *world) keep(yaml string, stay time.Duration) *pipeline.Detail {
	w.t.Helper()
	commit := w.pipeline("trigger: none\n" + yaml)
	if _, err := w.svc.StartWith(w.t.Context(), ada, repoName, pipeline.Request{Stay: stay}); err != nil {
		w.t.Fatal(err)
	}
	return w.wait(commit, standing(true))
}

// screen is the person's end of a terminal.
type screen struct {
	t      *testing.T
	frames *protocol.Frames
	conn   net.Conn
	seen   strings.Builder
	end    *protocol.End
}

// enter opens a terminal in the only kept job of a run.
func (w *world) enter(t *testing.T, n int64, size protocol.Size) *screen {
	t.Helper()
	one, err := w.svc.OpenTerminal(t.Context(), ada, n, "", size)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	joined := make(chan struct{})
	go func() {
		defer close(joined)
		one.Join(context.Background(), protocol.NewFrames(far))
		_ = far.Close()
	}()
	t.Cleanup(func() {
		_ = near.Close()
		<-joined
	})
	return &screen{t: t, frames: protocol.NewFrames(near), conn: near}
}

func (s *screen) write(text string) {
	s.t.Helper()
	if err := s.frames.Write(protocol.FrameData, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// until reads until the text was printed, or the end.
func (s *screen) until(text string) string {
	s.t.Helper()
	for !strings.Contains(s.seen.String(), text) && s.end == nil {
		kind, payload, err := s.frames.Read()
		if err != nil {
			s.t.Fatalf("%v, after %q", err, s.seen.String())
		}
		switch kind {
		case protocol.FrameData:
			s.seen.Write(payload)
		case protocol.FrameEnd:
			s.end = &protocol.End{}
			if err := json.Unmarshal(payload, s.end); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return s.seen.String()
}

func TestAFailedJobIsKeptAndEntered(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.keep(broken, time.Hour)
	kept := find(d, "__default.Job").Kept
	if d.Result != plan.Failed || kept.By != "user:ada" || kept.Until.Sub(kept.Since) != time.Hour {
		t.Errorf("run %s, kept %+v", d.Result, kept)
	}
	agents, err := w.svc.Agents(t.Context(), ada)
	if err != nil || len(agents) != 1 || agents[0].Running != 1 {
		t.Errorf("the agent does not count as busy: %+v, %v", agents, err)
	}
	s := w.enter(t, d.Number, protocol.Size{Columns: 111, Rows: 33})
	s.write(`stty -echo; pwd; cat file; echo "$MARK-$PLAIN"; stty size; tty; env; id -u; echo d"one"` + "\n")
	out := s.until("done\r\n")
	for _, want := range []string{"/s/deep\r\n", "found\r\n", "of the step-seen\r\n", "33 111\r\n", "/dev/pts/"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	for _, secret := range []string{agentToken, jobToken, "AGENT_CONFIG"} {
		if strings.Contains(out, secret) {
			t.Errorf("the terminal has %q, which the step had not", secret)
		}
	}
	if err := s.frames.WriteJSON(protocol.FrameResize, protocol.Size{Columns: 132, Rows: 50}); err != nil {
		t.Fatal(err)
	}
	s.write("stty size\n")
	s.until("50 132\r\n")
	s.write("exit 3\n")
	s.until("\x00never")
	if s.end == nil || s.end.Code != 3 || s.end.Why != "" {
		t.Errorf("the end is %+v", s.end)
	}
	d = w.wait(d.Commit, func(d *pipeline.Detail) bool { return len(d.Terminals) == 1 && !d.Terminals[0].Closed.IsZero() })
	if got := d.Terminals[0]; got.By != "user:ada" || got.Job != "__default.Job" {
		t.Errorf("the run says of the terminal %+v", got)
	}
	if err := w.svc.Release(t.Context(), ada, d.Number, "__default.Job"); err != nil {
		t.Fatal(err)
	}
	w.wait(d.Commit, standing(false))
	var types []string
	for _, e := range w.events(jobOf(d.Number)) {
		types = append(types, e.Type+" "+e.Actor)
	}
	for _, want := range []string{event.TypeJobKept, event.TypeTerminalOpened, event.TypeJobReleased} {
		if !slices.Contains(types, want+" user:ada") {
			t.Errorf("the logbook has no %s of user:ada, only %v", want, types)
		}
	}
}

// jobOf is the only job of a run in the logbook.
func jobOf(n int64) event.Subject {
	return event.Of(event.KindJob, strconv.FormatInt(n, 10)+"/__default.Job")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestATerminalCarriesEveryByte types all bytes there are into a terminal in raw mode, which
// prints them again.
func TestATerminalCarriesEveryByte(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.keep(broken, time.Hour)
	s := w.enter(t, d.Number, protocol.Size{})
	s.write("PS1=; stty raw -echo; echo rea\"\"dy; head -c 256; echo; echo ov\"\"er; exit\n")
	s.until("ready\n")
	s.seen.Reset()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	s.write(string(all))
	if out := s.until("over\n"); !strings.Contains(out, string(all)) {
		t.Errorf("the bytes came back as %q", out)
	}
}

func TestWhoMayKeepAndEnter(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.keep(broken, time.Hour)
	writer, stranger := ada, identity.Actor{}
	writer.Cap = identity.Write
	robot := identity.Actor{Kind: identity.KindRun, Name: "1", Cap: identity.Admin}
	for _, tt := range []struct {
		name string
		who  identity.Actor
		kind fault.Kind
	}{{"writer", writer, fault.Denied}, {"stranger", stranger, fault.NotFound}, {"job", robot, fault.Denied}} {
		_, err := w.svc.OpenTerminal(t.Context(), tt.who, d.Number, "", protocol.Size{})
		if !fault.Is(err, tt.kind) {
			t.Errorf("%s enters: %v", tt.name, err)
		}
		if _, err := w.svc.StartWith(t.Context(), tt.who, repoName, pipeline.Request{Stay: time.Minute}); tt.name != "job" && !fault.Is(err, tt.kind) {
			t.Errorf("%s keeps a new run: %v", tt.name, err)
		}
		if _, err := w.svc.RerunKept(t.Context(), tt.who, d.Number, time.Minute); tt.name != "job" && !fault.Is(err, tt.kind) {
			t.Errorf("%s keeps a second run: %v", tt.name, err)
		}
		if _, err := w.svc.Repeat(t.Context(), tt.who, d.Number, pipeline.Part{Failed: true, Stay: time.Minute}); tt.name != "job" && !fault.Is(err, tt.kind) {
			t.Errorf("%s keeps a part: %v", tt.name, err)
		}
	}
	for _, e := range w.events(jobOf(d.Number)) {
		if e.Type == event.TypeTerminalOpened {
			t.Error("a terminal that was refused stands in the logbook as opened")
		}
	}
	if _, err := w.svc.StartWith(t.Context(), ada, repoName, pipeline.Request{Stay: 5 * time.Hour}); !fault.Is(err, fault.Invalid) {
		t.Errorf("keeping for five hours: %v", err)
	}
	if _, err := w.svc.OpenTerminal(t.Context(), ada, d.Number, "__default.Other", protocol.Size{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("entering a job that is not there: %v", err)
	}
	if err := w.svc.Release(t.Context(), stranger, d.Number, ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger releases: %v", err)
	}
}

// TestAStayEnds ends stays in each way there is; the terminal that is open says why.
func TestAStayEnds(t *testing.T) {
	for name, end := range map[string]struct {
		why string
		do  func(t *testing.T, w *world, d *pipeline.Detail)
	}{
		"released": {"released by user:ada", func(t *testing.T, w *world, d *pipeline.Detail) {
			must(t, w.svc.Release(t.Context(), ada, d.Number, ""))
		}},
		"cancelled": {"cancelled by user:ada", func(t *testing.T, w *world, d *pipeline.Detail) { must(t, w.svc.Cancel(t.Context(), ada, d.Number)) }},
		"repeated": {"runs again", func(t *testing.T, w *world, d *pipeline.Detail) {
			_, err := w.svc.Repeat(t.Context(), ada, d.Number, pipeline.Part{Failed: true})
			must(t, err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.agent()
			d := w.keep(broken, time.Hour)
			s := w.enter(t, d.Number, protocol.Size{})
			end.do(t, w, d)
			s.until("\x00never")
			if s.end == nil || s.end.Code == 0 || !strings.Contains(s.end.Why, end.why) {
				t.Errorf("the terminal ended with %+v, want %q", s.end, end.why)
			}
			w.wait(d.Commit, standing(false))
			// Its agent is free again: both slots take a job.
			w.wait(w.pipeline("strategy: {parallel: 2}\nsteps:\n- checkout: none\n- bash: ls ..; test ! -e deep\n"), over)
		})
	}
}

func TestAStayEndsByItself(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.pipeline("trigger: none\n" + broken)
	r, err := w.svc.StartWith(t.Context(), ada, repoName, pipeline.Request{Stay: time.Second})
	must(t, err)
	w.wait(commit, standing(false))
	for {
		changed := w.log.Changed()
		if i := slices.IndexFunc(w.events(jobOf(r.Number)), func(e event.Event) bool { return e.Type == event.TypeJobReleased }); i >= 0 {
			var p event.JobStay
			must(t, w.events(jobOf(r.Number))[i].Into(&p))
			if p.Why != "its time was over" || p.Seconds != 1 {
				t.Errorf("released: %+v", p)
			}
			break
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatal("the job was not released")
		}
	}
	w.wait(commit, standing(false))
}

func TestAStayEndsWithItsAgentAndItsServer(t *testing.T) {
	w := newWorld(t, func(w *world) { w.opts.Lease = 2 * time.Second })
	cmd := w.agentProcess()
	killed := false
	kill := func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	d := w.keep(broken, time.Hour)
	w.down()
	w.up()
	w.wait(d.Commit, standing(false))
	if _, err := w.svc.Repeat(t.Context(), ada, d.Number, pipeline.Part{Failed: true, Stay: pipeline.StayDefault}); err != nil {
		t.Fatal(err)
	}
	d = w.wait(d.Commit, standing(true))
	if k := find(d, "__default.Job").Kept; k.Until.Sub(k.Since) != 30*time.Minute {
		t.Errorf("kept by default: %+v", k)
	}
	kill()
	w.wait(d.Commit, standing(false))
}

// TestOnlyFailuresAreKept looks that nothing else holds an agent.
func TestOnlyFailuresAreKept(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.pipeline("trigger: none\nsteps:\n- checkout: none\n- bash: echo fine\n")
	_, err := w.svc.StartWith(t.Context(), ada, repoName, pipeline.Request{Stay: time.Hour})
	must(t, err)
	w.wait(commit, standing(false))
	commit = w.pipeline("trigger: none\nsteps:\n- checkout: none\n- bash: echo here; sleep 1000\n")
	r, err := w.svc.StartWith(t.Context(), ada, repoName, pipeline.Request{Stay: time.Hour})
	must(t, err)
	w.wait(commit, printed("__default.Job", 1))
	must(t, w.svc.Cancel(t.Context(), ada, r.Number))
	w.wait(commit, standing(false))
}

package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/logs"
	"towpath.dev/towpath/internal/pipeline/mask"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// AgentHandler serves agents below protocol.Prefix.
func (s *Service) AgentHandler() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, h func(w http.ResponseWriter, r *http.Request, c caller) error) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+protocol.Prefix+"/"+path, func(w http.ResponseWriter, r *http.Request) {
			if err := s.agentOnly(w, r, h); err != nil {
				s.answerError(w, r, err)
			}
		})
	}
	about := func(pattern string, h func(w http.ResponseWriter, r *http.Request) error) {
		route(pattern, func(w http.ResponseWriter, r *http.Request, c caller) error {
			if err := s.mine(r.Context(), c, r.PathValue("id")); err != nil {
				return err
			}
			return h(w, r)
		})
	}
	route("POST register", s.serveRegister)
	route("POST claim", s.serveClaim)
	about("POST jobs/{id}/heartbeat", s.serveHeartbeat)
	about("POST jobs/{id}/steps", s.serveSteps)
	about("POST jobs/{id}/logs/{step}", s.serveLog)
	about("PUT jobs/{id}/artifacts/{name}", s.servePublish)
	about("GET jobs/{id}/artifacts", s.serveArtifacts)
	about("GET jobs/{id}/artifacts/{name}", s.serveArtifact)
	about("POST jobs/{id}/tests", s.serveTests)
	about("POST jobs/{id}/coverage", s.serveCoverage)
	about("POST jobs/{id}/attachments", s.serveAttachment)
	about("POST jobs/{id}/run", s.serveRunChange)
	about("POST jobs/{id}/cache/find", s.serveCacheFind)
	about("GET jobs/{id}/cache/{entry}", s.serveCacheRead)
	about("PUT jobs/{id}/cache", s.serveCacheWrite)
	about("POST jobs/{id}/tasks/{task}", s.serveTask)
	about("GET jobs/{id}/secure-files/{name}", s.serveSecureFile)
	about("GET jobs/{id}/added/{digest}", s.serveAdded)
	about("POST jobs/{id}/complete", s.serveComplete)
	about("POST jobs/{id}/stay", s.serveStay)
	about("GET jobs/{id}/terminals/{terminal}", s.serveTerminal)
	return mux
}

// agentOnly lets agents in. Their requests may take as long as a job does.
func (s *Service) agentOnly(w http.ResponseWriter, r *http.Request, h func(http.ResponseWriter, *http.Request, caller) error) error {
	c, err := s.caller(r.Context(), r)
	if err == nil {
		err = s.touch(r.Context(), c)
	}
	if err != nil {
		return err
	}
	rc := http.NewResponseController(w)
	if err := errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Time{})); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return h(w, r, c)
}

// answerError answers with a fault.
func (s *Service) answerError(w http.ResponseWriter, r *http.Request, err error) {
	kind := fault.KindOf(err)
	if kind == fault.Internal && r.Context().Err() == nil {
		s.logger.Error("answering an agent", "path", r.URL.Path, "error", err)
	}
	message, next := fault.Public(err)
	answer(w, kind.Status(), protocol.Error{Kind: string(kind), Message: message, Next: next})
}

// answer writes JSON. That the agent is gone is its own trouble.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// decode reads a JSON body.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, protocol.MaxJSON)).Decode(into); err != nil {
		return fault.Wrap(fault.Invalid, err, "The request is not the JSON that the protocol wants.")
	}
	return nil
}

// agentName is what an agent may be called.
var agentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (s *Service) serveRegister(w http.ResponseWriter, r *http.Request, c caller) error {
	var in protocol.Register
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if !agentName.MatchString(in.Name) {
		return fault.New(fault.Invalid, "An agent cannot be called %q: letters, digits, '.', '_' and '-', at most 63.", in.Name)
	}
	if err := c.mustBe(in.Environment, in.Name); err != nil {
		return err
	}
	if c.machine != nil {
		tags, err := s.register(r.Context(), c.machine, in)
		if err != nil {
			return err
		}
		answer(w, http.StatusOK, protocol.Registered{LeaseSeconds: s.opts.Lease.Seconds(), Tags: tags})
		return nil
	}
	if c.pod != nil {
		if err := s.podCame(r.Context(), c, in.Name); err != nil {
			return err
		}
		answer(w, http.StatusOK, protocol.Registered{LeaseSeconds: s.opts.Lease.Seconds()})
		return nil
	}
	if err := s.pools.Register(r.Context(), c.pool, in); err != nil {
		return err
	}
	answer(w, http.StatusOK, protocol.Registered{LeaseSeconds: s.opts.Lease.Seconds()})
	return nil
}

// maxWait bounds how long a request may wait here.
const maxWait = time.Minute

func wait(seconds float64) <-chan time.Time {
	return time.After(min(max(time.Duration(seconds*float64(time.Second)), 0), maxWait))
}

func (s *Service) serveClaim(w http.ResponseWriter, r *http.Request, c caller) error {
	var in protocol.Claim
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if !agentName.MatchString(in.Agent) || len(in.Ticket) > 64 {
		return fault.New(fault.Invalid, "The claim does not name an agent that can be.")
	}
	if c.machine != nil && in.Agent != c.machine.Name {
		return fault.New(fault.Denied, "The token is that of the target %s, not of %s.", c.machine.Name, in.Agent)
	}
	if c.pod != nil && in.Agent != c.pod.name {
		return fault.New(fault.Denied, "The token is that of the pod %s, not of %s.", c.pod.name, in.Agent)
	}
	timeout := wait(in.WaitSeconds)
	there := time.NewTicker(s.opts.Absence / 3)
	defer there.Stop()
	for {
		news := s.hub.changed(onQueue)
		job, err := s.claim(r.Context(), c, in.Agent, in.Ticket)
		if err != nil {
			return err
		}
		if job != nil {
			answer(w, http.StatusOK, job)
			return nil
		}
		select {
		case <-news:
		case <-there.C:
			if err := s.touch(r.Context(), c); err != nil {
				return err
			}
		case <-timeout:
			w.WriteHeader(http.StatusNoContent)
			return nil
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// job is the job of a request whose lease fits and which has not ended.
func (s *Service) job(r *http.Request) (*jobRow, error) {
	row, over, err := s.leased(r.Context(), r.PathValue("id"), r.Header.Get(protocol.HeaderLease))
	if err == nil && over {
		err = fault.New(fault.Conflict, "The job has ended: %s.", row.why)
	}
	return row, err
}

func (s *Service) serveHeartbeat(w http.ResponseWriter, r *http.Request) error {
	var in protocol.Heartbeat
	if err := decode(w, r, &in); err != nil {
		return err
	}
	timeout := wait(in.WaitSeconds)
	for {
		row, err := s.job(r)
		if err != nil {
			return err
		}
		s.renew(row.id)
		if row.stop != "" && !in.Canceled {
			answer(w, http.StatusOK, protocol.HeartbeatReply{Cancel: true, Why: row.stop})
			return nil
		}
		news := s.hub.changed(onRun(row.run))
		// The job may have been told to stop before the channel was there.
		if again, err := s.job(r); err != nil || again.stop != row.stop {
			continue
		}
		select {
		case <-news:
		case <-timeout:
			answer(w, http.StatusOK, protocol.HeartbeatReply{})
			return nil
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

func (s *Service) serveSteps(w http.ResponseWriter, r *http.Request) error {
	row, err := s.job(r)
	if err != nil {
		return err
	}
	var in protocol.Update
	if err := decode(w, r, &in); err != nil {
		return err
	}
	masker := s.masker(row.id)
	err = s.again(r.Context(), func(tx *store.Tx) error {
		for _, u := range in.Steps {
			_, err := tx.Exec(r.Context(), `UPDATE pipeline_step SET status = ?, result = ?, why = ?, started = ?, finished = ?, progress = ?, operation = ?, details = ? WHERE job = ? AND number = ?`,
				u.Status, u.Result, masker.String(u.Why), millis(u.Started), millis(u.Finished), min(max(u.Progress, 0), 100), masker.String(firstLine(u.Operation)),
				details(u.Details, masker.String), row.id, u.Number)
			if err != nil {
				return fmt.Errorf("writing step %d of job %s: %w", u.Number, row.path(), err)
			}
		}
		tx.AfterCommit(func() { s.hub.signal(onRun(row.run)) })
		return nil
	})
	if err != nil {
		return err
	}
	for _, u := range in.Steps {
		if u.Status == plan.Completed {
			if err := s.logs.Seal(logs.Ref{Run: row.run, Job: row.id, Step: u.Number}); err != nil {
				return fmt.Errorf("closing a log: %w", err)
			}
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// masker hides what the server itself knows of a job's secrets.
func (s *Service) masker(id string) *mask.Masker {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.maskers[id]; m != nil {
		return m
	}
	return mask.New(s.opts.AgentToken)
}

func (s *Service) serveLog(w http.ResponseWriter, r *http.Request) error {
	// A job that has ended may still bring the end of its log.
	row, _, err := s.leased(r.Context(), r.PathValue("id"), r.Header.Get(protocol.HeaderLease))
	if err != nil {
		return err
	}
	number, err1 := strconv.Atoi(r.PathValue("step"))
	first, err2 := strconv.ParseInt(r.URL.Query().Get("line"), 10, 64)
	if err := errors.Join(err1, err2); err != nil || number < 1 || number > 100_000 || first < 0 {
		return fault.Wrap(fault.Invalid, err, "The step or line of the log is not a number.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, protocol.MaxChunk))
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The log lines could not be read.")
	}
	next, err := s.logs.Append(logs.Ref{Run: row.run, Job: row.id, Step: number}, first, s.hide(row.id, body), s.opts.LogLimit)
	switch {
	case fault.Is(err, fault.Conflict):
		answer(w, http.StatusConflict, protocol.LogReply{Next: next})
		return nil
	case err != nil:
		return err
	}
	s.renewRunning(row)
	if first == 0 {
		// Who waits for the first line does not know of the file yet.
		s.hub.signal(onRun(row.run))
	}
	answer(w, http.StatusOK, protocol.LogReply{Next: next})
	return nil
}

// renewRunning takes any sign of life as a heartbeat.
func (s *Service) renewRunning(row *jobRow) {
	if row.status == plan.Running {
		s.renew(row.id)
	}
}

// hide masks log records once more: the times of the lines stay as they are.
func (s *Service) hide(id string, records []byte) []byte {
	m := s.masker(id)
	if masked := m.Bytes(records); len(masked) == len(records) && bytes.Equal(masked, records) {
		return records
	}
	var out []byte
	for line := range bytes.Lines(records) {
		milli, text := protocol.ParseLine(bytes.TrimSuffix(line, []byte{'\n'}))
		out = protocol.AppendLine(out, milli, m.Bytes(text))
	}
	return out
}

func (s *Service) serveComplete(w http.ResponseWriter, r *http.Request) error {
	row, over, err := s.leased(r.Context(), r.PathValue("id"), r.Header.Get(protocol.HeaderLease))
	if err != nil {
		return err
	}
	var in protocol.Complete
	if err := decode(w, r, &in); err != nil {
		return err
	}
	switch in.Result {
	case plan.Succeeded, plan.SucceededWithIssues, plan.Failed, plan.Canceled, plan.Skipped:
	default:
		return fault.New(fault.Invalid, "A job cannot end with the result %q.", in.Result)
	}
	if !over {
		in.Why = s.masker(row.id).String(firstLine(in.Why))
		if err := s.end(context.WithoutCancel(r.Context()), row.id, in); err != nil {
			return err
		}
		// Of a deployment that goes on, who has it next may have its own masker by now.
		if now, err := loadJob(r.Context(), s.db, row.id); err == nil && (now == nil || now.status == plan.Completed) {
			s.mu.Lock()
			delete(s.maskers, row.id)
			s.mu.Unlock()
		}
	}
	left, err := s.stayLeft(r.Context(), row.id)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, protocol.Completed{StaySeconds: left.Seconds()})
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if len(line) > 2000 {
		line = strings.ToValidUTF8(line[:2000], "") + "…"
	}
	return line
}

package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/mask"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// serverRequest is what InvokeRESTAPI@1 sends; it is in memory alone.
type serverRequest struct {
	check.Request
	success string
	secrets []string // what nothing of the answer may show
}

// maxAnswer bounds what is read of an answer, and shown what the log gets of it, in bytes.
const (
	maxAnswer = 1 << 20
	maxShown  = 4 << 10
)

// rest is InvokeRESTAPI@1. The request is sent once: a server that was stopped meanwhile does
// not send it again, because nobody knows whether it arrived.
func (t *serverTurn) rest(st *protocol.Step) (plan.Result, string, error) {
	if t.state.Said != "" {
		t.print(st, t.state.Said)
		t.state.Said = ""
	}
	switch {
	case t.state.Answered && t.state.Outcome != "":
		return plan.Failed, t.state.Outcome, nil
	case t.state.Answered && !t.state.Callback:
		return plan.Succeeded, "", nil
	case !t.state.Until.IsZero() && !t.now.Before(t.state.Until):
		return plan.Failed, fmt.Sprintf("the step ran longer than its time-out of %d minutes", st.TimeoutMinutes), nil
	case t.state.Answered: // It is to be called back.
		t.sleep(t.state.Until)
		return "", "", nil
	case t.state.Sent:
		return plan.Failed, "the server was stopped while the request was on its way; nobody knows whether it arrived", nil
	}
	request, err := t.call(st)
	if err != nil {
		if fault.KindOf(err) == fault.Internal {
			return "", "", err
		}
		why, _ := fault.Public(err)
		return plan.Failed, why, nil
	}
	t.request = request
	t.print(st, request.Method+" "+request.URL)
	t.state.Sent, t.state.Callback = true, t.calledBack(st)
	// The answer wakes the job; until then it is not looked at. A restart looks at once.
	t.sleep(t.now.Add(2 * time.Minute))
	return "", "", nil
}

// calledBack reports whether the step ends when somebody says so, and not with the answer.
func (t *serverTurn) calledBack(st *protocol.Step) bool {
	return strings.EqualFold(t.input(st, "waitForCompletion"), "true")
}

// call makes the request of a step with what its connection and groups lend.
func (t *serverTurn) call(st *protocol.Step) (*serverRequest, error) {
	if t.s.outside == nil {
		return nil, fault.New(fault.Unavailable, "This server calls nobody.")
	}
	l, err := t.s.lend(t.ctx, t.tx, t.run, t.job)
	if err != nil {
		return nil, err
	}
	if l.refused != "" {
		return nil, fault.New(fault.Denied, "%s.", l.refused)
	}
	if err := t.s.announceLoan(t.ctx, t.tx, t.run, t.row, l); err != nil {
		return nil, err
	}
	t.masked = l.fill(t.job)
	if t.calledBack(st) {
		token, err := t.s.token(t.ctx, t.job, claims(t.run, t.row), identity.AudienceTowpath)
		if err != nil {
			return nil, err
		}
		t.masked = append(t.masked, token)
		t.job.Variables = append(t.job.Variables, plan.Value{Name: "System.AccessToken", Text: token, Secret: true})
	}
	if strings.EqualFold(t.input(st, "connectionType"), "connectedServiceNameARM") || t.input(st, "azureServiceConnection") != "" {
		return nil, fault.New(fault.Invalid, "There are no connections to Azure here; use connectionType: connectedServiceName with a generic connection.")
	}
	name := t.input(st, "serviceConnection")
	at := slices.IndexFunc(t.job.Connections, func(c protocol.Connection) bool { return strings.EqualFold(c.Name, name) })
	if at < 0 {
		return nil, fault.New(fault.NotFound, "There is no service connection %q that this run may use; make one with: towpath connection create %s --type generic --url https://HOST", clip(name), clip(name))
	}
	c := t.job.Connections[at]
	out := &serverRequest{success: t.input(st, "successCriteria"), Request: check.Request{
		Method: strings.ToUpper(firstOf(t.input(st, "method"), http.MethodPost)), Headers: map[string]string{"Content-Type": "application/json"}, Body: t.input(st, "body"), Limit: maxAnswer,
	}}
	if out.URL, err = joined(c.URL, t.input(st, "urlSuffix")); err != nil {
		return nil, err
	}
	if out.Method == http.MethodGet || out.Method == http.MethodHead {
		out.Body = ""
	}
	authorize(out.Headers, c)
	out.secrets = t.masked
	return out, headers(t.input(st, "headers"), out.Headers)
}

// joined is the address of a connection with a suffix, which never leads to another host.
func joined(base, suffix string) (string, error) {
	text := base
	switch {
	case suffix == "":
	case strings.HasPrefix(suffix, "?"):
		text += suffix
	default:
		text = strings.TrimRight(base, "/") + "/" + strings.TrimLeft(suffix, "/")
	}
	from, err1 := url.Parse(base)
	to, err2 := url.Parse(text)
	if err1 != nil || err2 != nil || from.Host != to.Host || from.Scheme != to.Scheme || to.User != nil || len(text) > 8000 {
		return "", fault.New(fault.Invalid, "The urlSuffix %q makes no address of the connection's host.", clip(suffix))
	}
	return text, nil
}

// authorize sets the header that opens a connection.
func authorize(h map[string]string, c protocol.Connection) {
	if text := c.Authorization(); text != "" {
		h["Authorization"] = text
	}
}

// ofTheConnection are headers that a step cannot set.
var ofTheConnection = []string{"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "proxy-authorization"}

// headers lays the headers of a step, a JSON object, over those that there are.
func headers(text string, into map[string]string) error {
	if text == "" {
		return nil
	}
	var given map[string]string
	if err := json.Unmarshal([]byte(text), &given); err != nil || len(given) > 50 {
		return fault.New(fault.Invalid, `The input headers is no JSON object of texts, such as {"Content-Type": "application/json"}.`)
	}
	for name, value := range given {
		if name == "" || strings.ContainsAny(name+value, "\r\n\x00") || slices.Contains(ofTheConnection, strings.ToLower(name)) {
			return fault.New(fault.Invalid, "The header %q cannot be set.", clip(name))
		}
		for old := range into {
			if strings.EqualFold(old, name) {
				delete(into, old)
			}
		}
		into[name] = value
	}
	return nil
}

// sendServerRequest sends a request and notes its outcome.
func (s *Service) sendServerRequest(ctx context.Context, id string, r *serverRequest) error {
	limited, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	status, body, err := s.outside.Invoke(limited, r.Request)
	outcome, said := "", ""
	switch {
	case err != nil:
		text, _ := fault.Public(err)
		if fault.KindOf(err) == fault.Internal {
			text = "it did not answer"
		}
		outcome = "calling " + hostOf(r.URL) + ": " + firstLine(text)
	default:
		said = fmt.Sprintf("Answer %d: %s", status, strings.Join(strings.Fields(clipText(string(body), maxShown)), " "))
		outcome = judged(status, body, r.success)
	}
	m := mask.New(r.secrets...)
	return s.noteAnswer(ctx, id, func(state *serverState) error {
		if state.Answered {
			return nil // Who was called has called back before it answered.
		}
		state.Answered, state.Outcome, state.Said = true, m.String(outcome), m.String(said)
		return nil
	})
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the address"
	}
	return u.Host
}

// judged says why an answer is a failure, "" when it is none.
func judged(status int, body []byte, success string) string {
	if status < 200 || status > 299 {
		return fmt.Sprintf("the answer has the status %d", status)
	}
	if success == "" {
		return ""
	}
	ok, err := check.Succeeds(success, body)
	switch {
	case err != nil:
		return firstLine(err.Error())
	case !ok:
		return "the answer does not fulfil " + clip(success)
	}
	return ""
}

// noteAnswer changes the state of a job that waits, and has it looked at.
func (s *Service) noteAnswer(ctx context.Context, id string, change func(*serverState) error) error {
	err := s.again(ctx, func(tx *store.Tx) error {
		var body string
		var state serverState
		if err := tx.QueryRow(ctx, `SELECT body FROM pipeline_server_job WHERE job = ?`, id).Scan(&body); err != nil {
			return fault.Wrap(fault.NotFound, err, "There is no job that waits for this.")
		}
		if err := json.Unmarshal([]byte(body), &state); err != nil {
			return err
		}
		if err := change(&state); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE pipeline_server_job SET wake = 0, body = ? WHERE job = ?`, text(state), id)
		return err
	})
	s.hub.signal(onQueue)
	return err
}

// Callback tells a job that waits for the completion of its InvokeRESTAPI@1 how it ended.
// The actor is the job itself: whoever was called has its token from the request.
func (s *Service) Callback(ctx context.Context, a identity.Actor, id, result, message string) error {
	row, err := loadJob(ctx, s.db, id)
	if err != nil {
		return err
	}
	if row == nil || a.Kind != identity.KindRun || a.Job.Run != row.run || a.Job.Stage != row.stage || a.Job.Job != row.jobName() {
		return fault.New(fault.NotFound, "There is no job that waits for this.")
	}
	outcome := ""
	switch {
	case strings.EqualFold(result, string(plan.Succeeded)):
	case strings.EqualFold(result, string(plan.Failed)):
		outcome = firstOf(firstLine(message), "it was called back with the result failed")
	default:
		return fault.New(fault.Invalid, "The result is succeeded or failed, not %q.", clip(result))
	}
	return s.noteAnswer(ctx, id, func(state *serverState) error {
		if !state.Callback {
			return fault.New(fault.Conflict, "The job waits for no call.")
		}
		state.Callback, state.Answered, state.Outcome = false, true, outcome
		state.Said = "Called back: " + strings.ToLower(result) + " " + firstLine(message)
		return nil
	})
}

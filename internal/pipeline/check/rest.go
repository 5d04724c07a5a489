package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/expr"
)

// RESTRule is an address whose answer decides (C007).
type RESTRule struct {
	// URL may hold macros of predefined variables after the host: "https://gate.example.com/runs/$(Build.BuildId)".
	URL     string            `json:"url"`
	Method  string            `json:"method,omitempty"` // "" means POST
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	// Success is an expression over "root", the answer as JSON: eq(root['status'], 'ok');
	// "" means that a status from 200 to 299 is enough. It is needed beside such a status.
	Success string `json:"success,omitempty"`
	// Connection is a generic service connection of the project whose credentials the request
	// bears; the address must be one of its host. They are added when the request is sent, and
	// are kept nowhere else.
	Connection string `json:"connection,omitempty"`
	// RetryMinutes is the time between evaluations; 0 means that the first answer decides.
	RetryMinutes int `json:"retryMinutes,omitempty"`
}

// Request is what is sent.
type Request struct {
	Method  string
	URL     string
	Headers map[string]string
	Body    string
	// Limit is how much of the answer is read, in bytes.
	Limit int64
}

// maxAnswer bounds the answer that an expression sees.
const maxAnswer = 1 << 20

var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions}

// kept are headers that a check must not set: those of the connection, and those that would
// have it keep a credential in the clear.
var kept = []string{"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "authorization", "proxy-authorization", "cookie"}

func (r *RESTRule) check() error {
	scheme, rest, _ := strings.Cut(r.URL, "://")
	host, _, _ := strings.Cut(rest, "/")
	u, err := url.Parse(strings.NewReplacer("$(", "", ")", "").Replace(r.URL))
	switch {
	case err != nil || scheme != "http" && scheme != "https" || u.Hostname() == "" || len(r.URL) > maxText:
		return fault.New(fault.Invalid, "%q is no address that a check could ask.", clip(r.URL)).WithNext("write https://host/path")
	case strings.Contains(host, "$(") || strings.ContainsAny(host, "?#"):
		return fault.New(fault.Invalid, "The host of the address must be a constant.").WithNext("use variables in the path or the query")
	case u.User != nil:
		return fault.New(fault.Invalid, "The address must hold no password.")
	case len(r.Connection) > maxName || strings.ContainsFunc(r.Connection, unprintable):
		return fault.New(fault.Invalid, "%q is no service connection.", clip(r.Connection))
	case r.Method != "" && !slices.Contains(methods, r.Method):
		return fault.New(fault.Invalid, "%q is no method.", clip(r.Method))
	case len(r.Headers) > maxList || len(r.Body) > 64<<10:
		return fault.New(fault.Invalid, "A request has at most %d headers and a body of 64 KiB.", maxList)
	}
	for name, value := range r.Headers {
		if slices.Contains(kept, strings.ToLower(name)) {
			return fault.New(fault.Invalid, "A check cannot set the header %s: its definition can be read by everybody in the project.", clip(name)).
				WithNext("name a generic service connection that has the credential")
		}
		if name == "" || len(name)+len(value) > maxText || strings.ContainsFunc(name+value, unprintable) || strings.ContainsAny(name, " :()") {
			return fault.New(fault.Invalid, "%q is no header.", clip(name))
		}
	}
	if r.Success != "" {
		if _, err := expr.Parse(r.Success); err != nil {
			return fault.Wrap(fault.Invalid, err, "The success expression cannot be read: %v.", err).WithNext("an example: eq(root['status'], 'ok')")
		}
	}
	return checkRetry(r.RetryMinutes)
}

// Address returns host:port of what is asked.
func (r *RESTRule) Address() string {
	u, err := url.Parse(strings.NewReplacer("$(", "", ")", "").Replace(r.URL))
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Hostname() + ":" + port
}

// request makes what is sent for a run.
func (r *RESTRule) request(s Subject) Request {
	before, query, more := strings.Cut(r.URL, "?")
	out := Request{Method: r.Method, URL: s.expand(before, url.PathEscape), Headers: map[string]string{}, Limit: maxAnswer}
	if more {
		out.URL += "?" + s.expand(query, url.QueryEscape)
	}
	if out.Method == "" {
		out.Method = http.MethodPost
	}
	oneLine := func(v string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(v) }
	for name, value := range r.Headers {
		out.Headers[name] = s.expand(value, oneLine)
	}
	out.Body = s.expand(r.Body, inJSON)
	if out.Body != "" && !slices.ContainsFunc(headerNames(out.Headers), func(n string) bool { return strings.EqualFold(n, "Content-Type") }) {
		out.Headers["Content-Type"] = "application/json"
	}
	return out
}

func headerNames(h map[string]string) []string {
	out := make([]string, 0, len(h))
	for name := range h {
		out = append(out, name)
	}
	return out
}

// inJSON escapes a value for the inside of a JSON string: what a variable holds must not
// change the structure of a body.
func inJSON(v string) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b[1 : len(b)-1])
}

func (r *RESTRule) ask(ctx context.Context, s Subject, o Outside) (Answer, error) {
	request := r.request(s)
	if refused, err := r.authorize(ctx, s, request); err != nil || refused != "" {
		return no("%s", refused), err
	}
	status, body, err := o.Invoke(ctx, request)
	if fault.Is(err, fault.Denied) {
		text, _ := fault.Public(err)
		return no("%s", firstLine(text)), nil
	}
	if err != nil {
		// What does not answer may answer later; without a retry this was the one attempt.
		return Answer{Why: r.host() + " does not answer"}, nil
	}
	if status < 200 || status > 299 {
		return Answer{Why: fmt.Sprintf("%s answered with status %d", r.host(), status)}, nil
	}
	if r.Success == "" {
		return Answer{OK: true, Why: fmt.Sprintf("%s answered with status %d", r.host(), status)}, nil
	}
	ok, err := Succeeds(r.Success, body)
	if err != nil {
		return Answer{Why: firstLine(err.Error())}, nil
	}
	if !ok {
		return Answer{Why: "the answer of " + r.host() + " does not fulfil " + clip(r.Success)}, nil
	}
	return Answer{OK: true, Why: "the answer of " + r.host() + " fulfils " + clip(r.Success)}, nil
}

// authorize puts the credentials of the connection into a request, or says why it may not have
// them.
func (r *RESTRule) authorize(ctx context.Context, s Subject, request Request) (refused string, err error) {
	if r.Connection == "" {
		return "", nil
	}
	if s.Lend == nil {
		return "this installation has no service connections", nil
	}
	address, authorization, err := s.Lend(ctx, r.Connection)
	if err != nil {
		if fault.KindOf(err) == fault.Internal {
			return "", err
		}
		text, _ := fault.Public(err)
		return firstLine(text), nil
	}
	to, err1 := url.Parse(request.URL)
	of, err2 := url.Parse(address)
	if err1 != nil || err2 != nil || to.Scheme != of.Scheme || !strings.EqualFold(to.Host, of.Host) {
		return "the service connection " + clip(r.Connection) + " is for another host than that of the check", nil
	}
	if authorization != "" {
		request.Headers["Authorization"] = authorization
	}
	return "", nil
}

func (r *RESTRule) host() string {
	_, rest, _ := strings.Cut(r.URL, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// Succeeds evaluates a success expression over an answer, which is JSON.
func Succeeds(expression string, body []byte) (bool, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var root any
	if err := d.Decode(&root); err != nil {
		return false, fmt.Errorf("the answer is not JSON")
	}
	v, err := expr.Evaluate(expression, expr.Env{Values: map[string]expr.Value{"root": value(root)}})
	if err != nil {
		return false, fmt.Errorf("the success expression cannot be evaluated: %w", err)
	}
	return v.Truthy(), nil
}

// value is JSON as the expression language sees it.
func value(v any) expr.Value {
	switch v := v.(type) {
	case bool:
		return expr.NewBoolean(v)
	case string:
		return expr.NewString(v)
	case json.Number:
		if n, ok := expr.ParseNumber(v.String()); ok {
			return n
		}
		return expr.NewString(v.String())
	case []any:
		list := make([]expr.Value, len(v))
		for i := range v {
			list[i] = value(v[i])
		}
		return expr.NewList(list...)
	case map[string]any:
		d := expr.NewDict()
		for k, item := range v {
			d.Set(k, value(item))
		}
		return expr.NewObject(d)
	}
	return expr.Value{}
}

package scenario_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// asked is a request as a script writes it:
//
//	http [-d TEXT|@FILE] [-h 'NAME: VALUE'] [-location VAR] [-cut N] [-retry N] METHOD PATH STATUS
//
// -location keeps the answer's Location; -cut sends N bytes of the body and closes the
// connection, for which STATUS is cut. -retry sends again, at most N times, while the answer
// is 429 or 503 with Retry-After, after that pause.
type asked struct {
	method, path, status string
	body                 string
	header               http.Header
	location             string
	cut                  int
	retry                int
}

func parseRequest(ts *testscript.TestScript, args []string) asked {
	r := asked{header: http.Header{}, cut: -1}
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		value := args[1]
		switch args[0] {
		case "-d":
			r.body = value
			if file, ok := strings.CutPrefix(value, "@"); ok {
				r.body = ts.ReadFile(file)
			}
		case "-h":
			name, text, _ := strings.Cut(value, ":")
			r.header.Set(name, strings.TrimSpace(text))
		case "-location":
			r.location = value
		case "-cut", "-retry":
			n, err := strconv.Atoi(value)
			ts.Check(err)
			if args[0] == "-cut" {
				r.cut = n
			} else {
				r.retry = n
			}
		default:
			ts.Fatalf("http has no flag %s", args[0])
		}
		args = args[2:]
	}
	if len(args) != 3 {
		ts.Fatalf("usage: http [FLAG…] METHOD PATH STATUS")
	}
	r.method, r.path, r.status = args[0], args[1], args[2]
	return r
}

// request sends a request and compares the status; the body of the answer is stdout.
func request(ts *testscript.TestScript, neg bool, args []string) {
	s, r := of(ts), parseRequest(ts, args)
	url := r.path
	if !strings.HasPrefix(url, "http") {
		url = s.url + r.path
	}
	if auth := s.authorization(ts.Getenv("AS")); auth != "" && r.header.Get("Authorization") == "" {
		r.header.Set("Authorization", auth)
	}
	if r.body != "" && r.header.Get("Content-Type") == "" {
		r.header.Set("Content-Type", "application/json")
	}
	if r.cut >= 0 {
		ts.Check(cut(ts.Getenv("PORT"), r))
		return
	}
	resp := send(ts, r, url)
	for n := r.retry; n > 0 && again(resp); n-- {
		pause, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		ts.Check(err)
		ts.Check(resp.Body.Close())
		time.Sleep(time.Duration(pause) * time.Second)
		resp = send(ts, r, url)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	_, err = ts.Stdout().Write(b)
	ts.Check(err)
	for name, values := range resp.Header {
		fmt.Fprintf(ts.Stderr(), "%s: %s\n", name, strings.Join(values, ", "))
	}
	if slices.Contains(strings.Split(r.status, "|"), strconv.Itoa(resp.StatusCode)) == neg {
		ts.Fatalf("%s %s: status %s, want %s", r.method, r.path, resp.Status, r.status)
	}
	if r.location != "" {
		ts.Setenv(r.location, resp.Header.Get("Location"))
	}
}

// send sends a request once.
func send(ts *testscript.TestScript, r asked, url string) *http.Response {
	req, err := http.NewRequest(r.method, url, strings.NewReader(r.body))
	ts.Check(err)
	req.Header = r.header
	// What a hostile client sends is sent as it is written.
	req.URL.Opaque = strings.TrimPrefix(strings.SplitN(url, "?", 2)[0], "http:")
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: patience}
	resp, err := client.Do(req)
	ts.Check(err)
	return resp
}

// again says that an answer asks for the same request once more.
func again(resp *http.Response) bool {
	return (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable) && resp.Header.Get("Retry-After") != ""
}

// cut sends a request whose body ends before its announced length.
func cut(port string, r asked) error {
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	defer c.Close()
	path := r.path
	if i := strings.Index(path, "://"); i >= 0 {
		rest := path[i+3:]
		path = rest[strings.IndexByte(rest, '/'):]
	}
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost:%s\r\nContent-Length: %d\r\n", r.method, path, port, len(r.body))
	if err := r.header.Write(c); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "\r\n"+r.body[:r.cut]); err != nil {
		return err
	}
	// Half closed, so that all that was sent arrives; then the server's answer, if it
	// gives one, is read away.
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err = io.Copy(io.Discard, c)
	return err
}

// look finds a value in a JSON document: "jobs.length" is a number of elements, and
// "jobs.name=Go.result" goes to the element whose name is Go.
func look(doc any, path string) (any, error) {
	at := doc
	for _, key := range strings.Split(path, ".") {
		switch v := at.(type) {
		case map[string]any:
			next, ok := v[key]
			if !ok {
				return nil, fmt.Errorf("nothing at %q of %s", key, path)
			}
			at = next
		case []any:
			next, err := element(v, key)
			if err != nil {
				return nil, fmt.Errorf("%w of %s", err, path)
			}
			at = next
		default:
			return nil, fmt.Errorf("nothing at %q of %s", key, path)
		}
	}
	return at, nil
}

func element(list []any, key string) (any, error) {
	if key == "length" {
		return json.Number(strconv.Itoa(len(list))), nil
	}
	if name, value, ok := strings.Cut(key, "="); ok {
		for _, e := range list {
			if m, ok := e.(map[string]any); ok && text(m[name]) == value {
				return e, nil
			}
		}
		return nil, fmt.Errorf("no element with %s", key)
	}
	i, err := strconv.Atoi(key)
	if err != nil || i < 0 || i >= len(list) {
		return nil, fmt.Errorf("no element %s among %d", key, len(list))
	}
	return list[i], nil
}

// text is a value as a script writes it: strings without quotes, the rest as JSON.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func parseJSON(doc string) (any, error) {
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	return v, nil
}

func value(ts *testscript.TestScript, file, path string) (string, error) {
	doc, err := parseJSON(ts.ReadFile(file))
	if err != nil {
		ts.Fatalf("%s is no JSON: %v", file, err)
	}
	v, err := look(doc, path)
	return text(v), err
}

// compareJSON is json FILE PATH VALUE; negated, the value must be another or missing.
func compareJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json FILE PATH VALUE")
	}
	got, err := value(ts, args[0], args[1])
	same := err == nil && got == args[2]
	if same == neg {
		ts.Fatalf("%s is %q (%v), compared with %q", args[1], got, err, args[2])
	}
}

// takeJSON is setjson NAME FILE PATH.
func takeJSON(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: setjson NAME FILE PATH")
	}
	got, err := value(ts, args[1], args[2])
	ts.Check(err)
	ts.Setenv(args[0], got)
}

// takeStdout is setstdout NAME.
func takeStdout(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: setstdout NAME")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// validJSON is validjson FILE: exactly one document.
func validJSON(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: validjson FILE")
	}
	if _, err := parseJSON(ts.ReadFile(args[0])); err != nil {
		ts.Fatalf("%s is no JSON: %v", args[0], err)
	}
}

// subst puts variables of the environment in for @NAME@ in files: files of a script are
// not expanded by themselves.
func subst(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		out := ts.ReadFile(file)
		for _, name := range []string{"WORK", "URL", "HOST", "PORT", "DIGEST", "DIGEST2", "SIZE", "NOW", "SINK"} {
			out = strings.ReplaceAll(out, "@"+name+"@", ts.Getenv(name))
		}
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(out), 0o644))
	}
}

// resume is resume FILE UPLOAD: what clients do with an upload that was cut off. It asks
// how far it is and sends the rest of the file.
func resume(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: resume FILE UPLOAD")
	}
	send := func(method string, status int, body string, header http.Header) http.Header {
		req, err := http.NewRequest(method, of(ts).url+args[1], strings.NewReader(body))
		ts.Check(err)
		req.Header = header
		req.Header.Set("Authorization", of(ts).authorization(ts.Getenv("AS")))
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		ts.Check(resp.Body.Close())
		if resp.StatusCode != status {
			ts.Fatalf("%s %s: status %s, want %d", method, args[1], resp.Status, status)
		}
		return resp.Header
	}
	_, last, _ := strings.Cut(send(http.MethodGet, http.StatusNoContent, "", http.Header{}).Get("Range"), "-")
	n, err := strconv.Atoi(last)
	ts.Check(err)
	file := ts.ReadFile(args[0])
	if n+1 >= len(file) {
		ts.Fatalf("nothing is left to send: the upload is at %d of %d bytes", n+1, len(file))
	}
	send(http.MethodPatch, http.StatusAccepted, file[n+1:], http.Header{
		"Content-Type": {"application/octet-stream"}, "Content-Range": {fmt.Sprintf("%d-%d", n+1, len(file)-1)},
	})
}

package scenario_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// identities makes the project shop and its people, through the API.
func (s *story) identities(ts *testscript.TestScript) error {
	if err := s.call("admin", "POST", "/projects", `{"name":"shop"}`, nil); err != nil {
		return err
	}
	for _, name := range []string{"user", "reader", "attacker"} {
		password := "a long password of " + name
		if err := s.call("admin", "POST", "/users", fmt.Sprintf(`{"name":%q,"password":%q}`, name, password), nil); err != nil {
			return err
		}
		if role := map[string]string{"user": "write", "reader": "read"}[name]; role != "" {
			if err := s.call("admin", "PUT", "/projects/shop/members/"+name, fmt.Sprintf(`{"role":%q}`, role), nil); err != nil {
				return err
			}
		}
		var made struct{ Secret string }
		s.tokens["new"] = basic(name, password)
		if err := s.call("new", "POST", "/tokens", `{"name":"scenario","scope":"write","days":1}`, &made); err != nil {
			return err
		}
		s.tokens[name] = made.Secret
		ts.Setenv("PASSWORD_"+name, password)
	}
	for name, token := range s.tokens {
		ts.Setenv("TOKEN_"+name, token)
	}
	s.become(ts, "user")
	return nil
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// authorization is the header of an identity, "" for nobody.
func (s *story) authorization(name string) string {
	switch token := s.tokens[name]; {
	case token == "":
		return ""
	case name == "new":
		return token
	default:
		return basic(name, token)
	}
}

// call asks the API and fails on every answer but a good one.
func (s *story) call(as, method, path, body string, out any) error {
	req, err := http.NewRequest(method, s.url+"/api/v1"+path, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", s.authorization(as))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s as %s: %s: %s", method, path, as, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// become sets what programs authenticate with: the command line by its variable, git by
// a header that its configuration adds.
func (s *story) become(ts *testscript.TestScript, name string) {
	ts.Setenv("AS", name)
	ts.Setenv("TOWPATH_TOKEN", s.tokens[name])
	n := "1"
	if s.authorization(name) == "" {
		n = "0"
	}
	ts.Setenv("GIT_CONFIG_COUNT", n)
	ts.Setenv("GIT_CONFIG_KEY_0", "http.extraHeader")
	ts.Setenv("GIT_CONFIG_VALUE_0", "Authorization: "+s.authorization(name))
}

// as runs one verb as somebody else.
func as(all map[string]verb) verb {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		s := of(ts)
		if len(args) < 2 {
			ts.Fatalf("usage: as NAME VERB…")
		}
		if _, ok := s.tokens[args[0]]; !ok {
			ts.Fatalf("there is no identity %s", args[0])
		}
		run, ok := all[args[1]]
		if !ok {
			ts.Fatalf("there is no verb %s", args[1])
		}
		before := ts.Getenv("AS")
		s.become(ts, args[0])
		defer s.become(ts, before)
		run(ts, neg, args[2:])
	}
}

// program is the verb that runs a program.
func program(name string) verb {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := ts.Exec(name, args...)
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		if neg && err == nil {
			ts.Fatalf("%s succeeded", name)
		}
		if !neg && err != nil {
			ts.Fatalf("%s: %v", name, err)
		}
	}
}

// exit runs a command that must end with one exit code and no other.
func exit(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: exit CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

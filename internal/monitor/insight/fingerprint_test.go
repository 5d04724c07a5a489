package insight_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/otlp/stack"
)

func app(method string, line int) stack.Frame {
	return stack.Frame{Method: method, Assembly: "shop", File: "/app/a.py", Line: line, InApp: true}
}

func lib(method string) stack.Frame { return stack.Frame{Method: method, Assembly: "flask"} }

func TestProblem(t *testing.T) {
	base := stack.Exception{Type: "KeyError", Message: "'c7'", Frames: []stack.Frame{app("get", 22), lib("wsgi"), app("main", 5)}}
	tests := []struct {
		name string
		a, b stack.Exception
		same bool
		how  string // of a
	}{
		{"another line and message", base, stack.Exception{Type: "KeyError", Message: "'c8'", Frames: []stack.Frame{app("get", 29), app("main", 6)}}, true, "s"},
		{"another frame", base, stack.Exception{Type: "KeyError", Frames: []stack.Frame{app("put", 22), app("main", 5)}}, false, "s"},
		{"another type", base, stack.Exception{Type: "ValueError", Frames: base.Frames}, false, "s"},
		{"recursion", stack.Exception{Type: "E", Frames: []stack.Frame{app("f", 1), app("f", 2), app("f", 3)}}, stack.Exception{Type: "E", Frames: []stack.Frame{app("f", 1)}}, true, "s"},
		{"an explicit fingerprint wins", stack.Exception{Type: "A", Explicit: "x", Frames: base.Frames}, stack.Exception{Type: "B", Explicit: "x"}, true, "e"},
		{"libraries only, another value", stack.Exception{Type: "IOError", Message: "no file /tmp/17", Frames: []stack.Frame{lib("open")}}, stack.Exception{Type: "IOError", Message: "no file /tmp/18"}, true, "t"},
		{"libraries only, another message", stack.Exception{Type: "IOError", Message: "no file"}, stack.Exception{Type: "IOError", Message: "no space"}, false, "t"},
		{"no type", stack.Exception{Type: "Error", Message: "user 12 is gone"}, stack.Exception{Message: "user 13 is gone"}, true, "m"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := insight.Problem(tt.a), insight.Problem(tt.b)
			if (a == b) != tt.same {
				t.Errorf("%s and %s", a, b)
			}
			if !strings.HasPrefix(a, insight.Version+":"+tt.how+":") {
				t.Errorf("%s, want it decided by %q", a, tt.how)
			}
		})
	}
	// Groups that are stored are named by these: a change needs another version.
	if got := insight.Problem(base); got != "v1:s:adfe0a2fdd142e14" {
		t.Errorf("the fingerprint of v1 moved to %s", got)
	}
}

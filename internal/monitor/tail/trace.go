package tail

import (
	"bytes"

	"towpath.dev/towpath/internal/monitor/level"
)

// form is the kind of multi-line record that a group has turned out to be.
type form uint8

const (
	single  form = iota // takes no further line
	opened              // a line that tells of trouble: a stack trace may follow
	frames              // Java, .NET, Node: a type and a message, then frames "at …"
	goroute             // Go: a panic or goroutines
	python              // Python: after "Traceback (most recent call last):"
	raised              // Python: after the line that names the exception
	located             // Node: after "/app/index.js:3", before the error itself
	block               // .NET's console logger: a head, then lines with six spaces
)

// tracer decides, line by line, whether a line belongs to the record before it. The zero
// value takes no further line.
type tracer struct {
	form   form
	blank  bool // the last line was empty: what follows must prove that it belongs
	body   bool // the part that the form announces has begun
	braces int  // Node prints the fields of an error between braces behind its frames
	lines  int
}

// begin looks at the first line of a record of this level.
func (t *tracer) begin(text []byte, rank string) {
	*t = tracer{form: beginning(text, rank), lines: 1}
	if t.form == goroute {
		t.body = isGoroutine(text)
	}
	if t.form == frames {
		t.brace(text)
	}
}

func beginning(text []byte, rank string) form {
	switch {
	case isBlank(text):
		return single
	case isBlockHead(text):
		return block
	case isPanic(text), isGoroutine(text):
		return goroute
	case isTraceback(text):
		if isIndented(text) { // of an ExceptionGroup: all of it is
			return frames
		}
		return python
	case isLocation(text):
		return located
	case isThrow(text), isFrame(text):
		return frames
	case rank == level.Critical || rank == level.Error || rank == level.Warning:
		return opened
	}
	return single
}

// next reports whether a line belongs to the record.
func (t *tracer) next(text []byte) bool {
	ok := false
	switch t.form {
	case opened:
		ok = t.nextOpened(text)
	case frames:
		ok = t.nextFrames(text)
	case goroute:
		ok = t.nextGo(text)
	case python:
		ok = t.nextPython(text)
	case raised:
		ok = t.nextRaised(text)
	case located:
		ok = t.nextLocated(text)
	case block:
		ok = bytes.HasPrefix(text, []byte("      ")) && !isBlank(text)
	}
	if ok {
		t.lines++
		t.blank = isBlank(text)
	}
	return ok
}

func (t *tracer) nextOpened(text []byte) bool {
	switch {
	case isBlank(text):
		return false
	case isTraceback(text):
		t.form = python
	case isGoroutine(text):
		t.form, t.body = goroute, true
	case isThrow(text), isIndented(text), isCause(text):
		t.form = frames
		t.brace(text)
	default:
		return false
	}
	return true
}

func (t *tracer) nextFrames(text []byte) bool {
	switch {
	case t.blank:
		return bytes.HasPrefix(text, []byte("Node.js v"))
	case isBlank(text):
		return true
	case t.braces > 0 && (text[0] == '}' || text[0] == ']'):
		t.brace(text)
		return true
	case isIndented(text), isCause(text):
		t.brace(text)
		return true
	}
	return false
}

// brace counts the braces that stay open over the end of a line.
func (t *tracer) brace(text []byte) {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 {
		return
	}
	switch last := trimmed[len(trimmed)-1]; {
	case last == '{' || last == '[':
		if trimmed[0] != '}' && trimmed[0] != ']' {
			t.braces++
		}
	case trimmed[0] == '}' || trimmed[0] == ']':
		t.braces = max(0, t.braces-1)
	}
}

// nextGo follows what the runtime prints (go/src/runtime/traceback.go, panic.go, signal_unix.go).
func (t *tracer) nextGo(text []byte) bool {
	switch {
	case isBlank(text):
		return true
	case isGoroutine(text):
		t.body = true
		return true
	case hasAny(text, "[signal ", "runtime stack:", "created by ", "goroutine running on ", "stack: frame=", "exit status ", "...additional frames", "panic: ", "PC=", "r0 ", "fault "), isIndented(text), isRegister(text):
		return true
	case !t.body: // the message of a panic may have several lines
		return t.lines < 32 && !t.blank && !isRecord(text)
	}
	return !t.blank && isCall(text)
}

func (t *tracer) nextPython(text []byte) bool {
	switch {
	case isBlank(text):
		return t.body
	case isIndented(text):
		t.body = true
		return true
	case !t.body:
		return false
	}
	t.form = raised
	return true
}

func (t *tracer) nextRaised(text []byte) bool {
	switch {
	case isBlank(text):
		return true
	case hasAny(text, "During handling of the above exception", "The above exception was the direct cause"):
		t.body = false
		return true
	case isTraceback(text):
		if t.body { // another trace that has nothing to do with this one
			return false
		}
		t.form = python
		return true
	}
	return isIndented(text) && !t.blank
}

func (t *tracer) nextLocated(text []byte) bool {
	switch {
	case isThrow(text) && t.lines > 1:
		t.form = frames
		t.brace(text)
		return true
	case t.lines == 1:
		return !isBlank(text) && !isRecord(text)
	case t.lines == 2:
		return len(bytes.Trim(text, " \t^~")) == 0
	}
	return t.lines < 6 && isBlank(text)
}

func isBlank(text []byte) bool { return len(bytes.TrimSpace(text)) == 0 }

func isIndented(text []byte) bool { return len(text) > 1 && (text[0] == ' ' || text[0] == '\t') }

func hasAny(text []byte, prefixes ...string) bool {
	for _, p := range prefixes {
		if len(text) >= len(p) && string(text[:len(p)]) == p {
			return true
		}
	}
	return false
}

func isPanic(text []byte) bool {
	return hasAny(text, "panic: ", "fatal error: ", "SIGQUIT: quit", "SIGABRT: abort", "SIGSEGV: ", "unexpected fault address ")
}

// isGoroutine knows "goroutine 18 [chan receive, 2 minutes]:".
func isGoroutine(text []byte) bool {
	return hasAny(text, "goroutine ") && bytes.HasSuffix(text, []byte("]:"))
}

// isCall knows a function in a Go trace: "main.(*Server).run(0xc000012345, …)".
func isCall(text []byte) bool {
	i := bytes.LastIndexByte(text, '(')
	if i <= 0 || text[len(text)-1] != ')' {
		return false
	}
	return (hasAny(text, "panic(") || bytes.IndexByte(text[:i], '.') > 0) && bytes.IndexByte(text[:i], ' ') < 0
}

// isRegister knows "rip    0x46e1f1".
func isRegister(text []byte) bool {
	name, value, ok := bytes.Cut(text, []byte(" "))
	return ok && len(name) >= 2 && len(name) <= 6 && hasAny(bytes.TrimLeft(value, " "), "0x")
}

func isTraceback(text []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(text, " "), []byte("Traceback (most recent call last):"))
}

func isFrame(text []byte) bool {
	return isIndented(text) && hasAny(bytes.TrimLeft(text, " \t"), "at ", "... ")
}

// isCause knows what stands at the left edge within a trace.
func isCause(text []byte) bool {
	return hasAny(text, "Caused by: ", "Suppressed: ", "Wrapped by: ", "--- End of ", " ---> ", "... ") || hasAny(text, "---> ")
}

// isThrow knows the head of a trace: the qualified name of a type that ends in Error or
// Exception, alone or before a message, also behind the words that runtimes put before it.
func isThrow(text []byte) bool {
	for _, p := range []string{"Exception in thread \"", "Unhandled exception. ", "Unhandled Exception: ", "Uncaught "} {
		if hasAny(text, p) {
			return true
		}
	}
	end := 0
	for end < len(text) && (isNameByte(text[end]) || text[end] == '.' || text[end] == '$' || text[end] == '`') {
		end++
	}
	if end < len(text) && text[end] != ':' && text[end] != ' ' {
		return false
	}
	name := text[:end]
	for _, s := range []string{"Error", "Exception", "Throwable"} {
		if bytes.HasSuffix(name, []byte(s)) {
			return end == len(text) || text[end] == ':' || hasAny(text[end:], " [", " (")
		}
	}
	return false
}

func isNameByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_'
}

// isLocation knows the first line of an uncaught error in Node: "/app/index.js:3".
func isLocation(text []byte) bool {
	if len(text) > 1024 || !hasAny(text, "/", "file://", "node:") || bytes.IndexByte(text, ' ') >= 0 {
		return false
	}
	i := bytes.LastIndexByte(text, ':')
	return i > 5 && i+1 < len(text) && digits(text[i+1:]) > 0
}

// isBlockHead knows the head that .NET's console logger prints: "fail: Shop.Cart[13]".
func isBlockHead(text []byte) bool {
	if !hasAny(text, "trce: ", "dbug: ", "info: ", "warn: ", "fail: ", "crit: ") {
		return false
	}
	i := bytes.LastIndexByte(text, '[')
	return i > 6 && text[len(text)-1] == ']' && digits(text[i+1:len(text)-1]) >= 0
}

// isRecord reports whether a line looks like the beginning of a record of its own: JSON, a
// date or time, or a level in brackets.
func isRecord(text []byte) bool {
	switch c := text[0]; {
	case c == '{' || c == '[':
		return true
	case len(text) > 5 && c >= '0' && c <= '9':
		return digits(text[:4]) >= 0 || text[2] == ':'
	}
	return level.Said(text)
}

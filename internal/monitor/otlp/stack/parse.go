package stack

import (
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/monitor/table"
)

// The bounds of what is read.
const (
	maxBytes  = 64 << 10
	maxFrames = 128
	maxName   = 512
)

// Parse returns the frames of a printed stack trace, the innermost call first, nil when the
// text is of no language that is known. Of an exception with a cause the frames of the
// cause stand first: it is where things went wrong.
func Parse(text string) []Frame {
	if len(text) > maxBytes {
		text = text[:maxBytes]
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	var frames []Frame
	for _, read := range []func([]string) []Frame{readPython, readAt, readGo} {
		if frames = read(lines); len(frames) > 0 {
			break
		}
	}
	if len(frames) > maxFrames {
		frames = frames[:maxFrames]
	}
	for i := range frames {
		f := &frames[i]
		f.Level = i
		f.Method, f.Assembly, f.File = clip(f.Method), clip(f.Assembly), clip(f.File)
	}
	return frames
}

// clip makes a name of a frame short and valid.
func clip(s string) string { return strings.ToValidUTF8(table.Clip(s, maxName), "\uFFFD") }

// Innermost returns type and message of the cause that a printed stack trace names last
// (Java "Caused by:", .NET "--->"), "" where it names none.
func Innermost(text string) (e Exception) {
	if len(text) > maxBytes {
		text = text[:maxBytes]
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		head, ok := strings.CutPrefix(line, "Caused by: ")
		if !ok {
			// .NET prints causes from the outside to the inside too.
			if _, rest, found := strings.Cut(line, "---> "); found {
				head, ok = rest, true
			}
		}
		if ok {
			e.Type, e.Message, _ = strings.Cut(head, ": ")
			e.Type, e.Message = clip(e.Type), strings.ToValidUTF8(e.Message, "\uFFFD")
		}
	}
	return e
}

// readPython reads "File "x.py", line 3, in f" lines, the innermost last.
func readPython(lines []string) []Frame {
	var out []Frame
	for _, line := range lines {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), `File "`)
		if !ok {
			continue
		}
		file, rest, ok := strings.Cut(rest, `", line `)
		if !ok {
			continue
		}
		number, method, _ := strings.Cut(rest, ", in ")
		n, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		out = append(out, Frame{Method: method, File: file, Line: n, Assembly: pythonModule(file), InApp: pythonInApp(file)})
	}
	slices.Reverse(out)
	return out
}

// pythonModule is the name of the package or file that a path belongs to.
func pythonModule(file string) string {
	for _, root := range []string{"/site-packages/", "/dist-packages/"} {
		if _, inside, ok := strings.Cut(file, root); ok {
			name, _, _ := strings.Cut(inside, "/")
			return strings.TrimSuffix(name, ".py")
		}
	}
	return strings.TrimSuffix(file[strings.LastIndexByte(file, '/')+1:], ".py")
}

func pythonInApp(file string) bool {
	return !strings.HasPrefix(file, "<") && !strings.Contains(file, "-packages/") && !strings.Contains(file, "/lib/python") && !strings.Contains(file, "/lib64/python")
}

// readAt reads the lines that begin with "at": Java, .NET and Node.
func readAt(lines []string) []Frame {
	var sections [][]Frame
	section := []Frame{}
	for _, line := range lines {
		line = strings.TrimSpace(line)
		// In Java a cause follows its effect; in .NET it stands before it, and the mark
		// ends it.
		if strings.HasPrefix(line, "Caused by: ") {
			sections, section = append(sections, section), []Frame{}
			continue
		}
		rest, ok := strings.CutPrefix(line, "at ")
		if !ok {
			continue
		}
		if f, ok := readCall(rest); ok {
			section = append(section, f)
		}
	}
	sections = append(sections, section)
	slices.Reverse(sections)
	return slices.Concat(sections...)
}

// readCall reads what stands after "at".
func readCall(s string) (Frame, bool) {
	open := strings.LastIndexByte(s, '(')
	if open >= 0 && strings.HasSuffix(s, ")") {
		if f, ok := readJava(s[:open], s[open+1:len(s)-1]); ok {
			return f, true
		}
	}
	if f, ok := readNode(s); ok {
		return f, true
	}
	return readDotNet(s)
}

// readJava reads "com.shop.Cart.add" and "Cart.java:12".
func readJava(call, where string) (Frame, bool) {
	file, line, numbered := strings.Cut(where, ":")
	n, err := strconv.Atoi(line)
	switch {
	case where == "Native Method" || where == "Unknown Source":
		file, n = "", 0
	case numbered && err != nil, strings.ContainsAny(file, "/\\ "):
		return Frame{}, false
	case !slices.Contains([]string{".java", ".kt", ".scala", ".groovy", ".clj"}, extension(file)):
		return Frame{}, false
	}
	if strings.ContainsRune(call, ' ') {
		return Frame{}, false
	}
	// A module stands before the class: "java.base/java.lang.Thread.run".
	if i := strings.LastIndexByte(call, '/'); i >= 0 {
		call = call[i+1:]
	}
	assembly := ""
	if dots := strings.Split(call, "."); len(dots) > 2 {
		assembly = strings.Join(dots[:len(dots)-2], ".")
	}
	return Frame{Method: lambdaless(call), Assembly: assembly, File: file, Line: n, InApp: !foreign(call, javaLibraries())}, true
}

// lambdaless takes the numbers out of names that the compiler makes: they change with
// every build.
func lambdaless(s string) string {
	if strings.Contains(s, "lambda$") {
		return strings.TrimRight(s, "$0123456789")
	}
	for _, mark := range []string{"$$Lambda", "$$FastClass", "$$EnhancerBySpring"} {
		if i := strings.Index(s, mark); i >= 0 {
			class, method := s[:i+len(mark)], s[strings.LastIndexByte(s, '.')+1:]
			return class + "." + method
		}
	}
	return s
}

func extension(file string) string {
	if i := strings.LastIndexByte(file, '.'); i >= 0 {
		return file[i:]
	}
	return ""
}

// readNode reads "fn (/app/a.js:3:5)" and "/app/a.js:3:5".
func readNode(s string) (Frame, bool) {
	method, where := "", s
	if open := strings.LastIndex(s, " ("); open >= 0 && strings.HasSuffix(s, ")") {
		method, where = s[:open], s[open+2:len(s)-1]
	}
	file, column, ok := cutLast(where, ':')
	if !ok {
		return Frame{}, false
	}
	file, line, ok := cutLast(file, ':')
	n, err := strconv.Atoi(line)
	if _, e := strconv.Atoi(column); !ok || err != nil || e != nil {
		return Frame{}, false
	}
	method = strings.TrimPrefix(method, "async ")
	file = strings.TrimPrefix(strings.TrimPrefix(file, "async "), "file://")
	inApp := !strings.HasPrefix(file, "node:") && !strings.HasPrefix(file, "internal/") && !strings.Contains(file, "node_modules/") && file != "<anonymous>"
	assembly := ""
	if i := strings.LastIndex(file, "node_modules/"); i >= 0 {
		parts := strings.SplitN(file[i+len("node_modules/"):], "/", 3)
		assembly = parts[0]
		if strings.HasPrefix(assembly, "@") && len(parts) > 1 {
			assembly += "/" + parts[1]
		}
	}
	return Frame{Method: method, Assembly: assembly, File: file, Line: n, InApp: inApp}, true
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// readDotNet reads "Shop.Cart.Add(String sku) in /src/Cart.cs:line 12".
func readDotNet(s string) (Frame, bool) {
	call, where, _ := strings.Cut(s, ") in ")
	name, _, ok := strings.Cut(call, "(")
	if !ok || strings.TrimSpace(name) != name || !strings.ContainsRune(name, '.') {
		return Frame{}, false
	}
	file, line, _ := strings.Cut(where, ":line ")
	n, err := strconv.Atoi(line)
	if err != nil {
		n = 0
	}
	name = machineless(name)
	assembly := ""
	if dots := strings.Split(strings.TrimSuffix(name, "..ctor"), "."); len(dots) > 2 {
		assembly = strings.Join(dots[:len(dots)-2], ".")
	}
	return Frame{Method: name, Assembly: assembly, File: file, Line: n, InApp: !foreign(name, dotNetLibraries())}, true
}

// machineless turns "Shop.Cart.<Post>d__4.MoveNext", the machine that the compiler makes of
// an asynchronous method, into "Shop.Cart.Post": the number changes with every build.
func machineless(name string) string {
	class, rest, ok := strings.Cut(name, ".<")
	method, rest, closed := strings.Cut(rest, ">")
	if ok && closed && method != "" && strings.HasSuffix(rest, ".MoveNext") {
		return class + "." + method
	}
	return name
}

// foreign reports whether a name belongs to one of the libraries.
func foreign(name string, libraries []string) bool {
	return slices.ContainsFunc(libraries, func(l string) bool { return strings.HasPrefix(name, l) })
}

func javaLibraries() []string {
	return []string{
		"java.", "javax.", "jakarta.", "jdk.", "sun.", "com.sun.", "kotlin.", "kotlinx.", "scala.", "groovy.", "clojure.", "org.springframework.", "org.apache.",
		"org.hibernate.", "org.postgresql.", "com.mysql.", "org.eclipse.", "org.jboss.", "io.netty.", "io.quarkus.", "io.micronaut.", "io.vertx.", "io.grpc.", "reactor.", "com.fasterxml.",
		"com.google.common.", "com.zaxxer.", "ch.qos.", "org.slf4j.", "io.opentelemetry.", "org.junit.",
	}
}

func dotNetLibraries() []string {
	return []string{"System.", "Microsoft.", "Newtonsoft.", "Npgsql.", "Grpc.", "Polly.", "MediatR.", "AutoMapper.", "Serilog.", "OpenTelemetry."}
}

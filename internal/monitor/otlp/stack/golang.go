package stack

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// readGo reads the pairs of lines that Go prints: a function, and after a tab the file.
// Only the first goroutine is read: the one that panicked.
func readGo(lines []string) []Frame {
	var out []Frame
	for i := 1; i < len(lines); i++ {
		if strings.HasPrefix(lines[i], "goroutine ") && len(out) > 0 {
			break
		}
		where, ok := strings.CutPrefix(lines[i], "\t")
		if !ok {
			continue
		}
		where, _, _ = strings.Cut(where, " +0x")
		file, line, ok := cutLast(where, ':')
		n, err := strconv.Atoi(line)
		if !ok || err != nil || !strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, ".s") {
			continue
		}
		call := strings.TrimSpace(lines[i-1])
		if rest, made := strings.CutPrefix(call, "created by "); made {
			call, _, _ = strings.Cut(rest, " in goroutine")
		}
		out = append(out, goFrame(call, file, n))
	}
	return out
}

// goFrame reads "shop/cart.(*Store).Add(0x1, …)" or the same without arguments.
func goFrame(call, file string, line int) Frame {
	if strings.HasSuffix(call, ")") {
		// The receiver stands in brackets as well: the arguments are the last ones.
		if i := strings.LastIndexByte(call, '('); i > 0 && !strings.HasPrefix(call[i:], "(*") {
			call = call[:i]
		}
	}
	pkg := call
	slash := strings.LastIndexByte(pkg, '/') + 1
	if dot := strings.IndexByte(pkg[slash:], '.'); dot >= 0 {
		pkg = pkg[:slash+dot]
	}
	return Frame{Method: call, Assembly: pkg, File: file, Line: line, InApp: goInApp(pkg, file)}
}

// goInApp reports whether a package is neither of the standard library nor of a module
// that was downloaded.
func goInApp(pkg, file string) bool {
	if strings.Contains(file, "/pkg/mod/") || strings.Contains(file, "/vendor/") || strings.Contains(file, "@v") {
		return false
	}
	first, _, _ := strings.Cut(pkg, "/")
	return !slices.Contains([]string{
		"archive", "bufio", "bytes", "cmp", "compress", "container", "context", "crypto", "database", "debug", "embed", "encoding", "errors", "expvar", "flag",
		"fmt", "go", "hash", "html", "image", "index", "internal", "io", "iter", "log", "maps", "math", "mime", "net", "os", "panic", "path", "plugin", "reflect",
		"regexp", "runtime", "slices", "sort", "strconv", "strings", "sync", "syscall", "testing", "text", "time", "unicode", "unique", "unsafe", "weak",
	}, first)
}

// JSON writes frames as the list parsedStack of Details.
func JSON(frames []Frame) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	// Texts and numbers always have a JSON.
	_ = enc.Encode(frames)
	return bytes.TrimRight(out.Bytes(), "\n")
}

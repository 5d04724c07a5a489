package parse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits bound what is read. The zero Limits are the defaults.
type Limits struct {
	// Bytes is the size of one file; the default is [MaxBytes].
	Bytes int
	// Depth is how deep sequences and mappings may nest; the default is [MaxDepth].
	Depth int
	// Nodes is how many values a file may hold; the default is [MaxNodes].
	Nodes int
}

// The default limits (X009).
const (
	MaxBytes = 10 << 20
	MaxDepth = 100
	MaxNodes = 1_000_000
)

// maxErrors is how many faults of one file are reported; a file with more is
// not a pipeline, and nobody reads further.
const maxErrors = 100

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = MaxBytes
	}
	if l.Depth == 0 {
		l.Depth = MaxDepth
	}
	if l.Nodes == 0 {
		l.Nodes = MaxNodes
	}
	return l
}

// Parse reads one file. The file name is used in positions only. The node is nil
// when there is nothing to go on with; it may be there although errors were
// found, so that later stages can report theirs, too. The result must not be
// used for a run when [Diagnostics.Failed].
func Parse(file string, data []byte, limits Limits) (*Node, Diagnostics) {
	r := &reader{file: file, limits: limits.withDefaults(), data: data}
	whole := Pos{File: file}
	if len(data) > r.limits.Bytes {
		r.found.Errorf(whole, "X009", "The file has %d bytes; at most %d are allowed", len(data), r.limits.Bytes)
		return nil, r.found
	}
	if at := invalidUTF8(data); at >= 0 {
		r.found.Errorf(posAt(file, data, at), "", "The file is not valid UTF-8 here; save it in the encoding UTF-8")
		return nil, r.found
	}
	// The library keeps much for each value, and has no limit of its own.
	if signs(data) > 2*r.limits.Nodes {
		r.found.Errorf(whole, "X009", "The file has more than %d values", r.limits.Nodes)
		return nil, r.found
	}
	root := r.load(data)
	if root == nil {
		return nil, r.found
	}
	return r.convert(root, 1), r.found
}

// signs counts what may begin a value in YAML: a file has hardly more values than twice as many.
// Texts have such signs, too, but no pipeline has millions of them.
func signs(data []byte) int {
	count := 0
	for i, c := range data {
		switch c {
		case ',', '[', '{':
			count++
		case '-', ':', '?':
			if i+1 == len(data) || data[i+1] == ' ' || data[i+1] == '\n' || data[i+1] == '\r' || data[i+1] == '\t' {
				count++
			}
		}
	}
	return count
}

// reader holds the state of one file.
type reader struct {
	file   string
	limits Limits
	nodes  int
	found  Diagnostics
	data   []byte
}

// load runs the YAML library and returns the root of the only document.
func (r *reader) load(data []byte) *yaml.Node {
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		r.syntax(err)
		return nil
	}
	var document, second yaml.Node
	switch err := loader.Load(&document); {
	case errors.Is(err, io.EOF):
		r.found.Errorf(Pos{File: r.file}, "", "The file is empty; a pipeline needs one of stages, jobs, steps or extends")
		return nil
	case err != nil:
		r.syntax(err)
		return nil
	}
	if err := loader.Load(&second); err == nil {
		r.found.Errorf(r.pos(&second), "X001", "A second YAML document starts here; a pipeline file has only one")
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
		return nil
	}
	if len(document.Content) != 1 || document.Content[0].Kind == yaml.ScalarNode && document.Content[0].Value == "" && document.Content[0].Style == 0 {
		r.found.Errorf(Pos{File: r.file}, "", "The file is empty; a pipeline needs one of stages, jobs, steps or extends")
		return nil
	}
	return document.Content[0]
}

// syntax reports what the YAML library refused.
func (r *reader) syntax(err error) {
	var fault *yaml.LoadError
	if !errors.As(err, &fault) {
		r.found.Errorf(Pos{File: r.file}, "", "Broken YAML: %v", err)
		return
	}
	message := fault.Message
	if fault.ContextMsg != "" {
		message += " (" + fault.ContextMsg
		if fault.ContextMark.Line > 0 && fault.ContextMark != fault.Mark {
			message += fmt.Sprintf(" that starts in line %d", fault.ContextMark.Line)
		}
		message += ")"
	}
	message += r.hint(fault)
	pos := Pos{File: r.file, Line: fault.Mark.Line, Col: fault.Mark.Column}
	if pos.Line == 0 && fault.ContextMark.Line > 0 {
		pos.Line, pos.Col = fault.ContextMark.Line, fault.ContextMark.Column
	}
	r.found.Errorf(pos, "", "Broken YAML: %s", message)
}

// directive is a line that can only be meant as a directive, without its colon.
var directive = regexp.MustCompile(`^\s*(?:- +)?\$\{\{-? *(?:if|elseif|else|each|insert)\b.*\}\}\s*$`)

// hint says what to do about broken YAML, as the end of a message.
func (r *reader) hint(fault *yaml.LoadError) string {
	lines := strings.Split(string(r.data), "\n")
	for line := min(fault.Mark.Line, len(lines)) - 1; line >= 0 && line >= fault.Mark.Line-3; line-- {
		if directive.MatchString(lines[line]) {
			return fmt.Sprintf("; the directive in line %d needs a colon after it", line+1)
		}
	}
	here := "" // what stands at the place
	if n := fault.Mark.Line; n > 0 && n <= len(lines) {
		here = lines[n-1][min(max(fault.Mark.Column-1, 0), len(lines[n-1])):]
	}
	switch message := fault.Message; {
	case strings.HasPrefix(here, "- ") && strings.Contains(message, "did not find expected key"):
		return "; a '-' stands among keys here: a section is a list or a mapping, not both"
	case strings.Contains(message, "expected ',' or"):
		return "; close it, or separate what is in it by commas"
	case strings.Contains(message, "tab character"):
		return "; YAML is indented with spaces, so put some in the place of the tab"
	case strings.Contains(message, "cannot start any token"):
		return "; YAML is indented with spaces, not tabs, and a value that starts with % @ or ` needs quotes"
	case strings.Contains(message, "mapping values are not allowed"):
		return "; check the indentation, and put a value that contains ': ' in quotes"
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "did not find expected '-' indicator"):
		return "; check the indentation of this line and the quotes before it"
	}
	return ""
}

func (r *reader) pos(n *yaml.Node) Pos {
	return Pos{File: r.file, Line: n.Line, Col: n.Column}
}

// convert makes a Node of a YAML node. It returns nil for what is refused, and
// stops at the limits.
func (r *reader) convert(n *yaml.Node, depth int) *Node {
	if len(r.found) >= maxErrors {
		return nil
	}
	if r.nodes++; r.nodes > r.limits.Nodes {
		if r.nodes == r.limits.Nodes+1 {
			r.found.Errorf(r.pos(n), "X009", "The file has more than %d values", r.limits.Nodes)
		}
		return nil
	}
	if depth > r.limits.Depth {
		r.found.Errorf(r.pos(n), "X009", "The file is nested more than %d levels deep", r.limits.Depth)
		return nil
	}
	r.refuse(n)
	switch n.Kind {
	case yaml.ScalarNode:
		return &Node{Kind: Scalar, Pos: r.pos(n), Value: n.Value, Style: style(n)}
	case yaml.SequenceNode:
		return r.sequence(n, depth)
	case yaml.MappingNode:
		return r.mapping(n, depth)
	}
	return nil
}

// refuse reports YAML that the service does not have (X001).
func (r *reader) refuse(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		r.found.Errorf(r.pos(n), "X001", "The alias '*%s' is not supported; write the value out, or use a template with parameters", n.Value)
	case n.Anchor != "":
		r.found.Errorf(r.pos(n), "X001", "The anchor '&%s' is not supported; write the value out, or use a template with parameters", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0 || n.Tag == "!":
		r.found.Errorf(r.pos(n), "X001", "The YAML tag '%s' is not supported; leave it out", n.Tag)
	}
}

func style(n *yaml.Node) Style {
	switch {
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return Quoted
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return Block
	}
	return Plain
}

func (r *reader) sequence(n *yaml.Node, depth int) *Node {
	result := &Node{Kind: Sequence, Pos: r.pos(n), Items: make([]*Node, 0, len(n.Content))}
	for _, item := range n.Content {
		if converted := r.convert(item, depth+1); converted != nil {
			result.Items = append(result.Items, converted)
		}
	}
	return result
}

func (r *reader) mapping(n *yaml.Node, depth int) *Node {
	result := &Node{Kind: Mapping, Pos: r.pos(n), Pairs: make([]Pair, 0, len(n.Content)/2)}
	seen := make(map[string]Pos, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := r.key(n.Content[i], seen)
		value := r.convert(n.Content[i+1], depth+1)
		if key != nil && value != nil {
			result.Pairs = append(result.Pairs, Pair{Key: key, Value: value})
		}
	}
	return result
}

// key converts the key of an entry and checks that it stands only once (X006).
func (r *reader) key(n *yaml.Node, seen map[string]Pos) *Node {
	if n.Kind == yaml.AliasNode {
		r.refuse(n)
		return nil
	}
	if n.Kind != yaml.ScalarNode {
		r.found.Errorf(r.pos(n), "X001", "A key must be plain text; complex keys are not supported")
		return nil
	}
	if n.ShortTag() == "!!merge" && n.Style == 0 {
		r.found.Errorf(r.pos(n), "X001", "The merge key '<<' is not supported; use ${{ insert }} in a template")
		return nil
	}
	r.refuse(n)
	if !strings.HasPrefix(strings.TrimSpace(n.Value), "${{") {
		if first, ok := seen[n.Value]; ok {
			r.found.Errorf(r.pos(n), "X006", "'%s' is already defined in line %d; remove one of the two", n.Value, first.Line)
			return nil
		}
		seen[n.Value] = r.pos(n)
	}
	return &Node{Kind: Scalar, Pos: r.pos(n), Value: n.Value, Style: style(n)}
}

// invalidUTF8 returns the place of the first byte that is no UTF-8, or -1.
// UTF-16 with a byte order mark is left to the YAML library.
func invalidUTF8(data []byte) int {
	if utf8.Valid(data) || bytes.HasPrefix(data, []byte{0xFF, 0xFE}) || bytes.HasPrefix(data, []byte{0xFE, 0xFF}) {
		return -1
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

func posAt(file string, data []byte, offset int) Pos {
	before := data[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return Pos{File: file, Line: line, Col: column}
}

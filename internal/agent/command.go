package agent

import (
	"bytes"
	"strings"
)

// command is a logging command, ##vso[area.event k=v;k=v]data (1.9 of the reference).
type command struct {
	name  string            // "task.setvariable", in lower case
	props map[string]string // by lower-case name, unescaped
	data  string            // unescaped
}

var commandMark = []byte("##vso[")

// parseCommand reads the logging command of a line. found says that the line holds the
// mark; ok, that it parses.
func parseCommand(line []byte) (c command, found, ok bool) {
	at := bytes.Index(line, commandMark)
	if at < 0 {
		return c, false, false
	}
	head, data, closed := strings.Cut(string(line[at+len(commandMark):]), "]")
	if !closed {
		return c, true, false
	}
	name, props, _ := strings.Cut(strings.TrimSpace(head), " ")
	area, event, dotted := strings.Cut(name, ".")
	if !dotted || area == "" || event == "" {
		return c, true, false
	}
	c = command{name: strings.ToLower(name), props: map[string]string{}, data: unescape(data)}
	for p := range strings.SplitSeq(props, ";") {
		if k, v, ok := strings.Cut(p, "="); ok {
			c.props[strings.ToLower(strings.TrimSpace(k))] = unescape(v)
		}
	}
	return c, true, true
}

// unescape undoes the escapes of commands; %AZP25 comes last, so that an escaped
// percent sign does not start another escape.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	return strings.NewReplacer("%3B", ";", "%3b", ";", "%0D", "\r", "%0d", "\r", "%0A", "\n", "%0a", "\n", "%5D", "]", "%5d", "]", "%AZP25", "%", "%azp25", "%").Replace(s)
}

// flag reads a property that is a Boolean.
func (c command) flag(name string) bool { return strings.EqualFold(c.props[name], "true") }

package agent

import (
	"bytes"
	"strings"
	"time"

	"towpath.dev/towpath/internal/pipeline/protocol"
)

// print writes a line of the agent's own to the log of the step.
func (s *stepRun) print(text string) {
	for line := range strings.Lines(text) {
		s.lines([][]byte{[]byte(strings.TrimRight(line, "\r\n"))})
	}
}

// error prints an error and notes the first one.
func (s *stepRun) error(text string) {
	text = strings.TrimSpace(text)
	if s.why == "" {
		s.why, _, _ = strings.Cut(text, "\n")
	}
	s.print("##[error]" + text)
}

// lines masks lines and writes them to the spool.
func (s *stepRun) lines(lines [][]byte) {
	now := time.Now().UnixMilli()
	var records []byte
	for _, l := range lines {
		records = protocol.AppendLine(records, now, l)
	}
	s.records(records, lines)
}

func (s *stepRun) records(records []byte, lines [][]byte) {
	// Most output holds no secret: one look at the whole tells.
	if masked := s.masker.Bytes(records); len(masked) != len(records) || !bytes.Equal(masked, records) {
		now := time.Now().UnixMilli()
		records = records[:0]
		for _, l := range lines {
			records = protocol.AppendLine(records, now, s.masker.Bytes(l))
		}
	}
	if err := s.jobRun.spool.write(s.spool, records, int64(len(lines))); err != nil {
		s.jobRun.log.Error("writing the log of a step", "error", err)
		s.jobRun.fail(err.Error())
	}
}

// consume takes whole lines that a process printed: logging commands are carried out,
// the rest is written.
func (s *stepRun) consume(lines [][]byte) {
	from := 0
	for i, l := range lines {
		c, found, ok := parseCommand(l)
		if !found {
			continue
		}
		if i > from {
			s.lines(lines[from:i])
		}
		from = i + 1
		if !ok {
			s.print("##[warning]Not understood: " + strings.Replace(string(l), "##vso[", "## vso[", 1))
			continue
		}
		s.carryOut(c)
	}
	if from < len(lines) {
		s.lines(lines[from:])
	}
}
